//! Routing, link settings and names, domains, deep links, postback settings: set, read back, refused by place.

use super::{Api, Network, text};
use control_plane_store::catalog::CatalogSnapshot;
use http::Method;
use proto_model::{LinkId, TenantId, UnixMicros};
use proto_wire::click_id::ClickKey;
use proto_wire::deep_link::DeepLinkKeys;
use serde_json::{Value, json};

async fn call(api: &Api, network: &Network, method: Method, path: &str, body: Value) -> (u16, Value) {
    let answer = api.call(method, path, Some(&network.key), Some(body)).await;
    (answer.status.as_u16(), if answer.text.is_empty() { Value::Null } else { answer.json() })
}

async fn patch(api: &Api, network: &Network, path: &str, body: Value) -> Value {
    let (status, answer) = call(api, network, Method::PATCH, path, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The pointer of the first mistake.
async fn mistake(api: &Api, network: &Network, method: Method, path: &str, body: Value) -> String {
    let (status, answer) = call(api, network, method, path, body.clone()).await;
    assert_eq!(status, 422, "{body}: {answer}");
    text(&answer["errors"][0]["pointer"])
}

#[tokio::test]
async fn an_offers_routing_is_set_as_a_whole_and_read_back() {
    let api = Api::start().await;
    let network = api.catalog("Routing").await;
    let offer = format!("/v1/offers/{}", network.id("offer_id"));
    assert_eq!(api.get(&offer, &network.key).await["routing"]["redirect"], "found");
    let routing = json!({
        "redirect": "no_referrer", "pass_through": true, "unique_window_secs": 60, "strict": true,
        "deep_link_hosts": ["shop.example"], "timezone": "Asia/Shanghai", "expires_at": "2090-01-01T00:00:00Z",
        "click_cap": { "limit": 9, "window": "day" }, "preview": { "title": "Robots", "description": "" },
        "routes": [{ "id": "cn", "priority": 1, "weight": 2, "when": { "field": "local_hour", "lt": 6 },
            "destination": "https://shop.example/{sub1}" }],
    });
    let changed = patch(&api, &network, &offer, json!({ "routing": routing })).await;
    assert_eq!(changed["routing"], routing);
    assert_eq!(patch(&api, &network, &offer, json!({ "status": "paused" })).await["pause_reason"], "by_hand");
    let plain = patch(&api, &network, &offer, json!({ "routing": {}, "status": "active" })).await;
    assert_eq!((&plain["pause_reason"], &plain["routing"]["strict"]), (&json!(null), &json!(false)));

    let own = network.id("offer_id");
    let cases = [
        (json!({ "redirect": "up" }), "/routing/redirect"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "/routing/expires_at"),
        (json!({ "deep_link_hosts": ["192.168.0.1"] }), "/routing/deep_link_hosts/0"),
        (json!({ "routes": [{ "id": "a", "offer_id": own }] }), "/routing/routes/0/offer_id"),
        (
            json!({ "fallbacks": [{ "id": "a", "offer_id": "off_00000009" }] }),
            "/routing/fallbacks/0/offer_id",
        ),
        (json!({ "routes": [{ "id": "a", "weight": -1, "offer_id": own }] }), "/routing/routes/0/weight"),
        (json!({ "colour": "red" }), "/routing/colour"),
    ];
    for (routing, pointer) in cases {
        let body = json!({ "routing": routing });
        assert_eq!(mistake(&api, &network, Method::PATCH, &offer, body).await, pointer);
    }
    let huge = json!({ "routing": {
        "routes": [{ "id": "a", "when": { "field": "city", "in_set": "s" }, "destination": "https://a.example/" }],
        "sets": [{ "name": "s", "values": vec!["x".repeat(500); 40] }],
    } });
    assert_eq!(mistake(&api, &network, Method::PATCH, &offer, huge).await, "/routing/sets");
    api.plane.stop().await;
}

#[tokio::test]
async fn who_pauses_an_offer_says_why_and_how_much_of_a_cap_is_gone_is_shown() {
    let api = Api::start().await;
    let network = api.catalog("Caps").await;
    let offer = format!("/v1/offers/{}", network.id("offer_id"));
    for reason in ["conversion_cap", "spend_cap", "by_hand"] {
        let paused = json!({ "status": "paused", "pause_reason": reason });
        assert_eq!(patch(&api, &network, &offer, paused).await["pause_reason"], reason);
    }
    for body in [
        json!({ "status": "paused", "pause_reason": "weather" }),
        json!({ "status": "active", "pause_reason": "by_hand" }),
        json!({ "pause_reason": "spend_cap" }),
    ] {
        assert_eq!(mistake(&api, &network, Method::PATCH, &offer, body).await, "/pause_reason");
    }
    let gone = |view: &Value| (view["limit"].clone(), view["used"].clone(), view["leased"].clone());
    let of_offer = format!("{offer}/click-cap");
    let none = api.get(&of_offer, &network.key).await;
    assert_eq!(gone(&none), (json!(null), json!(0), json!(0)), "no cap");
    let cap = json!({ "click_cap": { "limit": 9, "window": "day" }, "timezone": "Asia/Shanghai" });
    patch(&api, &network, &offer, json!({ "status": "active", "routing": cap })).await;
    let view = api.get(&of_offer, &network.key).await;
    assert_eq!(gone(&view), (json!(9), json!(0), json!(0)));
    assert!(text(&view["window_start"]).ends_with("T16:00:00Z"), "midnight in Shanghai: {view}");
    let link = format!("/v1/links/{}", network.id("link_id"));
    patch(&api, &network, &link, json!({ "settings": { "max_clicks": 3 } })).await;
    let view = api.get(&format!("{link}/click-cap"), &network.key).await;
    assert_eq!((gone(&view), &view["window_start"]), ((json!(3), json!(0), json!(0)), &json!(null)));
    api.plane.stop().await;
}

#[tokio::test]
async fn links_have_settings_and_names() {
    let api = Api::start().await;
    let network = api.catalog("Names").await;
    let key = &network.key;
    let link = format!("/v1/links/{}", network.id("link_id"));
    let offer = format!("/v1/offers/{}", network.id("offer_id"));
    let bare = api.get(&link, key).await;
    assert_eq!((&bare["vanity"], &bare["settings"]), (&json!(null), &json!({ "test": false })));

    let vanity = json!({ "domain": "go.names.example", "slug": "robots" });
    let early = mistake(&api, &network, Method::PATCH, &link, json!({ "vanity": vanity })).await;
    assert_eq!(early, "/vanity/domain");
    let domain = json!({ "host": "go.names.example", "home_url": "https://names.example" });
    let made = api.post("/v1/domains", key, domain.clone()).await;
    assert_eq!((&made["home_url"], &made["expired_url"]), (&json!("https://names.example/"), &json!(null)));
    let again = api.call(Method::POST, "/v1/domains", Some(key), Some(domain)).await;
    assert_eq!((again.status.as_u16(), again.problem().as_str()), (409, "host_taken"));
    for host in ["Go.example", "127.0.0.1", "localhost", "go.example:80"] {
        let body = json!({ "host": host });
        assert_eq!(mistake(&api, &network, Method::POST, "/v1/domains", body).await, "/host", "{host}");
    }
    let path = "/v1/domains/go.names.example";
    let changed =
        patch(&api, &network, path, json!({ "home_url": null, "expired_url": "https://e.example/" })).await;
    assert_eq!((&changed["home_url"], &changed["expired_url"]), (&json!(null), &json!("https://e.example/")));

    assert_eq!(patch(&api, &network, &link, json!({ "vanity": vanity })).await["vanity"], vanity);
    let second = json!({ "offer_id": network.id("offer_id"), "partner_id": network.id("partner_id"), "vanity": vanity });
    let taken = api.call(Method::POST, "/v1/links", Some(key), Some(second)).await;
    assert_eq!((taken.status.as_u16(), taken.problem().as_str()), (409, "slug_taken"));
    let in_use = api.call(Method::DELETE, path, Some(key), None).await;
    assert_eq!((in_use.status.as_u16(), in_use.problem().as_str()), (409, "domain_in_use"));
    let slug = json!({ "vanity": { "domain": "go.names.example", "slug": "postback" } });
    assert_eq!(mistake(&api, &network, Method::PATCH, &link, slug).await, "/vanity/slug");
    assert_eq!(patch(&api, &network, &link, json!({ "vanity": null })).await["vanity"], json!(null));
    assert_eq!(api.call(Method::DELETE, path, Some(key), None).await.status, 204);

    let settings = json!({ "test": true, "max_clicks": 3, "destination": "https://a.shop.example/{sub1}" });
    let body = json!({ "settings": settings });
    assert_eq!(mistake(&api, &network, Method::PATCH, &link, body.clone()).await, "/settings/destination");
    patch(&api, &network, &offer, json!({ "routing": { "deep_link_hosts": ["*.shop.example"] } })).await;
    assert_eq!(patch(&api, &network, &link, body).await["settings"], settings);
    for (settings, pointer) in [
        (json!({ "max_clicks": 0 }), "/settings/max_clicks"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "/settings/expires_at"),
        (json!({ "destination": "http://a.shop.example/" }), "/settings/destination"),
    ] {
        let body = json!({ "settings": settings });
        assert_eq!(mistake(&api, &network, Method::PATCH, &link, body).await, pointer);
    }
    api.plane.stop().await;
}

#[tokio::test]
async fn a_deep_link_is_signed_for_its_link_and_time() {
    let api = Api::start().await;
    let network = api.catalog("Deep").await;
    let path = format!("/v1/links/{}/deep-links", network.id("link_id"));
    let now = control_plane_server::app::clock::now();
    let expires_at = jiff_text(now.plus_secs(3_600));
    let body = json!({ "url": "https://far.example/a?b=c d", "expires_at": expires_at });
    let signed = api.post(&path, &network.key, body).await;
    let signed = text(&signed["path"]);
    let (link, query) = signed.split_once('?').unwrap();
    assert_eq!(link, format!("/c/{}", network.id("link_id")));
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let [(_, page), (_, expires), (_, signature)] = pairs.as_slice() else { panic!("{pairs:?}") };
    assert_eq!(page, "https://far.example/a?b=c%20d");
    let tenant: TenantId = text(&network.ids["tenant_id"]).parse().unwrap();
    let records = api.plane.app().store.click_keys(tenant).await.unwrap();
    let keys: Vec<_> =
        records.iter().map(|r| (ClickKey { key_id: r.key_id, key: r.key }, r.active)).collect();
    let link: LinkId = network.id("link_id").parse().unwrap();
    let verified =
        DeepLinkKeys::new(tenant, &keys).verify(link, page, expires.parse().unwrap(), signature, now);
    assert_eq!(verified, Ok(()));
    for (body, pointer) in [
        (json!({ "url": "http://far.example/", "expires_at": expires_at }), "/url"),
        (json!({ "url": "/a", "expires_at": expires_at }), "/url"),
        (
            json!({ "url": "https://far.example/", "expires_at": jiff_text(UnixMicros(now.0 - 1)) }),
            "/expires_at",
        ),
        (json!({ "url": "https://far.example/", "expires_at": "2099-01-01T00:00:00Z" }), "/expires_at"),
    ] {
        assert_eq!(mistake(&api, &network, Method::POST, &path, body).await, pointer);
    }
    api.plane.stop().await;
}

fn jiff_text(at: UnixMicros) -> String {
    control_plane_server::rest::ids::Time(at).text()
}

#[tokio::test]
async fn advertisers_report_as_they_please_and_secrets_are_shown_once() {
    let api = Api::start().await;
    let network = api.catalog("Postbacks").await;
    let key = &network.key;
    let path = format!("/v1/advertisers/{}/postback", network.id("advertiser_id"));
    let fresh = api.get(&path, key).await;
    assert_eq!(
        (&fresh["profile"], &fresh["auth"], &fresh["keys"]),
        (&json!("tributary"), &json!("token"), &json!([]))
    );
    let hmac = json!({ "profile": "affise", "auth": "hmac", "parameters": { "order_id": "ref" } });
    assert_eq!(mistake(&api, &network, Method::PUT, &path, hmac.clone()).await, "/auth", "a key comes first");
    let made = api.post(&format!("{path}/keys"), key, json!({})).await;
    assert!(text(&made["secret"]).starts_with("tbh_") && made["key_id"] == 1);
    let (status, set) = call(&api, &network, Method::PUT, &path, hmac).await;
    assert_eq!((status, &set["auth"], &set["parameters"]["order_id"]), (200, &json!("hmac"), &json!("ref")));
    for expected in [2, 3] {
        assert_eq!(api.post(&format!("{path}/keys"), key, json!({})).await["key_id"], expected);
    }
    let test = api.post(&format!("{path}/test-token"), key, json!({})).await;
    let shown = api.call(Method::GET, &path, Some(key), None).await;
    assert!(!shown.text.contains("tbh_") && !shown.text.contains(&text(&test["test_token"])));
    let shown = shown.json();
    assert_eq!(shown["has_test_token"], true);
    let ids: Vec<_> = shown["keys"].as_array().unwrap().iter().map(|key| key["key_id"].clone()).collect();
    assert_eq!(ids, [3, 2]);
    for (body, pointer) in [
        (json!({ "profile": "hasoffers" }), "/profile"),
        (json!({ "auth": "ip_list" }), "/networks"),
        (json!({ "networks": ["10.0.0.1/8"] }), "/networks/0"),
        (json!({ "keys": [] }), "/keys"),
    ] {
        assert_eq!(mistake(&api, &network, Method::PUT, &path, body).await, pointer);
    }
    api.plane.stop().await;
}

fn counts(catalog: &CatalogSnapshot) -> (usize, usize) {
    (catalog.domains.len(), catalog.postback_keys.len())
}

#[tokio::test]
async fn what_is_set_reaches_the_edges() {
    let api = Api::start().await;
    let network = api.catalog("Edges").await;
    let key = &network.key;
    api.post("/v1/domains", key, json!({ "host": "go.edges.example" })).await;
    let link = format!("/v1/links/{}", network.id("link_id"));
    patch(&api, &network, &link, json!({ "vanity": { "domain": "go.edges.example", "slug": "a" } })).await;
    let offer = format!("/v1/offers/{}", network.id("offer_id"));
    patch(&api, &network, &offer, json!({ "routing": { "timezone": "Europe/Berlin" } })).await;
    let advertiser = format!("/v1/advertisers/{}", network.id("advertiser_id"));
    api.post(&format!("{advertiser}/postback/keys"), key, json!({})).await;
    let catalog = api.plane.app().store.catalog_snapshot().await.unwrap();
    assert_eq!(counts(&catalog), (2, 1), "every network of these tests has a domain");
    let settings = crate::snapshot::settings_of(&api.plane).await;
    let hosts: Vec<_> = settings.domains.iter().map(|domain| domain.host.as_str()).collect();
    assert_eq!(hosts, ["edges-domain.example", "go.edges.example"]);
    assert_eq!(settings.time_zones[0].name, "Europe/Berlin");
    assert_eq!(settings.offers[0].routing.as_ref().unwrap().time_zone, "Europe/Berlin");
    assert_eq!(settings.advertisers[0].postback.as_ref().unwrap().keys.len(), 1);
    api.plane.stop().await;
}
