//! `tributary ctl tail` beside a running system: tests and live hits, each with its fate, until Ctrl-C.

use crate::harness::{DEADLINE, Process, Up, click, eventually, temp_dir};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<Value>,
}

impl Tail {
    /// From the beginning, so that nothing is missed however late it starts.
    fn start(up: &Up, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["ctl", "tail", "--from", "oldest", "--api-url", up.text("api_url")])
            .args(args)
            .env("TRIBUTARY_API_KEY", up.text("api_key"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, lines, seen: Vec::new() }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("a line in time");
        line.expect("stdout is readable").expect("it goes on")
    }

    /// The hit of this kind and order, whichever comes first: conversions do not wait behind clicks.
    async fn hit(&mut self, kind: &str, order_id: Value) -> Value {
        let is_it = |hit: &Value| hit["kind"] == kind && hit["order_id"] == order_id;
        loop {
            if let Some(hit) = self.seen.iter().find(|hit| is_it(hit)) {
                return hit.clone();
            }
            let line = self.line().await;
            self.seen.push(serde_json::from_str(&line).expect("JSON"));
        }
    }

    /// Ctrl-C, a clean exit, and what was said until then.
    async fn interrupt(mut self) -> String {
        let pid = self.child.id().expect("still running").to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().await.expect("kill runs").success());
        let mut rest = String::new();
        let mut out = self.lines.into_inner();
        tokio::time::timeout(DEADLINE, out.read_to_string(&mut rest)).await.expect("it ends").expect("UTF-8");
        let status = self.child.wait().await.expect("it can be waited for");
        assert!(status.success(), "a clean exit, not {status}");
        rest
    }
}

/// A link for tests, once the edge has it, and the advertiser's test token.
async fn tested(up: &Up) -> (String, String) {
    let api = up.api();
    let body = json!({ "offer_id": up.text("demo_offer"), "partner_id": up.text("demo_partner") });
    let link = api.post("/v1/links", body).await["id"].as_str().expect("an id").to_owned();
    api.patch(&format!("/v1/links/{link}"), json!({ "settings": { "test": true } })).await;
    let path = format!("/v1/advertisers/{}/postback/test-token", up.text("demo_advertiser"));
    let token = api.post(&path, json!({})).await["test_token"].as_str().expect("a token").to_owned();
    (link, token)
}

#[tokio::test]
async fn a_test_link_and_a_test_postback_are_seen_with_their_reason() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let (link, token) = tested(&up).await;
    let mut tail = Tail::start(&up, &["--test", "--output", "jsonl"]);
    up.click().await;
    let edge = up.text("edge_url");
    // A live postback that names a test click is a test, too: then the edge knows what the link is for.
    eventually("a test click", || async {
        let click_id = click(&up.client, edge, &link, &[]).await.click_id?;
        let reply = up.postback("t-1", &format!("click_id={click_id}")).await;
        reply.text().contains("\"noted\"").then_some(())
    })
    .await;
    eventually("a test report", || async {
        let url = format!("{edge}/postback/{}?order_id=t-2&token={token}", up.text("demo_advertiser"));
        let reply = up.client.get(&url, None).await.expect("the edge answers");
        reply.text().contains("\"noted\"").then_some(())
    })
    .await;
    let hit = tail.hit("click", Value::Null).await;
    assert_eq!(
        (&hit["status"], &hit["reason"], &hit["test"]),
        (&json!("noted"), &json!("test"), &json!(true))
    );
    assert_eq!((&hit["link_id"], &hit["partner_id"]), (&json!(link), &json!(up.text("demo_partner"))));
    for (order, link) in [("t-1", json!(link)), ("t-2", Value::Null)] {
        let hit = tail.hit("refused", json!(order)).await;
        let said = (&hit["status"], &hit["reason"], &hit["link_id"]);
        assert_eq!(said, (&json!("noted"), &json!("test"), &link));
    }
    tail.interrupt().await;
    up.process.stop().await;
}

#[tokio::test]
async fn a_sale_is_shown_and_then_what_became_of_it() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let mut tail = Tail::start(&up, &["--output", "jsonl", "--link", up.text("demo_link")]);
    let click = up.click().await;
    let sale = format!("click_id={}&amount=100.00&currency=USD", click.id());
    assert_eq!(up.postback("order-1", &sale).await.status, 202);
    assert_eq!(tail.hit("click", Value::Null).await["status"], "counted");
    let mut sale = tail.hit("conversion", json!("order-1")).await;
    if sale["status"] == "undecided" {
        sale = tail.hit("outcome", json!("order-1")).await;
    }
    assert_eq!((&sale["order_id"], &sale["status"]), (&json!("order-1"), &json!("attributed")));
    assert_eq!(sale["conversion"]["commission"]["amount"], json!({ "amount": 1000, "currency": "USD" }));
    assert_eq!(tail.interrupt().await, "");

    // The same as one document, which Ctrl-C completes, and as a table.
    let mut tail = Tail::start(&up, &["--output", "json", "--advertiser", up.text("demo_advertiser")]);
    let mut text = tail.line().await + &tail.line().await;
    text += &tail.interrupt().await;
    let hits: Value = serde_json::from_str(&text).expect("one document");
    assert_eq!(hits.as_array().map(Vec::len), Some(2), "{text}");
    let mut tail = Tail::start(&up, &[]);
    assert!(tail.line().await.starts_with("TIME "));
    assert!(tail.line().await.contains("lnk_"));
    tail.interrupt().await;
    up.process.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_a_reason() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir.join("data")).await;
    let data = dir.join("nothing");
    let api = up.text("api_url");
    let tail = |more: &[&str]| {
        let args: Vec<String> = ["ctl", "tail"].iter().chain(more).map(|arg| (*arg).to_owned()).collect();
        async move { Process::refused(&args.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let why = tail(&["--api-url", api, "--api-key", "tbk_wrong"]).await;
    assert!(why.contains("401"), "{why}");
    let why = tail(&["--api-url", api, "--data-dir", data.to_str().expect("UTF-8")]).await;
    assert!(why.contains("TRIBUTARY_API_KEY"), "{why}");
    let why = tail(&["--api-url", "http://plane.example", "--api-key", "tbk_x"]).await;
    assert!(why.contains("--insecure"), "{why}");
    let why = tail(&["--api-url", api, "--link", "nonsense"]).await;
    assert!(why.contains("--link"), "{why}");
    let why = tail(&["--api-url", "http://127.0.0.1:1", "--api-key", "tbk_x"]).await;
    assert!(why.contains("no answer"), "{why}");
    up.process.stop().await;
}
