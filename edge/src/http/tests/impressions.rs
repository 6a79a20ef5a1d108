//! Impressions, frames, and whether a click is its visitor's first.

use super::Setup;
use crate::decide::testing::*;
use crate::snapshot::Snapshot;
use proto_model::event::{Body, Privacy, Uniqueness};
use proto_model::{DeviceClass, Lane, VerdictKind};
use proto_wire::click_id::{ClickKey, ClickKeys};
use proto_wire::edge_v1::{
    self, Advertiser, Chunk, Link, LinkChunk, LinkSettings, Offer, OfferRouting, PostbackSettings,
    TenantChunk, chunk::Content,
};

#[test]
fn what_was_shown_is_on_disk() {
    let rules = Some(block_device(DeviceClass::Crawler));
    let node = Setup { rules, ..Setup::default() }.start();
    let path = |n| format!("/i/{}.gif?sub1=spring", link(n));
    let bot = "user-agent: Mozilla/5.0 (compatible; Googlebot/2.1)\r\n";
    let cases = [
        ("GET", path(LINK), "", None),
        ("GET", path(LINK), bot, Some("blocked_by_rule")),
        ("GET", path(LINK_OFF), "", Some("inactive_link")),
        ("GET", "/i/lnk_7zzzzzzz.gif".into(), "", Some("unknown_link")),
        ("GET", "/i/nonsense.gif".into(), "", Some("unknown_link")),
        ("GET", path(LINK), "sec-purpose: prefetch\r\n", Some("prefetch")),
        ("GET", format!("{}&sub1=again", path(LINK)), "", Some("parameter_repeated")),
        ("HEAD", path(LINK), "", None),
    ];
    for (method, path, headers, reason) in cases {
        let reply = node.send(method, &path, headers, "");
        assert_eq!((reply.status(), reply.reason()), (200, reason), "{path}");
        assert_eq!(reply.header("content-type"), Some("image/gif"));
    }
    let on_disk = node.on_disk(Lane::Traffic);
    let shown: Vec<_> = on_disk
        .iter()
        .map(|event| match &event.event.body {
            Body::Impression(shown) => (shown.link, shown.flags.0, event.event.verdict.kind),
            other => panic!("{other:?}"),
        })
        .collect();
    let allowed = (link(LINK), 0, VerdictKind::Allow);
    assert_eq!(shown, [allowed, (link(LINK), 0, VerdictKind::Block), allowed]);
    assert_eq!(on_disk[0].personal.sub_ids, ["spring"]);
}

#[test]
fn a_frame_is_a_pixel_that_is_a_page() {
    let node = Setup::default().start();
    let path = |query: &str| format!("/p/{}.html?{query}", advertiser(1));
    for (query, reason) in
        [("order_id=A", None), ("order_id=A", Some("duplicate")), ("", Some("missing_order_id"))]
    {
        let reply = node.get(&path(query));
        assert_eq!((reply.status(), reply.reason()), (200, reason), "{query}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(reply.header("x-frame-options"), None);
        assert!(reply.body().starts_with("<!doctype html>"));
    }
    assert_eq!(node.on_disk(Lane::Money).len(), 2);
}

fn with_window(unique_window_secs: u32) -> Snapshot {
    with_routing(OfferRouting { unique_window_secs, ..OfferRouting::default() })
}

fn with_cookie(cookie_days: u32) -> Snapshot {
    with_routing(OfferRouting { cookie_days, ..OfferRouting::default() })
}

/// The first link's offer, routed like this.
pub fn with_routing(routing: OfferRouting) -> Snapshot {
    let destination = "https://shop.example/".to_owned();
    let offer = Offer {
        id: 1,
        advertiser: 1,
        program: 5,
        destination,
        active: true,
        routing: Some(routing),
        ..Offer::default()
    };
    let postback = PostbackSettings { consent_parameters: vec!["ok".into()], ..PostbackSettings::default() };
    let advertiser = Advertiser { id: 1, postback: Some(postback), ..Advertiser::default() };
    let settings = TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        advertisers: vec![advertiser],
        offers: vec![offer],
        ..TenantChunk::default()
    };
    let test = LinkSettings { test: true, ..LinkSettings::default() };
    let link = |id, settings| Link { id, offer: 1, partner: 9, active: true, settings };
    let links = LinkChunk { links: vec![link(LINK, None), link(LINK_OFF, Some(test))] };
    let chunk = |content| Chunk { tenant: 1, content: Some(content) };
    Snapshot::from_chunks(3, &[chunk(Content::Settings(settings)), chunk(Content::Links(links))]).unwrap()
}

#[test]
fn a_visitors_second_click_is_not_unique() {
    let found = |window, agents: &[&str]| {
        let node = Setup { snapshot: Some(with_window(window)), ..Setup::default() }.start();
        for agent in agents {
            node.send("GET", &format!("/c/{}", link(LINK)), &format!("user-agent: {agent}\r\n"), "");
        }
        let clicks = node.on_disk(Lane::Traffic);
        let uniqueness = clicks.iter().map(|click| match &click.event.body {
            Body::Click(click) => click.uniqueness,
            other => panic!("{other:?}"),
        });
        uniqueness.collect::<Vec<_>>()
    };
    let (unique, repeated) = (Uniqueness::Unique, Uniqueness::Repeated);
    assert_eq!(found(86_400, &["a", "a", "b", "a"]), [unique, repeated, unique, repeated]);
    assert_eq!(found(0, &["a", "a"]), [unique, unique], "where nobody asks, every click is");
}

#[test]
fn a_cookie_keeps_the_click_only_where_the_offer_says_so() {
    let node = Setup { snapshot: Some(with_cookie(30)), ..Setup::default() }.start();
    let click = format!("/c/{}", link(LINK));
    let reply = node.get(&click);
    let set = reply.header("set-cookie").unwrap();
    assert!(set.ends_with("; Max-Age=2592000; Path=/p/; Secure; HttpOnly; SameSite=None"), "{set}");
    let kept = set.split(';').next().unwrap();
    assert!(kept.ends_with(&format!("={}", reply.click_id().unwrap())));
    let framed = node.send("GET", &click, "sec-fetch-dest: iframe\r\n", "");
    assert!(framed.header("set-cookie").unwrap().ends_with("; Partitioned"));
    assert_eq!(node.send("GET", &click, "sec-gpc: 1\r\n", "").header("set-cookie"), None);

    let (name, _) = kept.split_once('=').unwrap();
    let cases = [
        ("A", format!("cookie: {kept}\r\n"), true),
        ("B", format!("cookie: {name}=forged\r\n"), false),
        ("C", format!("cookie: {kept}\r\nsec-gpc: 1\r\n"), false),
        ("D", String::new(), false),
    ];
    for (order, headers, _) in &cases {
        let reply = node.send("GET", &format!("/p/{}.gif?order_id={order}", advertiser(1)), headers, "");
        assert_eq!((reply.status(), reply.reason()), (200, None), "{order}");
    }
    for (event, (order, _, known)) in node.on_disk(Lane::Money).iter().zip(&cases) {
        let Body::Conversion(hit) = &event.event.body else { panic!("a conversion") };
        assert_eq!(hit.click.is_some(), *known, "{order}");
    }
    let without = Setup { snapshot: Some(with_window(0)), ..Setup::default() }.start();
    assert_eq!(without.get(&click).header("set-cookie"), None);
}

#[test]
fn a_kept_click_counts_only_for_as_long_as_the_offer_says_now() {
    let first = Setup { snapshot: Some(with_cookie(30)), ..Setup::default() }.start();
    let reply = first.get(&format!("/c/{}", link(LINK)));
    let fresh = reply.click_id().unwrap();
    let keys = [(ClickKey { key_id: 1, key: [7; 32] }, true)];
    let years_old = ClickKeys::try_new(tenant(1), &keys).unwrap().seal(&click_facts(), [1; 6]);
    let cases = [
        ("it never did, or no more", with_cookie(0), fresh, false),
        ("it does", with_cookie(1), fresh, true),
        ("its days are over", with_cookie(30), &*years_old, false),
        ("they are not", with_cookie(36_500), &*years_old, true),
    ];
    for (case, snapshot, kept, known) in cases {
        let node = Setup { snapshot: Some(snapshot), ..Setup::default() }.start();
        let cookie = format!("cookie: click_{}={kept}\r\n", advertiser(1));
        for page in ["gif", "html"] {
            node.send("GET", &format!("/p/{}.{page}?order_id={page}", advertiser(1)), &cookie, "");
        }
        let on_disk = node.on_disk(Lane::Money);
        let found = on_disk.iter().map(|event| match &event.event.body {
            Body::Conversion(hit) => hit.click.is_some(),
            other => panic!("{other:?}"),
        });
        assert_eq!(found.collect::<Vec<_>>(), [known; 2], "{case}");
    }
}

#[test]
fn tests_are_marked_and_consent_goes_by_the_advertisers_name() {
    let node = Setup { snapshot: Some(with_window(0)), ..Setup::default() }.start();
    node.get(&format!("/i/{}.gif", link(LINK_OFF)));
    let on_disk = node.on_disk(Lane::Traffic);
    assert!(matches!(&on_disk[0].event.body, Body::Impression(shown) if shown.flags.test()));

    for (order, ok) in [("A", "&ok=1"), ("B", "&ok=0"), ("C", "&ok="), ("D", ""), ("E", "&consent=denied")] {
        node.get(&format!("/p/{}.gif?customer_id=c&order_id={order}{ok}", advertiser(1)));
    }
    let kept: Vec<_> = node
        .on_disk(Lane::Money)
        .iter()
        .map(|event| (event.event.facts.privacy, event.personal.customer_id.is_some()))
        .collect();
    let (full, reduced) = ((Privacy::Full, true), (Privacy::Reduced, false));
    assert_eq!(kept, [full, reduced, reduced, full, reduced]);
}
