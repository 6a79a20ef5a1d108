use super::{Node, OnDisk, Setup};
use crate::decide::testing::*;
use crate::disk::simulated::SimulatedDisk;
use proto_model::event::{Authority, Body, ConversionHit, RefusedHit};
use proto_model::{DeviceClass, Lane, VerdictKind};

fn postback(query: &str) -> String {
    format!("/postback/{}?{query}", advertiser(1))
}

fn pixel(query: &str) -> String {
    format!("/p/{}.gif?{query}", advertiser(1))
}

fn conversions(events: &[OnDisk]) -> Vec<&ConversionHit> {
    let hit = |event: &OnDisk| matches!(event.event.body, Body::Conversion(_));
    let inner = events.iter().filter(|event| hit(event)).map(|event| match &event.event.body {
        Body::Conversion(hit) => hit,
        _ => unreachable!("filtered"),
    });
    inner.collect()
}

fn refusals(events: &[OnDisk]) -> Vec<&RefusedHit> {
    let refused = |event: &'_ OnDisk| matches!(event.event.body, Body::Refused(_));
    let inner = events.iter().filter(|event| refused(event)).map(|event| match &event.event.body {
        Body::Refused(hit) => hit,
        _ => unreachable!("filtered"),
    });
    inner.collect()
}

fn is_pixel(reply: &super::Response) -> bool {
    reply.status() == 200
        && reply.header("content-type") == Some("image/gif")
        && reply.header("content-length") == Some("43")
        && reply.header("cache-control").is_some_and(|value| value.contains("no-store"))
}

#[test]
fn a_conversion_that_was_accepted_is_on_disk() {
    let node = Setup::default().start();
    let click = node.get(&format!("/c/{}", link(LINK)));
    let click_id = click.click_id().unwrap();
    let query =
        format!("click_id={click_id}&order_id=A1&amount=19.90&currency=USD&customer_id=c1&token={TOKEN}");
    let reply = node.get(&postback(&query));
    assert_eq!((reply.status(), reply.reason()), (202, None), "{reply:?}");
    assert!(reply.body().starts_with("{\"status\":\"accepted\",\"conversion\":\"cnv_"), "{}", reply.body());

    let on_disk = node.on_disk(Lane::Money);
    let [event] = on_disk.as_slice() else { panic!("one conversion, not {on_disk:?}") };
    assert_eq!(event.personal.customer_id.as_deref(), Some("c1"));
    let [hit] = conversions(&on_disk)[..] else { panic!("a conversion") };
    assert_eq!((hit.order_id.as_str(), hit.authority), ("A1", Authority::TokenPostback));
    assert_eq!(hit.click.map(|click| click.link), Some(link(LINK)));

    let again = node.post(&postback(""), &query);
    assert_eq!((again.status(), again.reason()), (409, Some("duplicate")));
    let conversion = |reply: &super::Response| reply.body().split("cnv_").nth(1).map(str::to_owned);
    assert_eq!(conversion(&again), conversion(&reply), "the same conversion");
    let other = node.post(&postback(""), &query.replace("19.90", "29.90"));
    assert_eq!(other.status(), 202, "what disagrees is for the control plane to judge");
    let least = query.replace(&format!("&token={TOKEN}"), "");
    assert!(is_pixel(&node.get(&pixel(&least))) && node.get(&pixel(&least)).reason() == Some("duplicate"));
    assert_eq!(node.on_disk(Lane::Money).len(), 2);
}

#[test]
fn refusals_are_answered_and_kept() {
    let node = Setup::default().start();
    let forged = "A".repeat(80);
    let cases = [
        ("order_id=A".to_owned(), 403, "bad_token"),
        ("order_id=A&token=no".to_owned(), 403, "bad_token"),
        (format!("token={TOKEN}"), 422, "missing_order_id"),
        (format!("token={TOKEN}&order_id=A&click_id={forged}"), 422, "invalid_click_id"),
        (format!("token={TOKEN}&order_id=A&amount=-1&currency=USD"), 422, "invalid_amount"),
        (format!("token={TOKEN}&order_id=A&amount=1e309&currency=USD"), 422, "invalid_amount"),
        (format!("token={TOKEN}&order_id=A&amount=1.5&currency=JPY"), 422, "invalid_amount"),
        (format!("token={TOKEN}&order_id=A&amount=1&currency=ABC"), 422, "invalid_currency"),
        (format!("token={TOKEN}&order_id=A&order_id=B"), 422, "parameter_repeated"),
        (format!("token={TOKEN}&order_id=%ff"), 422, "malformed_query"),
        (format!("token={TOKEN}&order_id={}", "x".repeat(200)), 422, "field_too_long"),
    ];
    for (query, status, reason) in &cases {
        let reply = node.get(&postback(query));
        assert_eq!((reply.status(), reply.reason()), (*status, Some(*reason)), "{query}");
        assert_eq!(reply.body(), format!("{{\"status\":\"refused\",\"reason\":\"{reason}\"}}\n"));
        let posted = node.post(&postback(""), query);
        assert_eq!((posted.status(), posted.reason()), (*status, Some(*reason)), "{query}");
    }
    let pixel = node.get(&pixel(&format!("order_id=A&click_id={forged}")));
    assert!(is_pixel(&pixel) && pixel.reason() == Some("invalid_click_id"));
    let on_disk = node.on_disk(Lane::Money);
    let refused = refusals(&on_disk);
    assert_eq!(refused.len(), cases.len() * 2 + 1);
    for (refused, (_, _, reason)) in refused.chunks(2).zip(&cases) {
        assert!(refused.iter().all(|hit| hit.reason.as_str() == *reason));
    }
}

#[test]
fn what_is_refused_without_a_record() {
    let node = Setup::default().start();
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let big = "x".repeat(65 * 1024);
    let cases = [
        ("GET", "/postback/adv_00000099".to_owned(), "", "", 404, "unknown_advertiser"),
        ("GET", "/postback/nonsense".to_owned(), "", "", 404, "unknown_advertiser"),
        ("PUT", postback(""), "", "", 405, "method_not_allowed"),
        ("HEAD", postback(""), "", "", 405, "method_not_allowed"),
        ("POST", postback(""), "content-type: application/json\r\n", "{}", 415, "unsupported_media_type"),
        ("POST", postback(""), form, big.as_str(), 413, "body_too_large"),
    ];
    for (method, path, headers, body, status, reason) in cases {
        // A reply may be lost when the node closes before it has read a long body: then it says nothing.
        let reply = node.send(method, &path, headers, body);
        let lost = body.len() > 64 * 1024 && reply.status() == 0;
        assert!(lost || (reply.status(), reply.reason()) == (status, Some(reason)), "{path}: {reply:?}");
    }
    let announced = format!("{form}content-length: 99999999\r\nexpect: 100-continue\r\n");
    let reply = node.send("POST", &postback(""), &announced, "");
    assert_eq!((reply.status(), reply.reason()), (413, Some("body_too_large")));
    let unknown = node.get("/p/adv_00000099.gif");
    assert!(is_pixel(&unknown) && unknown.reason() == Some("unknown_advertiser"));
    assert!(node.on_disk(Lane::Money).is_empty());
}

#[test]
fn a_pixel_is_counted_once_and_always_an_image() {
    let node = Setup { rules: Some(block_device(DeviceClass::Crawler)), ..Setup::default() }.start();
    let query = "order_id=A1&amount=5&currency=USD";
    assert!(is_pixel(&node.send("HEAD", &pixel(query), "", "")));
    let ahead = node.send("GET", &pixel(query), "sec-purpose: prefetch\r\n", "");
    assert!(is_pixel(&ahead) && ahead.reason() == Some("prefetch"));
    assert!(node.on_disk(Lane::Money).is_empty());
    let first = node.get(&pixel(query));
    assert!(is_pixel(&first) && first.reason().is_none());
    for _ in 0..20 {
        let replay = node.get(&pixel(query));
        assert!(is_pixel(&replay) && replay.reason() == Some("duplicate"));
    }
    let bot = node.send("GET", &pixel("order_id=A2"), "user-agent: Googlebot/2.1\r\n", "");
    assert!(is_pixel(&bot) && bot.reason() == Some("blocked_by_rule"));
    let on_disk = node.on_disk(Lane::Money);
    let verdicts: Vec<_> = on_disk.iter().map(|event| event.event.verdict.kind).collect();
    assert_eq!(verdicts, [VerdictKind::Allow, VerdictKind::Block]);
}

#[test]
fn a_conversion_that_cannot_be_kept_is_asked_for_again() {
    let disk = SimulatedDisk::default();
    let node: Node = Setup::default().start_on(&disk);
    disk.fail_syncs_after(0);
    let query = format!("order_id=A&token={TOKEN}");
    for query in [query.as_str(), query.as_str(), "order_id=A&token=wrong"] {
        let reply = node.get(&postback(query));
        assert_eq!((reply.status(), reply.reason()), (503, Some("spool_unavailable")), "never a duplicate");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    let reply = node.get(&pixel("order_id=A"));
    assert!(is_pixel(&reply) && reply.reason() == Some("spool_unavailable"));
    let node = Setup { with_snapshot: false, ..Setup::default() }.start();
    assert_eq!(node.get(&postback(&query)).status(), 503);
    assert!(is_pixel(&node.get(&pixel("order_id=A"))));
}
