//! Catalog, keys, fleet: made, read, changed, listed.

use super::{Api, ten_percent, text};
use http::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_catalog_is_built_and_changed_over_rest() {
    let api = Api::start().await;
    let network = api.catalog("Build").await;
    let key = &network.key;
    for (list, id) in [
        ("advertisers", "advertiser_id"),
        ("programs", "program_id"),
        ("offers", "offer_id"),
        ("partners", "partner_id"),
        ("links", "link_id"),
    ] {
        let one = api.get(&format!("/v1/{list}/{}", network.id(id)), key).await;
        assert_eq!(api.all(&format!("/v1/{list}"), key).await, std::slice::from_ref(&one));
        assert!(text(&one["created_at"]).ends_with('Z'));
        assert!(one.get("postback_token").is_none(), "shown once");
    }
    let offer = format!("/v1/offers/{}", network.id("offer_id"));
    let patch = json!({ "destination": "https://shop.example/new", "status": "paused" });
    let changed = api.call(Method::PATCH, &offer, Some(key), Some(patch)).await.json();
    assert_eq!(
        (&changed["destination"], &changed["status"]),
        (&json!("https://shop.example/new"), &json!("paused"))
    );
    for bad in ["javascript:alert(1)", "//evil.example", "https://user:pass@shop.example/", "shop"] {
        let answer = api.call(Method::PATCH, &offer, Some(key), Some(json!({ "destination": bad }))).await;
        assert_eq!(answer.status, 422, "{bad}");
    }
    let link = format!("/v1/links/{}", network.id("link_id"));
    let paused = api.call(Method::PATCH, &link, Some(key), Some(json!({ "status": "paused" }))).await.json();
    assert_eq!(paused["status"], "paused");

    let mut terms = ten_percent();
    terms["goals"][0] = json!({ "goal": "lead", "flat": { "amount": 250, "currency": "CNY" } });
    terms["valid_from"] = json!("2020-01-01T00:00:00Z");
    let back_dated = api.call(Method::POST, &format!("{offer}/terms"), Some(key), Some(terms.clone())).await;
    assert_eq!(
        (back_dated.status, back_dated.json()["errors"][0]["pointer"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("/valid_from"))
    );
    terms["valid_from"] = json!("2099-01-01T00:00:00Z");
    let version = api.post(&format!("{offer}/terms"), key, terms).await;
    assert_eq!(version["version"], 2);
    let history = api.get(&format!("{offer}/terms"), key).await;
    assert_eq!(history["data"][0]["goals"][0]["flat"], json!({ "amount": 250, "currency": "CNY" }));
    assert_eq!(history["data"][1]["goals"][0]["percentage"], "0.1");

    let advertiser = format!("/v1/advertisers/{}", network.id("advertiser_id"));
    let rotated = api.post(&format!("{advertiser}/postback-token"), key, json!({})).await;
    assert!(text(&rotated["postback_token"]).starts_with("tbp_"));
    api.plane.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_and_cursors_stay_with_their_list() {
    let api = Api::start().await;
    let key = api.catalog("Pages").await.key;
    for number in 0..4 {
        api.post("/v1/partners", &key, json!({ "name": format!("P{number}") })).await;
    }
    let all = api.all("/v1/partners", &key).await;
    let names: Vec<_> = all.iter().map(|partner| text(&partner["name"])).collect();
    assert_eq!(names, ["P3", "P2", "P1", "P0", "Pages blog"], "newest first, each once");
    let page = api.get("/v1/partners?limit=2", &key).await;
    let cursor = text(&page["next_cursor"]);
    let elsewhere = api.call(Method::GET, &format!("/v1/links?cursor={cursor}"), Some(&key), None).await;
    assert_eq!(elsewhere.problem(), "invalid_cursor");
    let other = api.catalog("Other").await.key;
    let stolen = api.call(Method::GET, &format!("/v1/partners?cursor={cursor}"), Some(&other), None).await;
    assert_eq!(stolen.problem(), "invalid_cursor");
    api.plane.stop().await;
}

#[tokio::test]
async fn keys_are_shown_once_and_end_when_revoked() {
    let api = Api::start().await;
    let network = api.catalog("Keys").await;
    let second = api.post("/v1/api-keys", &network.key, json!({ "name": "second" })).await;
    let secret = text(&second["secret"]);
    assert_eq!(second["tenant_id"], network.ids["tenant_id"], "a tenant's key makes keys of that tenant");
    assert_eq!(api.get("/v1/tenant", &secret).await["name"], "Keys");
    let listed = api.call(Method::GET, "/v1/api-keys", Some(&secret), None).await;
    assert!(!listed.text.contains(&secret) && !listed.text.contains(&network.key));

    let own = format!("/v1/api-keys/{}", text(&second["id"]));
    let answer = api.call(Method::DELETE, &own, Some(&secret), None).await;
    assert_eq!(answer.problem(), "own_key");
    assert_eq!(api.call(Method::DELETE, &own, Some(&network.key), None).await.status, 204);
    assert_eq!(api.call(Method::GET, "/v1/tenant", Some(&secret), None).await.status, 401);

    let named = json!({ "name": "x", "tenant_id": network.id("tenant_id") });
    let answer = api.call(Method::POST, "/v1/api-keys", Some(&network.key), Some(named)).await;
    assert_eq!(answer.status, 403, "only operators name a tenant");
    api.plane.stop().await;
}

#[tokio::test]
async fn tenants_and_the_fleet_belong_to_operators() {
    let api = Api::start().await;
    let network = api.catalog("Fleet").await;
    let tenant = format!("/v1/tenants/{}", network.id("tenant_id"));
    let set = |url: serde_json::Value| json!({ "fallback_url": url });
    let fallback = json!("https://fleet.example/");
    let patched =
        api.call(Method::PATCH, &tenant, Some(&api.operator), Some(set(fallback.clone()))).await.json();
    assert_eq!(patched["fallback_url"], fallback);
    let same = api.call(Method::PATCH, "/v1/tenant", Some(&network.key), Some(json!({}))).await.json();
    assert_eq!(same["fallback_url"], fallback, "absent leaves it");
    let cleared =
        api.call(Method::PATCH, "/v1/tenant", Some(&network.key), Some(set(json!(null)))).await.json();
    assert_eq!(cleared["fallback_url"], json!(null), "null clears it");

    let bundle = api.post("/v1/edges/join-bundles", &api.operator, json!({ "name": "edge-1" })).await;
    assert!(text(&bundle["bundle"]).starts_with("tbj1."));
    let edge = crate::edge::Edge::join(&api.plane, "edge-2").await;
    let listed = api.get("/v1/edges", &api.operator).await;
    assert_eq!(listed["data"][0]["name"], "edge-2");
    assert_eq!(listed["data"][0]["streams"].as_array().map(Vec::len), Some(2));
    let revoked = api.post(&format!("/v1/edges/{}/revoke", edge.id), &api.operator, json!({})).await;
    assert_eq!(revoked["status"], "revoked");
    api.plane.stop().await;
}

#[tokio::test]
async fn health_tells_strangers_little() {
    let api = Api::start().await;
    crate::plane::eventually("readiness", async || {
        (api.call(Method::GET, "/readyz", None, None).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(api.call(Method::GET, "/livez", None, None).await.json()["status"], "ok");
    let health = api.call(Method::GET, "/v1/health", None, None).await.json();
    assert_eq!(health["status"], "ok");
    let parts = health["parts"].as_array().unwrap();
    assert!(parts.iter().all(|part| part.as_object().unwrap().len() == 2), "part and status only: {health}");
    let document = api.call(Method::GET, "/v1/openapi.json", None, None).await;
    assert_eq!(document.text, control_plane_server::rest::openapi_json());
    api.plane.stop().await;
}
