use super::{Node, OnDisk, Setup, eventually};
use crate::decide::testing::*;
use crate::disk::simulated::SimulatedDisk;
use crate::spool::SpoolConfig;
use proto_model::event::Body;
use proto_model::{Address, DeviceClass, Lane, StreamNo, VerdictKind};

fn path(link: u64) -> String {
    format!("/c/{}", crate::decide::testing::link(link))
}

#[test]
fn a_click_that_was_answered_is_on_disk() {
    let node = Setup::default().start();
    let agent = std::str::from_utf8(CHROME).unwrap();
    let headers = format!("user-agent: {agent}\r\nreferer: https://blog.example/post\r\n");
    let reply = node.send("GET", &format!("{}?sub_id1=summer&sub3=%E4%B8%AD", path(LINK)), &headers, "");
    assert_eq!((reply.status(), reply.reason()), (302, None));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let location = reply.location().unwrap();
    assert!(location.starts_with("https://shop.example/landing?ref=a%20b&click_id="), "{location}");
    assert!(location.ends_with("#top"));

    let on_disk = node.on_disk(Lane::Traffic);
    let [click] = on_disk.as_slice() else { panic!("one click, not {on_disk:?}") };
    assert_eq!(click.personal.sub_ids, ["summer", "", "中"]);
    let network = click.personal.network.as_ref().unwrap();
    assert_eq!((network.ip_prefix.as_str(), network.user_agent.as_str()), ("127.0.0.0/24", agent));
    assert_eq!(network.referrer, "https://blog.example/post");
    assert_eq!(click.event.facts.device, DeviceClass::Desktop);

    let facts = keys(1).open(reply.click_id().unwrap()).unwrap();
    assert_eq!(facts.address, Address { stream: StreamNo(2), ordinal: click.ordinal });
    assert_eq!(
        (facts.link, facts.at_secs),
        (link(LINK), u32::try_from(click.event.occurred_at.secs()).unwrap())
    );
    assert!(!facts.flags.unspooled());
    assert!(node.on_disk(Lane::Money).is_empty());
}

#[test]
fn links_go_where_the_snapshot_says() {
    let node = Setup::default().start();
    let cases = [
        (path(LINK_OFF), 302, Some("inactive_link"), Some(FALLBACK)),
        (path(LINK_OF_OFFER_OFF), 302, Some("inactive_link"), Some(FALLBACK)),
        (path(FOREIGN_LINK_OFF), 404, Some("inactive_link"), None),
        (path(999), 404, Some("unknown_link"), None),
        ("/c/".into(), 404, Some("unknown_link"), None),
        ("/c/off_00000001".into(), 404, Some("unknown_link"), None),
        ("/c/lnk_%30000000b".into(), 404, Some("unknown_link"), None),
        ("/c/lnk_0000000b/".into(), 404, Some("not_found"), None),
        ("/".into(), 404, Some("not_found"), None),
        ("/c//evil.example".into(), 404, Some("not_found"), None),
        ("//evil.example/c/lnk_0000000b".into(), 404, Some("not_found"), None),
        ("https://evil.example/nowhere".into(), 404, Some("not_found"), None),
    ];
    for (path, status, reason, location) in cases {
        let reply = node.get(&path);
        assert_eq!((reply.status(), reply.reason(), reply.location()), (status, reason, location), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    assert!(node.metrics().contains("{route=\"click\",outcome=\"refused\",reason=\"inactive_link\"} 3"));
    // What is known to be somebody's is on record; no reply has waited for that.
    assert!(eventually(|| node.on_disk(Lane::Traffic).len() == 3));
    let refused = |event: &OnDisk| match &event.event.body {
        Body::Refused(hit) => (hit.reason.as_str(), hit.link, hit.advertiser),
        other => panic!("{other:?}"),
    };
    let on_disk = node.on_disk(Lane::Traffic);
    assert_eq!(refused(&on_disk[0]), ("inactive_link", Some(link(LINK_OFF)), advertiser(1)));
}

#[test]
fn nothing_of_a_request_reaches_the_location() {
    let node = Setup::default().start();
    let clean = node.get(&path(LINK));
    let shape = |reply: &super::Response| {
        let location = reply.location().unwrap_or_default().to_owned();
        location.replace(reply.click_id().unwrap_or_default(), "ID")
    };
    let cases = [
        ("url=//evil.example", Some("deep_link_not_allowed")),
        ("url=https://evil.example/", Some("deep_link_not_allowed")),
        ("url=https://shop.example/a", Some("deep_link_not_allowed")),
        ("url=https://evil.example/&exp=9999999999&sig=AtJE-OnwIaHhw4jol1I75vQ", Some("bad_signature")),
        ("url=https://evil.example/&url=https://shop.example/", Some("parameter_repeated")),
        ("dest=https://evil.example&dest=x", None),
        ("click_id=mine", None),
        ("sub1=%0d%0aSet-Cookie:%20x=1", Some("malformed_query")),
        ("sub1=a&sub_id1=b", Some("parameter_repeated")),
        ("sub1=%C0%AF", Some("malformed_query")),
        ("sub1=javascript:alert(1)&sub2={click_id}", None),
        ("a=%", Some("malformed_query")),
        ("sub1=%00", Some("malformed_query")),
        ("&&&===&", None),
    ];
    for (query, reason) in cases {
        let reply = node.get(&format!("{}?{query}", path(LINK)));
        assert_eq!((reply.status(), reply.reason()), (302, reason), "{query}");
        assert_eq!(shape(&reply), shape(&clean), "{query}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    let long = node.get(&format!("{}?sub1={}", path(LINK), "x".repeat(300)));
    assert_eq!((long.status(), long.reason()), (302, Some("field_too_long")));
    assert_eq!(node.on_disk(Lane::Traffic).len(), cases.len() + 2, "every click counts");
}

#[test]
fn who_only_looks_is_not_counted() {
    let node = Setup::default().start();
    let head = node.send("HEAD", &path(LINK), "", "");
    assert_eq!((head.status(), head.reason()), (302, None));
    assert_eq!(head.location(), Some("https://shop.example/landing?ref=a%20b#top"), "no id is spent on it");
    for header in ["sec-purpose: prefetch;prerender", "purpose: prefetch", "x-moz: prefetch"] {
        let reply = node.send("GET", &path(LINK), &format!("{header}\r\n"), "");
        assert_eq!((reply.status(), reply.reason()), (503, Some("prefetch")), "{header}");
        assert_eq!((reply.header("cache-control"), reply.location()), (Some("no-store"), None));
    }
    assert_eq!(node.send("HEAD", &path(LINK_OFF), "", "").location(), Some(FALLBACK));
    let post = node.send("POST", &path(LINK), "", "");
    assert_eq!((post.status(), post.reason()), (405, Some("method_not_allowed")));
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
    assert!(node.on_disk(Lane::Traffic).is_empty());
}

#[test]
fn who_shows_a_dead_link_in_a_chat_is_neither_counted_nor_recorded() {
    let node = Setup::default().start();
    let reply = node.send("GET", &path(LINK_OFF), "user-agent: facebookexternalhit/1.1\r\n", "");
    assert_eq!((reply.location(), reply.reason()), (Some(FALLBACK), Some("inactive_link")));
    // Behind what would have been written before it.
    assert_eq!(node.get(&path(LINK)).status(), 302);
    let on_disk = node.on_disk(Lane::Traffic);
    let [event] = &on_disk[..] else { panic!("{on_disk:?}") };
    assert!(matches!(event.event.body, Body::Click(_)));
    assert!(node.metrics().contains("{route=\"click\",outcome=\"uncounted\",reason=\"inactive_link\"} 1"));
}

#[test]
fn a_blocked_click_stays_visible() {
    let rules = Some(block_device(DeviceClass::Crawler));
    let node = Setup { rules, ..Setup::default() }.start();
    let bot = "user-agent: Mozilla/5.0 (compatible; Googlebot/2.1)\r\n";
    let own = node.send("GET", &path(LINK), bot, "");
    assert_eq!((own.status(), own.reason(), own.location()), (302, Some("blocked_by_rule"), Some(FALLBACK)));
    let foreign = node.send("GET", &path(FOREIGN_LINK), bot, "");
    assert_eq!((foreign.status(), foreign.reason()), (403, Some("blocked_by_rule")));
    assert!(foreign.body().contains("<!doctype html>"));
    assert_eq!(node.get(&path(LINK)).status(), 302, "others pass");
    let clicks = node.on_disk(Lane::Traffic);
    let verdicts: Vec<_> = clicks.iter().map(|click| &click.event.verdict).collect();
    assert_eq!(verdicts.len(), 3);
    for verdict in &verdicts[..2] {
        assert_eq!((verdict.kind, verdict.rule_set_version), (VerdictKind::Block, 7));
        assert_eq!(verdict.rule_id.as_deref(), Some("no-such-device"));
    }
    assert_eq!(verdicts[2].kind, VerdictKind::Allow);
    assert!(clicks.iter().all(|click| matches!(click.event.body, Body::Click(_))));
}

fn redirects_with_an_unspooled_id(node: &Node) {
    for _ in 0..3 {
        let reply = node.get(&path(LINK));
        assert_eq!((reply.status(), reply.reason()), (302, Some("spool_unavailable")));
        let facts = keys(1).open(reply.click_id().unwrap()).unwrap();
        assert!(facts.flags.unspooled());
        assert_eq!(facts.link, link(LINK));
    }
    assert_eq!(node.get("/readyz").status(), 503);
    assert!(
        node.metrics().contains("{route=\"click\",outcome=\"unspooled\",reason=\"spool_unavailable\"} 3")
    );
}

#[test]
fn shoppers_go_on_when_the_disk_fails() {
    let disk = SimulatedDisk::default();
    let node = Setup::default().start_on(&disk);
    assert_eq!(node.get(&path(LINK)).reason(), None);
    disk.fail_syncs_after(0);
    redirects_with_an_unspooled_id(&node);
    assert!(node.get("/readyz").body().contains("disk failed"));
}

#[test]
fn shoppers_go_on_when_the_spool_is_full() {
    let spool = SpoolConfig { max_bytes: 1, ..SpoolConfig::default() };
    redirects_with_an_unspooled_id(&Setup { spool, ..Setup::default() }.start());
}

/// Also where the disk is what is small.
#[test]
fn a_small_disk_that_is_full_of_clicks_takes_conversions() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(128 << 10);
    let node = Setup::default().start_on(&disk);
    let full = (0..2000).any(|_| node.get(&path(LINK)).reason() == Some("spool_unavailable"));
    assert!(full);
    assert_eq!(node.get("/readyz").status(), 200, "not for conversions");
    let postback = |order: u32| format!("/postback/{}?order_id={order}&token={TOKEN}", advertiser(1));
    for order in 0..5 {
        assert_eq!(node.get(&postback(order)).status(), 202);
        assert_eq!(node.get(&path(LINK)).reason(), Some("spool_unavailable"));
    }
    let refused = (5..2000).find(|order| node.get(&postback(*order)).status() == 503);
    assert!(refused.is_some());
    let ready = node.get("/readyz");
    assert_eq!(ready.status(), 503);
    assert!(ready.body().contains("no more room"), "{}", ready.body());
    assert!(node.counts_now("spool_room_bytes 0"), "{}", node.metrics());
}

#[test]
fn without_a_snapshot_nothing_is_known() {
    let node = Setup { with_snapshot: false, ..Setup::default() }.start();
    let reply = node.get(&path(LINK));
    assert_eq!(
        (reply.status(), reply.reason(), reply.header("retry-after")),
        (503, Some("no_snapshot"), Some("1"))
    );
    assert_eq!(node.get("/livez").status(), 200);
    let ready = node.get("/readyz");
    assert_eq!((ready.status(), ready.body()), (503, "no snapshot yet (waiting for the control plane)\n"));

    node.server.shared().parts.watch.update(|progress| {
        progress.errors = 2;
        progress.last_error = Some("the certificate has expired".into());
        progress.older_refused = Some(7);
    });
    assert_eq!(node.get("/readyz").body(), "no snapshot yet (the certificate has expired)\n");
    assert!(!node.metrics().contains("clock_offset"), "it is not known");
    let measured = crate::report::Measured { offset_micros: -3_250_000, round_trip_micros: 1000 };
    node.server.shared().parts.clock.set(measured);
    assert!(node.counts("clock_offset_seconds -3.25"), "{}", node.metrics());
    let metrics = node.metrics();
    for line in ["_connected 0", "_errors_total 2", "_older_refused 7", "_issued_seconds 0"] {
        let line = format!("tributary_edge_snapshot{line}");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn the_country_comes_from_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let (good, corrupt) = (dir.path().join("good.mmdb"), dir.path().join("corrupt.mmdb"));
    geoip::testing::write_mmdb(&good, &[("203.0.113.0/24", "CN")]).unwrap();
    std::fs::write(&corrupt, b"\xab\xcd\xefMaxMind.com and nothing that follows from it").unwrap();
    for (database, expected) in [(good, "CN"), (corrupt, "ZZ"), (dir.path().join("missing.mmdb"), "ZZ")] {
        let mut setup = Setup::default();
        setup.config.geo_database = Some(database);
        setup.config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        let node = setup.start();
        let reply = node.send("GET", &path(LINK), "x-forwarded-for: 203.0.113.9\r\n", "");
        assert_eq!(reply.status(), 302, "a click is worth more than its country");
        let recorded = node.on_disk(Lane::Traffic).pop().unwrap().event.facts;
        let sealed = keys(1).open(reply.click_id().unwrap()).unwrap();
        assert_eq!((recorded.country.code(), sealed.country.code()), (expected, expected));
        assert_eq!(recorded.geo_version != 0, expected == "CN");
    }
}

#[test]
fn long_and_odd_headers_are_cut_to_what_may_be_kept() {
    let node = Setup::default().start();
    let headers =
        format!("user-agent: {}\u{e9}\r\nreferer: \tx{}\r\n", "a".repeat(9000), "\u{4e2d}".repeat(1000));
    assert_eq!(node.send("GET", &path(LINK), &headers, "").status(), 302);
    let network = node.on_disk(Lane::Traffic).pop().unwrap().personal.network.unwrap();
    assert_eq!(network.user_agent, "a".repeat(512));
    assert!(network.referrer.starts_with("x\u{4e2d}") && network.referrer.len() <= 1024);
}
