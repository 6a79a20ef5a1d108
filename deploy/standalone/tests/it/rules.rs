//! A rule published over REST is obeyed by the edge, and what it blocked stays visible.

use crate::harness::{Up, eventually, temp_dir};
use serde_json::json;
use std::time::Instant;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/17.0 Mobile/15E148 Safari/604.1";

#[tokio::test]
async fn a_published_rule_blocks_a_country_and_a_device() {
    let (_guard, dir) = temp_dir();
    let geo = dir.join("countries.mmdb");
    geoip::testing::write_mmdb(&geo, &[("203.0.113.0/24", "CN"), ("198.51.100.0/24", "US")])
        .expect("a database");
    let up = Up::start_with(&dir, &["--geo-database", geo.to_str().expect("a UTF-8 path")]).await;
    let from_cn = [("x-forwarded-for", "203.0.113.9")];
    let from_us = [("x-forwarded-for", "198.51.100.9")];
    let on_iphone = [("x-forwarded-for", "198.51.100.9"), ("user-agent", IPHONE)];
    assert!(up.click_with(&from_cn).await.click_id.is_some());

    let rules = json!({ "rules": [
        { "id": "no-cn", "action": "block", "when": { "field": "country", "in": ["CN"] } },
        { "id": "no-phones", "action": "block", "when": { "field": "device", "eq": "mobile" } },
    ] });
    let published = Instant::now();
    let rule_set = up.api().post("/v1/rule-sets", rules).await;
    assert_eq!(rule_set["version"], 1);
    eventually("the edge to obey", || async {
        up.click_with(&from_cn).await.click_id.is_none().then_some(())
    })
    .await;
    eprintln!("obeyed after {:?}", published.elapsed());

    assert!(up.click_with(&on_iphone).await.click_id.is_none());
    assert!(up.click_with(&from_us).await.click_id.is_some(), "others are let through");
    for (rule, country, device) in [("no-cn", "CN", "unknown"), ("no-phones", "US", "mobile")] {
        eventually(&format!("the click blocked by {rule}"), || async {
            let clicks = up.api().all("/v1/clicks").await;
            let blocked = clicks.into_iter().find(|click| click["verdict"]["rule_id"] == rule)?;
            assert_eq!(blocked["verdict"]["kind"], "block");
            assert_eq!(blocked["verdict"]["rule_set_version"], 1);
            assert_eq!(blocked["country"], country);
            if device != "unknown" {
                assert_eq!(blocked["device"], device);
            }
            Some(())
        })
        .await;
    }
}
