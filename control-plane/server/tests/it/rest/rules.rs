//! Rule sets over REST: published, read back, never lost to a race.

use super::Api;
use http::Method;
use serde_json::{Value, json};

fn block(country: &str) -> Value {
    json!({ "rules": [{
        "id": "block-country", "action": "block",
        "when": { "all": [{ "field": "country", "in": [country] }, { "field": "device", "eq": "mobile" }] },
    }] })
}

#[tokio::test]
async fn versions_rise_and_nobody_s_rules_are_lost() {
    let api = Api::start().await;
    let key = api.catalog("Rules").await.key;
    let publish = async |body: Value, if_match: Option<&str>| {
        let headers: Vec<_> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
        api.call_with(Method::POST, "/v1/rule-sets", Some(&key), Some(body), &headers).await
    };
    let first = publish(block("CN"), None).await;
    assert_eq!((first.status.as_u16(), first.header("etag")), (201, "\"rs-1\""), "{}", first.text);
    assert_eq!(first.json()["version"], 1);
    assert_eq!(first.json()["rules"], block("CN")["rules"], "as it was written");

    let blind = publish(block("US"), None).await;
    assert_eq!((blind.status.as_u16(), blind.problem().as_str()), (428, "precondition_required"));
    let stale = publish(block("US"), Some("\"rs-0\"")).await;
    assert_eq!((stale.status.as_u16(), stale.problem().as_str()), (412, "precondition_failed"));
    assert_eq!(publish(block("US"), Some("\"rs-1\"")).await.status, 201);
    assert_eq!(publish(block("FR"), Some("*")).await.status, 201);

    let current = api.call(Method::GET, "/v1/rule-sets/current", Some(&key), None).await;
    assert_eq!(current.header("etag"), "\"rs-3\"");
    assert_eq!(current.json()["rules"], block("FR")["rules"]);
    assert_eq!(api.get("/v1/rule-sets/1", &key).await["rules"], block("CN")["rules"]);
    let versions: Vec<_> =
        api.all("/v1/rule-sets", &key).await.iter().map(|set| set["version"].clone()).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(api.call(Method::GET, "/v1/rule-sets/4", Some(&key), None).await.status, 404);
    api.plane.stop().await;
}

#[tokio::test]
async fn mistakes_are_refused_with_their_place() {
    let api = Api::start().await;
    let key = api.catalog("Mistakes").await.key;
    let when = |when: Value| json!({ "rules": [{ "id": "r", "action": "block", "when": when }] });
    let cases = [
        (when(json!({ "field": "land", "eq": "CN" })), "/rules/0/when/field"),
        (when(json!({ "field": "country", "eq": "China" })), "/rules/0/when/eq"),
        (
            when(json!({ "any": [{ "always": true }, { "field": "hour", "lt": "six" }] })),
            "/rules/0/when/any/1/lt",
        ),
        (when(json!({ "field": "country", "eq": "CN", "then": 1 })), "/rules/0/when/then"),
        (when(json!({})), "/rules/0/when"),
        (json!({ "rules": [], "version": 7 }), "/version"),
        (
            json!({ "rules": [{ "id": "r", "action": "drop", "when": { "always": true } }] }),
            "/rules/0/action",
        ),
    ];
    for (body, pointer) in cases {
        let answer = api.call(Method::POST, "/v1/rule-sets", Some(&key), Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}: {}", answer.text);
    }
    assert_eq!(
        api.call(Method::GET, "/v1/rule-sets/current", Some(&key), None).await.status,
        404,
        "nothing stuck"
    );
    api.plane.stop().await;
}
