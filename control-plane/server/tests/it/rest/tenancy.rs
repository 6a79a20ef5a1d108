//! Two tenants in one database: every id of one is tried with the credentials of the other.

use super::openapi::operations;
use super::{Answer, Api, Network, ten_percent, text};
use crate::plane::eventually;
use control_plane_server::app::clock;
use control_plane_server::rest;
use control_plane_server::rest::ids::Time;
use control_plane_server::rest::policy::{Policy, policy_of};
use control_plane_store::Slots;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Names that are the tenant's own and no ids: a number within the tenant, and the ids of customers and visitors, which
/// the tenant chooses. Using them touches only the caller's own things.
const LOCAL: [&str; 3] = ["{version}", "{customer_id}", "{visitor_id}"];

#[tokio::test]
async fn every_route_refuses_missing_unknown_and_wrong_keys() {
    let api = Api::start().await;
    // It listens before each of its parts has come to work.
    eventually("ready", async || api.plane.app().health.is_ready().then_some(())).await;
    let network = api.network("Doors").await;
    for (method, path) in operations() {
        let policy = policy_of(&method, &path).unwrap();
        let url = network.path(&path);
        let ask = async |key: Option<&str>| api.call(method.clone(), &url, key, None).await;
        if policy == Policy::Public {
            assert_eq!(ask(None).await.status, 200, "{method} {path}");
            continue;
        }
        let unknown = format!("tbk_{}", "A".repeat(43));
        for key in [None, Some(""), Some("nonsense"), Some(unknown.as_str())] {
            let answer = ask(key).await;
            assert_eq!(answer.status, 401, "{method} {path} {key:?}");
            assert_eq!(answer.problem(), "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let wrong = match policy {
            Policy::Tenant => &api.operator,
            Policy::Operator => &network.key,
            Policy::Either | Policy::Public => continue,
        };
        let answer = ask(Some(wrong)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (403, "forbidden"),
            "{method} {path}"
        );
    }
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    let answer = api.call_with(Method::GET, "/v1/links", None, None, &twice).await;
    assert_eq!(answer.status, 401, "two credentials are none");
    api.plane.stop().await;
}

/// Nothing of `other` may stand in an answer to somebody else.
fn assert_silent(answer: &Answer, other: &Network, asked: &str, context: &str) {
    for (name, id) in other.ids.as_object().unwrap() {
        let id = id.as_str().unwrap();
        // What the caller sent may be quoted back.
        assert!(asked.contains(id) || !answer.text.contains(id), "{context} shows {name}: {}", answer.text);
    }
    assert!(!answer.text.contains(&format!("\"{}", other.name)), "{context} shows a name: {}", answer.text);
}

/// Everything that a tenant can read of its own, to see afterwards that nobody has touched it.
async fn everything(api: &Api, network: &Network) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    for (method, path) in operations() {
        if method == Method::GET && policy_of(&method, &path) == Some(Policy::Tenant) {
            let url = with_required(&network.path(&path), &path, network);
            let answer = api.call(method, &url, Some(&network.key), None).await;
            assert_eq!(answer.status, 200, "{url}: {}", answer.text);
            seen.push((url, answer.json()));
        }
    }
    seen
}

fn parameters(path: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(&control_plane_server::rest::openapi_json()).unwrap();
    document["paths"][path]["get"]["parameters"].as_array().cloned().unwrap_or_default()
}

/// The URL with the query parameters that the route at `path` insists on.
fn with_required(url: &str, path: &str, network: &Network) -> String {
    let required = parameters(path).into_iter().filter(|p| p["in"] == "query" && p["required"] == true);
    let pairs: Vec<_> = required
        .map(|parameter| text(&parameter["name"]))
        .map(|name| format!("{name}={}", network.id(&name)))
        .collect();
    if pairs.is_empty() { url.to_owned() } else { format!("{url}?{}", pairs.join("&")) }
}

async fn two(api: &Api) -> (Network, Network) {
    let (mine, yours) = (api.network("Mine").await, api.network("Yours").await);
    let rules = json!({ "rules": [{ "id": "mine-only", "action": "flag", "when": { "always": true } }] });
    for network in [&mine, &yours] {
        api.post("/v1/rule-sets", &network.key, rules.clone()).await;
    }
    // What a settlement tells the orders is under way still when it has answered.
    let store = &api.plane.app().store;
    eventually("a money engine at rest", async || {
        store.shards_with_work(Slots::ALL, 1).await.unwrap().is_empty().then_some(())
    })
    .await;
    (mine, yours)
}

#[tokio::test]
async fn no_path_leads_to_another_tenant() {
    let api = Api::start().await;
    let (mine, yours) = two(&api).await;
    let before = everything(&api, &yours).await;
    for (method, path) in operations() {
        if !path.contains('{') || policy_of(&method, &path) == Some(Policy::Operator) {
            continue;
        }
        let url = yours.path(&path);
        let body = match (method.as_str(), path.as_str()) {
            ("POST", "/v1/offers/{offer_id}/terms") => Some(ten_percent()),
            ("PATCH", "/v1/offers/{offer_id}" | "/v1/links/{link_id}") => Some(json!({ "status": "paused" })),
            ("PATCH", "/v1/domains/{host}") => Some(json!({ "home_url": "https://mine.example/" })),
            ("PUT", "/v1/advertisers/{advertiser_id}/postback") => Some(json!({})),
            ("POST", "/v1/links/{link_id}/deep-links") => {
                let soon = Time(clock::now().plus_secs(60)).text();
                Some(json!({ "url": "https://x.example/", "expires_at": soon }))
            }
            _ => None,
        };
        let answer = api.call(method.clone(), &url, Some(&mine.key), body).await;
        assert_silent(&answer, &yours, &url, &format!("{method} {url}"));
        if LOCAL.iter().any(|name| path.contains(name)) {
            continue;
        }
        assert_eq!(answer.status, 404, "{method} {url}: {}", answer.text);
        assert_eq!(answer.problem(), "not_found");
    }
    assert_eq!(everything(&api, &yours).await, before, "nothing of the other tenant has changed");
    api.plane.stop().await;
}

#[tokio::test]
async fn no_filter_finds_another_tenant() {
    let api = Api::start().await;
    let (mine, yours) = two(&api).await;
    let mut tried = 0;
    for (method, path) in operations() {
        if method != Method::GET || path.contains('{') || policy_of(&method, &path) != Some(Policy::Tenant) {
            continue;
        }
        let own_url = with_required(&path, &path, &mine);
        let own = api.call(Method::GET, &own_url, Some(&mine.key), None).await;
        assert_eq!(own.status, 200, "{own_url}: {}", own.text);
        assert_silent(&own, &yours, "", &path);
        for parameter in parameters(&path) {
            let name = text(&parameter["name"]);
            let value = match name.as_str() {
                "account" => format!("partner_payable:{}", yours.id("partner_id")),
                name => match yours.ids[name].as_str() {
                    Some(id) => id.to_owned(),
                    None => continue,
                },
            };
            let url = match own_url.split_once('?') {
                Some((_, own)) if !own.starts_with(&format!("{name}=")) => {
                    format!("{own_url}&{name}={value}")
                }
                _ => format!("{path}?{name}={value}"),
            };
            let answer = api.call(Method::GET, &url, Some(&mine.key), None).await;
            assert_eq!(answer.status, 200, "{url}: {}", answer.text);
            assert_eq!(answer.json()["data"], json!([]), "{url}");
            tried += 1;
        }
    }
    assert!(tried >= 15, "only {tried} filters");
    api.plane.stop().await;
}

/// Words of the tenant's own world, not names of ours: the same in two tenants are two things.
const OWN_WORDS: [&str; 3] = ["order_id", "event_id", "customer_id"];

/// Names of properties anywhere in a schema of the document; each part of it is read once.
fn properties(document: &Value, schema: &Value, read: &mut BTreeSet<String>, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        if read.insert(reference.to_owned()) {
            let part = document.pointer(reference.trim_start_matches('#')).expect("it resolves");
            properties(document, part, read, found);
        }
        return;
    }
    let lists = ["allOf", "oneOf", "anyOf"].iter().filter_map(|name| schema[name].as_array()).flatten();
    for part in lists.chain(schema.get("items")) {
        properties(document, part, read, found);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        properties(document, inner, read, found);
    }
}

/// Every id that a request body may name, by path.
fn ids_in_bodies() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&rest::openapi_json()).unwrap();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for content in methods.as_object().unwrap().values() {
            let (mut read, mut found) = (BTreeSet::new(), BTreeSet::new());
            for (_, media) in content["requestBody"]["content"].as_object().into_iter().flatten() {
                properties(&document, &media["schema"], &mut read, &mut found);
            }
            let named = found.into_iter().filter(|name| name.ends_with("_id"));
            let named = named.filter(|name| !OWN_WORDS.contains(&name.as_str()));
            ids.extend(named.map(|name| (path.clone(), name)));
        }
    }
    ids
}

#[tokio::test]
async fn no_body_reaches_another_tenant() {
    let api = Api::start().await;
    let (mine, yours) = two(&api).await;
    let before = everything(&api, &yours).await;
    let id = |name: &str| json!(yours.id(name));
    let own = |name: &str| json!(mine.id(name));
    let money = json!({ "amount": 1, "currency": "USD" });
    let offer = json!({
        "program_id": id("program_id"), "name": "x", "destination": "https://x.example/", "terms": ten_percent(),
    });
    let event = json!({ "advertiser_id": id("advertiser_id"), "order_id": id("order_id"), "event_id": "e", "kind": "returned" });
    let conversion =
        json!({ "advertiser_id": id("advertiser_id"), "order_id": id("order_id"), "amount": money });
    let stolen_click =
        json!({ "advertiser_id": own("advertiser_id"), "order_id": "o-9", "click_id": id("click_id") });
    let cases = [
        ("/v1/programs", json!({ "advertiser_id": id("advertiser_id"), "name": "x" }), 404),
        ("/v1/offers", offer, 404),
        ("/v1/links", json!({ "offer_id": id("offer_id"), "partner_id": id("partner_id") }), 404),
        ("/v1/links", json!({ "offer_id": own("offer_id"), "partner_id": id("partner_id") }), 404),
        ("/v1/links", json!({ "offer_id": id("offer_id"), "partner_id": own("partner_id") }), 404),
        ("/v1/order-events", event, 404),
        ("/v1/conversions", conversion, 404),
        ("/v1/conversions", stolen_click, 422),
        ("/v1/touches", json!({ "click_id": id("click_id"), "customer_id": "c" }), 422),
        ("/v1/api-keys", json!({ "name": "x", "tenant_id": id("tenant_id") }), 403),
    ];
    let routes = json!({ "routing": { "routes": [{ "id": "a", "offer_id": id("offer_id") }] } });
    let own_offer = "/v1/offers/{offer_id}";
    let answer = api.call(Method::PATCH, &mine.path(own_offer), Some(&mine.key), Some(routes.clone())).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_silent(&answer, &yours, &routes.to_string(), own_offer);
    let mut weighted = ten_percent();
    let weight = json!({ "partner_id": id("partner_id"), "weight": 1 });
    weighted["attribution"] = json!({ "model": "weights", "weights": [weight] });
    let new_offer = json!({
        "program_id": own("program_id"), "name": "x", "destination": "https://x.example/", "terms": weighted,
    });
    let weighing = ["/v1/offers", "/v1/offers/{offer_id}/terms"];
    for (path, body) in weighing.into_iter().zip([new_offer, weighted]) {
        let answer = api.call(Method::POST, &mine.path(path), Some(&mine.key), Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_silent(&answer, &yours, &body.to_string(), path);
    }
    let vanity = json!({ "domain": id("host"), "slug": "mine" });
    let mut link = json!({ "offer_id": own("offer_id"), "partner_id": own("partner_id") });
    link["vanity"] = vanity.clone();
    for (method, path, body) in [
        (Method::POST, "/v1/links".to_owned(), link),
        (Method::PATCH, mine.path("/v1/links/{link_id}"), json!({ "vanity": vanity })),
    ] {
        let answer = api.call(method, &path, Some(&mine.key), Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_silent(&answer, &yours, &body.to_string(), &path);
    }
    let host = json!({ "host": id("host") });
    let answer = api.call(Method::POST, "/v1/domains", Some(&mine.key), Some(host.clone())).await;
    assert_eq!(answer.problem(), "host_taken");
    assert_silent(&answer, &yours, &host.to_string(), "/v1/domains");
    for (path, name) in ids_in_bodies() {
        let crossed = |(to, body, _): &(&str, Value, u16)| *to == path && body[&name] == id(&name);
        // Crossed above.
        match name.as_str() {
            "offer_id" if path == own_offer => continue,
            "partner_id" if weighing.contains(&path.as_str()) => continue,
            _ => {}
        }
        assert!(cases.iter().any(crossed), "no case sends another tenant's {name} to {path}");
    }
    for (path, body, status) in cases {
        let answer = api.call(Method::POST, path, Some(&mine.key), Some(body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text);
        assert_silent(&answer, &yours, &body.to_string(), path);
    }
    // The same idempotency key and the same customer id in both tenants are two things.
    let key = [("idempotency-key", "shared")];
    for network in [&mine, &yours] {
        let through = json!({ "through": "2026-01-01T00:00:00Z" });
        let answer =
            api.call_with(Method::POST, "/v1/settlements", Some(&network.key), Some(through), &key).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.json()["statements"], json!([]));
    }
    let erased =
        api.call(Method::DELETE, &yours.path("/v1/customers/{customer_id}"), Some(&mine.key), None).await;
    assert_eq!(erased.json()["customers"], 0, "another tenant's customer is nobody here");
    let after = everything(&api, &yours).await;
    assert_eq!(after, before, "nothing of the other tenant has changed");
    let erased =
        api.call(Method::DELETE, &yours.path("/v1/customers/{customer_id}"), Some(&yours.key), None).await;
    assert_eq!(erased.json()["customers"], 1, "and it was still there");
    api.plane.stop().await;
}
