//! The main job with `curl` and nothing but what `up --output json` printed.

use crate::harness::{Up, eventually, temp_dir};
use serde_json::{Value, json};
use std::process::Command;

fn curl(args: &[&str]) -> String {
    let out = Command::new("curl").arg("-sS").args(args).output().expect("curl is installed");
    assert!(out.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// The REST interface through curl.
struct Rest {
    api_url: String,
    authorization: String,
}

impl Rest {
    fn get(&self, path: &str) -> Value {
        let text = curl(&["-f", "-H", &self.authorization, &format!("{}{path}", self.api_url)]);
        serde_json::from_str(&text).expect("JSON")
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let (url, body) = (format!("{}{path}", self.api_url), body.to_string());
        let json = "Content-Type: application/json";
        let key = "Idempotency-Key: by-curl";
        let args = ["-f", "-H", &self.authorization, "-H", json, "-H", key, "-d", &body, &url];
        serde_json::from_str(&curl(&args)).expect("JSON")
    }

    async fn first(&self, path: &str, status: &str) -> Value {
        eventually(&format!("{path} that is {status}"), || async {
            let found = self.get(path)["data"][0].clone();
            (found["status"] == status).then_some(found)
        })
        .await
    }
}

#[tokio::test]
async fn from_click_to_statement() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let (edge, link) = (up.text("edge_url"), up.text("demo_link"));
    let (advertiser, token) = (up.text("demo_advertiser"), up.text("postback_token"));
    let authorization = format!("Authorization: Bearer {}", up.text("api_key"));
    let rest = Rest { api_url: up.text("api_url").to_owned(), authorization };

    // The pair that the banner prints.
    let redirect = curl(&["-o", "/dev/null", "-w", "%{redirect_url}", &format!("{edge}/c/{link}")]);
    let click_id = redirect.split_once("click_id=").expect("a click id").1;
    let postback = format!(
        "{edge}/postback/{advertiser}?click_id={click_id}&order_id=hello-1&amount=100.00&currency=USD&token={token}"
    );
    assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", &postback]), "202");
    rest.first("/v1/conversions?order_id=hello-1", "attributed").await;
    rest.first("/v1/commissions?order_id=hello-1", "pending").await;

    let delivered =
        json!({ "advertiser_id": advertiser, "order_id": "hello-1", "event_id": "d1", "kind": "delivered" });
    rest.post("/v1/order-events", delivered);
    let commission = rest.first("/v1/commissions?order_id=hello-1", "approved").await;
    assert_eq!(commission["amount"], json!({ "amount": 1000, "currency": "USD" }));
    rest.post("/v1/settlements", json!({}));
    let statements = rest.get("/v1/statements");
    assert_eq!(statements["data"][0]["hash"].as_str().map(str::len), Some(64), "{statements}");
    let entries = rest.get("/v1/ledger-entries?limit=100");
    let entries = entries["data"].as_array().expect("a list");
    let minor = entries.iter().map(|entry| entry["amount"]["amount"].as_i64().expect("minor units"));
    assert_eq!(minor.sum::<i64>(), 0, "debits and credits cancel out");
    assert!(entries.len() >= 8);
}
