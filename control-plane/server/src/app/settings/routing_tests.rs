use super::*;
use serde_json::{Value, json};

fn lower(body: &Value) -> Result<edge_v1::OfferRouting, String> {
    let body: RoutingBody = serde_json::from_value(body.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_string(&body).unwrap();
    assert_eq!(serde_json::from_str::<RoutingBody>(&written).unwrap(), body, "what is stored reads back");
    body.check("http://127.0.0.1:8080/x", UnixMicros(0)).map_err(|error| error.to_string())?;
    body.lower(OfferId::new(1).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn nothing_set_is_nothing_sent() {
    let plain = edge_v1::OfferRouting { unique_window_secs: 86_400, ..edge_v1::OfferRouting::default() };
    assert_eq!(lower(&json!({})).unwrap(), plain);
    assert_eq!(serde_json::from_str::<RoutingBody>("{}").unwrap(), RoutingBody::default());
}

#[test]
fn a_whole_routing_becomes_what_edges_read() {
    let wire = lower(&json!({
        "redirect": "js", "deep_link_hosts": ["shop.example", "*.shop.example", "127.0.0.1"], "pass_through": true,
        "timezone": "Europe/Berlin", "unique_window_secs": 60, "expires_at": "2030-01-01T00:00:00Z",
        "click_cap": { "limit": 10, "window": "hour" },
        "preview": { "title": "Robots", "image": "https://shop.example/r.png" },
        "strict": true,
        "routes": [
            { "id": "de", "weight": 3, "when": { "field": "country", "in_set": "near" }, "destination": "https://a.example/{sub1}" },
            { "id": "night", "when": { "field": "local_hour", "lt": 6 }, "destination": "https://a.example/{sub1}" },
            { "id": "late", "priority": 1, "offer_id": "off_00000002" },
        ],
        "fallbacks": [{ "id": "rest", "destination": "https://b.example" }],
        "sets": [{ "name": "near", "values": ["DE", "AT"] }],
    }))
    .unwrap();
    assert_eq!(wire.pages, ["https://a.example/{sub1}", "https://b.example/"]);
    assert_eq!(wire.redirect, u32::from(RedirectKind::Js.code()));
    assert_eq!(wire.expires_at_secs, 1_893_456_000);
    let table = wire.table.unwrap();
    let (read, left_out) = proto_wire::convert::route_table_from_wire(OfferId::new(1).unwrap(), 2, &table);
    assert_eq!((left_out, read.parts().routes.len(), read.strict()), (0, 3, true));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let page = "https://a.example/";
    let route = |more: Value| {
        let mut route = json!({ "id": "a", "destination": page });
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "routes": [route] })
    };
    let cases = [
        (json!({ "redirect": "teleport" }), "/redirect: use one of"),
        (json!({ "deep_link_hosts": ["10.0.0.1"] }), "/deep_link_hosts/0: `10.0.0.1` is an address"),
        (
            json!({ "deep_link_hosts": ["a.example", "A.example"] }),
            "/deep_link_hosts/1: `A.example` is not a host",
        ),
        (json!({ "deep_link_hosts": ["*"] }), "/deep_link_hosts/0: "),
        (json!({ "deep_link_hosts": vec!["a.example"; 65] }), "/deep_link_hosts: name at most 64"),
        (json!({ "timezone": "Mars/Olympus" }), "/timezone: use a name"),
        (json!({ "unique_window_secs": 2_592_001 }), "/unique_window_secs: use at most"),
        (json!({ "cookie_days": 401 }), "/cookie_days: use at most"),
        (json!({ "click_cap": { "limit": 0, "window": "day" } }), "/click_cap/limit: use at least 1"),
        (json!({ "click_cap": { "limit": 1, "window": "week" } }), "/click_cap/window: use one of"),
        (json!({ "preview": { "title": " " } }), "/preview/title: "),
        (
            json!({ "preview": { "title": "a", "image": "http://a.example/" } }),
            "/preview/image: use a URL that",
        ),
        (route(json!({ "destination": "https://{x}/" })), "/routes/0/destination: macros may stand"),
        (route(json!({ "offer_id": "off_00000002" })), "/routes/0: give exactly one of"),
        (json!({ "fallbacks": [{ "id": "a" }] }), "/fallbacks/0: give exactly one of"),
        (
            json!({ "fallbacks": [{ "id": "a", "offer_id": "off_00000001" }] }),
            "/fallbacks/0/offer_id: fallbacks, position 0: leads to",
        ),
        (route(json!({ "weight": 0 })), "/routes/0/weight: "),
        (route(json!({ "id": "No" })), "/routes/0/id: "),
        (route(json!({ "when": { "field": "language", "eq": "EN" } })), "/routes/0/when/eq: "),
        (route(json!({ "when": { "field": "city", "in_set": "x" } })), "/routes/0/when/in_set: "),
        (route(json!({ "when": {} })), "/routes/0/when: give exactly one"),
        (route(json!({ "priority": 256 })), "invalid value"),
        (json!({ "colour": "red" }), "unknown field"),
    ];
    for (body, expected) in cases {
        let error = lower(&body).unwrap_err();
        assert!(error.contains(expected), "{body}\n  gave {error}");
    }
    let ends = RoutingBody { expires_at: Some(Time(UnixMicros(5))), ..RoutingBody::default() };
    let check = |now| ends.check("https://a.example/", UnixMicros(now));
    assert!(check(4).is_ok() && check(5).is_err());
}
