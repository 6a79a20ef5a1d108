//! Every error is a problem with a code, whatever went wrong.

use super::{Api, ten_percent};
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

fn request(method: &str, path: &str, key: &str, kind: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let api = Api::start().await;
    let key = api.catalog("Problems").await.key;
    let json = Some("application/json");
    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(1 << 20));
    let deep = format!("{}{}", r#"{"name":"#.repeat(10_000), "1");
    let cases = [
        ("GET", "/", None, String::new(), 401, ""),
        ("GET", "/nothing", None, String::new(), 404, "not_found"),
        ("GET", "/v1/nothing", None, String::new(), 404, "not_found"),
        ("GET", "/v1/partners/", None, String::new(), 404, "not_found"),
        ("GET", "/V1/partners", None, String::new(), 404, "not_found"),
        ("PUT", "/v1/partners", json, "{}".into(), 405, "method_not_allowed"),
        ("DELETE", "/v1/partners", None, String::new(), 405, "method_not_allowed"),
        ("POST", "/v1/partners", None, r#"{"name":"a"}"#.into(), 415, "unsupported_media_type"),
        ("POST", "/v1/partners", Some("text/plain"), r#"{"name":"a"}"#.into(), 415, "unsupported_media_type"),
        ("POST", "/v1/partners", json, huge, 413, "body_too_large"),
        ("POST", "/v1/partners", json, deep, 400, "invalid_json"),
        ("POST", "/v1/partners", json, String::new(), 400, "invalid_json"),
        ("POST", "/v1/partners", json, "{".into(), 400, "invalid_json"),
        ("POST", "/v1/partners", json, r#"{"name":"a","name":"b"}"#.into(), 400, "invalid_json"),
        ("POST", "/v1/partners", json, "[]".into(), 422, "invalid_request"),
        ("POST", "/v1/partners", json, "{}".into(), 422, "invalid_request"),
        ("POST", "/v1/partners", json, r#"{"name":7}"#.into(), 422, "invalid_request"),
        (
            "POST",
            "/v1/partners",
            json,
            r#"{"name":"a","tenant_id":"tnt_0000001"}"#.into(),
            422,
            "invalid_request",
        ),
        ("POST", "/v1/partners", json, r#"{"name":""}"#.into(), 422, "invalid_request"),
        ("POST", "/v1/partners", json, r#"{"name":"a\u0000b"}"#.into(), 422, "invalid_request"),
        ("GET", "/v1/partners?limit=0", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/partners?limit=101", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/partners?limit=ten", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/partners?limit=1&limit=2", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/partners?sort=name;drop", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/partners?cursor=AAAAAAAAAAE", None, String::new(), 400, "invalid_cursor"),
        ("GET", "/v1/partners/ptn_nonsense!", None, String::new(), 404, "not_found"),
        ("GET", "/v1/partners/lnk_04hmasw9", None, String::new(), 404, "not_found"),
        ("GET", "/v1/partners/%FF%FE", None, String::new(), 404, "not_found"),
        ("GET", "/v1/conversions?status=maybe", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/conversions?conflict=perhaps", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/conversions?order_id=a%00b", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/commissions?partner_id=7", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/conversions/cnv_7", None, String::new(), 404, "not_found"),
        ("GET", "/v1/rule-sets/current", None, String::new(), 404, "not_found"),
        ("GET", "/v1/rule-sets/-1", None, String::new(), 404, "not_found"),
        ("GET", "/v1/reports/hourly?from=yesterday", None, String::new(), 400, "invalid_query"),
        ("GET", "/v1/reports/hourly?from=2000-01-01T00:00:00Z", None, String::new(), 400, "invalid_query"),
        ("POST", "/v1/settlements", json, "{}".into(), 400, "idempotency_key_missing"),
    ];
    for (method, path, kind, body, status, code) in cases {
        let shown: String = body.chars().take(60).collect();
        let answer = api.send(request(method, path, &key, kind, body)).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {shown}: {}", answer.text);
        if !code.is_empty() {
            assert_eq!(answer.problem(), code, "{method} {path} {shown}");
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET, POST, HEAD");
        }
    }
    api.plane.stop().await;
}

#[tokio::test]
async fn invalid_values_are_named_by_pointer() {
    let api = Api::start().await;
    let network = api.catalog("Pointers").await;
    let offer = |terms: serde_json::Value| json!({ "program_id": network.id("program_id"), "name": "x", "destination": "https://shop.example/", "terms": terms });
    let with = |field: &str, value: serde_json::Value| {
        let mut terms = ten_percent();
        terms[field] = value;
        offer(terms)
    };
    let goal = |plan: serde_json::Value| with("goals", json!([plan]));
    let conversion = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "advertiser_id": network.id("advertiser_id"), "order_id": "o-1" });
        body[field] = value;
        body
    };
    let cases = [
        ("/v1/offers", goal(json!({ "goal": "sale", "percentage": "10%" })), "/terms/goals/0/percentage"),
        ("/v1/offers", goal(json!({ "goal": "sale", "percentage": "1.5" })), "/terms/goals/0/percentage"),
        ("/v1/offers", goal(json!({ "goal": "sale", "percentage": 0.1 })), "/terms/goals/0/percentage"),
        ("/v1/offers", goal(json!({ "goal": "sale" })), "/terms/goals/0"),
        (
            "/v1/offers",
            goal(json!({ "goal": "sale", "flat": { "amount": -1, "currency": "USD" } })),
            "/terms/goals/0/flat/amount",
        ),
        (
            "/v1/offers",
            goal(json!({ "goal": "sale", "flat": { "amount": 1, "currency": "usd" } })),
            "/terms/goals/0/flat/currency",
        ),
        (
            "/v1/offers",
            goal(json!({ "goal": "sale", "flat": { "amount": 1.5, "currency": "USD" } })),
            "/terms/goals/0/flat/amount",
        ),
        (
            "/v1/offers",
            with("hold", json!({ "until_delivered": true, "days": 1, "weeks": 2 })),
            "/terms/hold/weeks",
        ),
        ("/v1/offers", with("valid_from", json!("tomorrow")), "/terms/valid_from"),
        (
            "/v1/offers",
            with("attribution", json!({ "model": "position", "first": "0.6", "last": "0.5" })),
            "/attribution",
        ),
        ("/v1/offers", with("attribution", json!({ "model": "decay", "half_life_secs": 0 })), "/attribution"),
        (
            "/v1/offers",
            with("attribution", json!({ "model": "linear", "half_life_secs": 60 })),
            "/terms/attribution",
        ),
        ("/v1/offers", with("window_secs", json!(5)), "/terms/window_days"),
        (
            "/v1/conversions",
            conversion("amount", json!({ "amount": i64::MAX, "currency": "USD" })),
            "/amount/amount",
        ),
        (
            "/v1/conversions",
            conversion("amount", json!({ "amount": "1,00", "currency": "USD" })),
            "/amount/amount",
        ),
        ("/v1/conversions", conversion("click_id", json!("forged")), "/click_id"),
        ("/v1/conversions", conversion("order_id", json!("")), "/order_id"),
        ("/v1/conversions", conversion("authority", json!("signed")), "/authority"),
        ("/v1/order-events", conversion("kind", json!("delivered")), ""),
        (
            "/v1/order-events",
            json!({ "advertiser_id": network.id("advertiser_id"), "order_id": "o", "event_id": "e", "kind": "sent" }),
            "/kind",
        ),
        ("/v1/advertisers", json!({ "name": "a", "postback_token_sha256": "00" }), "/postback_token_sha256"),
    ];
    for (path, body, pointer) in cases {
        let answer = api.call(Method::POST, path, Some(&network.key), Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{path} {body}: {}", answer.text);
        assert_eq!(answer.problem(), "invalid_request");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{path} {body}: {}", answer.text);
    }
    api.plane.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let api = Api::start().await;
    for path in ["/livez", "/v1/partners", "/nothing", "/", "/live.css"] {
        let answer = api.call(Method::GET, path, None, None).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
    }
    api.plane.stop().await;
}
