//! `/t.js` and what it sends: clicks without a redirect, touches, conversions of pages.

use super::impressions::with_routing;
use super::{Node, OnDisk, Response, Setup};
use crate::decide::testing::*;
use proto_model::event::{Authority, Body, Privacy, Uniqueness};
use proto_model::{DeviceClass, Lane, Reason, VerdictKind};
use proto_wire::edge_v1::OfferRouting;
use serde_json::{Value, json};

const TEXT: &str =
    "content-type: text/plain;charset=UTF-8\r\nuser-agent: Mozilla/5.0 (Windows NT 10.0) Chrome/126\r\n";
const SHOP: &str = "origin: https://shop.example\r\nreferer: https://shop.example/landing\r\n";

fn send(node: &Node, headers: &str, message: &Value) -> Response {
    node.send("POST", "/e", &format!("{TEXT}{headers}"), &message.to_string())
}

fn direct_click() -> Value {
    json!({
        "type": "click", "link": link(LINK).to_string(), "sub1": "spring", "consent": "granted",
        "referrer": "https://blog.example/post",
    })
}

fn click_id(reply: &Response) -> String {
    let body: Value = serde_json::from_str(reply.body()).unwrap();
    body["click_id"].as_str().unwrap().to_owned()
}

fn touch(click_id: &str) -> Value {
    json!({
        "type": "touch", "advertiser": advertiser(1).to_string(), "click_id": click_id,
        "visitor_id": "v-1", "customer_id": "c-1", "consent": "granted",
    })
}

fn kinds(events: &[OnDisk]) -> Vec<&'static str> {
    let kind = |event: &OnDisk| match event.event.body {
        Body::Click(_) => "click",
        Body::Conversion(_) => "conversion",
        Body::Refused(_) => "refused",
        Body::Impression(_) => "impression",
        Body::Touch(_) => "touch",
    };
    events.iter().map(kind).collect()
}

#[test]
fn the_script_is_small_and_asked_for_once_an_hour() {
    let node = Setup::default().start();
    let reply = node.get("/t.js");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=3600"));
    assert!(reply.body().len() < 4096 && reply.body().contains("sendBeacon"));
    let tag = reply.header("etag").unwrap();
    let again = node.send("GET", "/t.js", &format!("if-none-match: {tag}\r\n"), "");
    assert_eq!((again.status(), again.body()), (304, ""));
    assert_eq!(node.send("HEAD", "/t.js", "", "").status(), 200);
}

#[test]
fn a_page_registers_a_click_without_a_redirect() {
    let node = Setup::default().start();
    let reply = send(&node, SHOP, &direct_click());
    assert_eq!((reply.status(), reply.reason()), (200, None), "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let facts = keys(1).open(&click_id(&reply)).unwrap();
    assert_eq!((facts.link, facts.flags.direct(), facts.flags.test()), (link(LINK), true, false));

    let on_disk = node.on_disk(Lane::Traffic);
    let [click] = &on_disk[..] else { panic!("{on_disk:?}") };
    let Body::Click(body) = &click.event.body else { panic!("a click") };
    assert_eq!((body.flags.direct(), body.uniqueness), (true, Uniqueness::Unique));
    assert_eq!(click.ordinal, facts.address.ordinal);
    assert_eq!(click.personal.sub_ids, ["spring"]);
    let network = click.personal.network.as_ref().unwrap();
    assert_eq!(network.referrer, "https://blog.example/post", "not the landing page");
}

#[test]
fn clicks_that_no_page_may_register() {
    let rules = Some(block_device(DeviceClass::Crawler));
    let node = Setup { rules, ..Setup::default() }.start();
    let other = |field: &str, value: &str| {
        let mut message = direct_click();
        message[field] = value.into();
        message
    };
    let off = other("link", &link(LINK_OFF).to_string());
    let offer_off = other("link", &link(LINK_OF_OFFER_OFF).to_string());
    let cases = [
        ("origin: https://evil.example\r\n", direct_click(), 422, "foreign_page"),
        ("origin: null\r\n", direct_click(), 422, "foreign_page"),
        ("origin: http://shop.example\r\n", direct_click(), 422, "foreign_page"),
        (SHOP, off, 422, "inactive_link"),
        (SHOP, offer_off, 422, "inactive_link"),
        (SHOP, other("link", "lnk_7zzzzzzz"), 404, "unknown_link"),
        (SHOP, other("link", "nonsense"), 404, "unknown_link"),
        (SHOP, other("type", "sale"), 422, "malformed_body"),
    ];
    for (headers, message, status, reason) in &cases {
        let reply = send(&node, headers, message);
        assert_eq!((reply.status(), reply.reason()), (*status, Some(*reason)), "{message}");
        assert_eq!(reply.body(), format!("{{\"status\":\"refused\",\"reason\":\"{reason}\"}}\n"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    let preview = "content-type: text/plain\r\nuser-agent: facebookexternalhit/1.1\r\n";
    let looked = node.send("POST", "/e", preview, &direct_click().to_string());
    assert_eq!((looked.status(), looked.reason()), (422, Some("preview")));
    let bot = "content-type: text/plain\r\nuser-agent: Mozilla/5.0 (compatible; Googlebot/2.1)\r\n";
    let blocked = node.send("POST", "/e", bot, &direct_click().to_string());
    assert_eq!((blocked.status(), blocked.reason()), (403, Some("blocked_by_rule")));

    let on_disk = node.on_disk(Lane::Traffic);
    assert_eq!(kinds(&on_disk), ["refused", "refused", "refused", "refused", "refused", "click"]);
    let reasons: Vec<_> = on_disk
        .iter()
        .filter_map(|event| match &event.event.body {
            Body::Refused(hit) => Some((hit.reason.as_str(), hit.link)),
            _ => None,
        })
        .collect();
    assert_eq!(reasons[0], ("foreign_page", Some(link(LINK))));
    assert_eq!(
        reasons[3..],
        [("inactive_link", Some(link(LINK_OFF))), ("inactive_link", Some(link(LINK_OF_OFFER_OFF)))]
    );
    assert_eq!(on_disk[5].event.verdict.kind, VerdictKind::Block);
}

#[test]
fn a_touch_is_born_with_consent_and_without_it_not() {
    let node = Setup::default().start();
    let click_id = click_id(&send(&node, SHOP, &direct_click()));
    let mut denied = touch(&click_id);
    denied["consent"] = "denied".into();
    let mut silent = touch(&click_id);
    silent.as_object_mut().unwrap().remove("consent");
    for (headers, message) in [("", &denied), ("", &silent), ("sec-gpc: 1\r\n", &touch(&click_id))] {
        let reply = send(&node, headers, message);
        assert_eq!((reply.status(), reply.reason()), (403, Some("no_consent")), "{message}");
    }
    assert!(node.on_disk(Lane::Money).is_empty(), "nothing of who does not agree is kept");

    let reply = send(&node, SHOP, &touch(&click_id));
    assert_eq!((reply.status(), reply.reason()), (202, None), "{reply:?}");
    let on_disk = node.on_disk(Lane::Money);
    let [event] = &on_disk[..] else { panic!("{on_disk:?}") };
    let Body::Touch(hit) = &event.event.body else { panic!("a touch") };
    assert_eq!((hit.advertiser, hit.click.link), (advertiser(1), link(LINK)));
    assert_eq!(event.personal.customer_id.as_deref(), Some("c-1"));
    assert_eq!(event.personal.visitor_id.as_deref(), Some("v-1"));

    let forged = send(&node, "", &touch(&"A".repeat(80)));
    assert_eq!((forged.status(), forged.reason()), (422, Some("invalid_click_id")));
    let mut foreign = touch(&click_id);
    foreign["advertiser"] = advertiser(101).to_string().into();
    assert_eq!(send(&node, "", &foreign).reason(), Some("invalid_click_id"));
    foreign["advertiser"] = advertiser(77).to_string().into();
    let nobody = send(&node, "", &foreign);
    assert_eq!((nobody.status(), nobody.reason()), (404, Some("unknown_advertiser")));
    assert_eq!(
        kinds(&node.on_disk(Lane::Money)),
        ["touch"],
        "what anybody can send again and again is no money"
    );
    // Nobody waits for what was refused; it is there before what comes after it.
    send(&node, SHOP, &direct_click());
    assert_eq!(kinds(&node.on_disk(Lane::Traffic)), ["click", "refused", "refused", "click"]);
}

#[test]
fn touches_are_taken_from_the_offers_own_pages_alone() {
    let more = OfferRouting {
        deep_link_hosts: vec!["*.cdn.example".into()],
        pages: vec!["https://shop.example.fr/bonjour".into()],
        ..OfferRouting::default()
    };
    let node = Setup { snapshot: Some(with_routing(more)), ..Setup::default() }.start();
    let click_id = click_id(&send(&node, SHOP, &direct_click()));
    let foreign = [
        "",
        "origin: https://evil.example\r\n",
        "origin: https://evil.example/shop.example\r\n",
        "origin: https://shop.example.evil.example\r\n",
        "origin: https://shop.example@evil.example\r\n",
        "origin: http://shop.example\r\n",
        "origin: null\r\n",
        "origin: shop.example\r\n",
        "origin: \u{e9}\r\n",
        "origin: https://evil.example\r\nreferer: https://shop.example/landing\r\n",
        // Of another offer of the tenant.
        "origin: https://other.example\r\n",
    ];
    for headers in foreign {
        let reply = send(&node, headers, &touch(&click_id));
        assert_eq!((reply.status(), reply.reason()), (422, Some("foreign_touch")), "{headers}");
    }
    for own in
        ["https://shop.example", "https://SHOP.example", "https://a.cdn.example", "https://shop.example.fr"]
    {
        let reply = send(&node, &format!("origin: {own}\r\n"), &touch(&click_id));
        assert_eq!((reply.status(), reply.reason()), (202, None), "{own}");
    }
    assert_eq!(kinds(&node.on_disk(Lane::Money)), ["touch"; 4]);
    send(&node, SHOP, &direct_click());
    let on_disk = node.on_disk(Lane::Traffic);
    let [_, refused @ .., _] = &on_disk[..] else { panic!("{on_disk:?}") };
    assert_eq!(refused.len(), foreign.len());
    for event in refused {
        let Body::Refused(hit) = &event.event.body else { panic!("refused: {event:?}") };
        assert_eq!(
            (hit.reason, hit.link),
            (Reason::ForeignTouch, Some(link(LINK))),
            "whose click it was is seen"
        );
        assert_eq!((&event.personal.customer_id, &event.personal.visitor_id), (&None, &None));
    }
}

#[test]
fn a_page_reports_what_any_pixel_could() {
    let node = Setup::default().start();
    let order = |consent: &str| {
        json!({
            "type": "conversion", "advertiser": advertiser(1).to_string(), "order_id": consent,
            "amount": "19.90", "currency": "USD", "visitor_id": "v-1", "customer_id": "c-1", "consent": consent,
        })
    };
    let reply = send(&node, SHOP, &order("granted"));
    assert_eq!((reply.status(), reply.reason()), (202, None), "{reply:?}");
    assert!(reply.body().starts_with("{\"status\":\"accepted\",\"conversion\":\"cnv_"), "{}", reply.body());
    assert_eq!(send(&node, SHOP, &order("granted")).status(), 409);
    assert_eq!(send(&node, SHOP, &order("denied")).status(), 202, "counted all the same");
    let mut bad = order("granted");
    bad["amount"] = "-1".into();
    let refused = send(&node, "", &bad);
    assert_eq!((refused.status(), refused.reason()), (422, Some("invalid_amount")));

    let on_disk = node.on_disk(Lane::Money);
    assert_eq!(kinds(&on_disk), ["conversion", "conversion", "refused"]);
    let Body::Conversion(hit) = &on_disk[0].event.body else { panic!("a conversion") };
    assert_eq!(hit.authority, Authority::Pixel);
    let who = |event: &OnDisk| (event.personal.customer_id.clone(), event.personal.visitor_id.clone());
    assert_eq!(who(&on_disk[0]), (Some("c-1".into()), Some("v-1".into())));
    assert_eq!(who(&on_disk[1]), (None, None));
    let kept = |event: &OnDisk| (event.event.facts.privacy, event.personal.network.is_some());
    assert_eq!((kept(&on_disk[0]), kept(&on_disk[1])), ((Privacy::Full, true), (Privacy::Reduced, false)));
}

#[test]
fn what_a_beacon_may_be() {
    let node = Setup::default().start();
    let preflight = node.send("OPTIONS", "/e", "origin: https://shop.example\r\n", "");
    assert_eq!((preflight.status(), preflight.header("access-control-allow-methods")), (204, Some("POST")));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type"));
    let long = "x".repeat(17 * 1024);
    let cases = [
        ("GET", TEXT, "", 405, "method_not_allowed"),
        ("POST", TEXT, "", 422, "malformed_body"),
        ("POST", TEXT, "[1]", 422, "malformed_body"),
        ("POST", "content-type: application/x-www-form-urlencoded\r\n", "a=b", 415, "unsupported_media_type"),
        ("POST", TEXT, long.as_str(), 413, "body_too_large"),
    ];
    for (method, headers, body, status, reason) in cases {
        let reply = node.send(method, "/e", headers, body);
        assert_eq!((reply.status(), reply.reason()), (status, Some(reason)), "{method} {body:.20}");
    }
    let json = "content-type: application/json\r\n";
    assert_eq!(node.send("POST", "/e", json, &direct_click().to_string()).status(), 200);
    let early = Setup { with_snapshot: false, ..Setup::default() }.start();
    let reply = send(&early, "", &direct_click());
    assert_eq!((reply.status(), reply.header("retry-after")), (503, Some("1")));
}
