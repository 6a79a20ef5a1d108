//! Click caps, as hits meet them. The node has no keeper: a test gives the leases.

use super::{Node, Setup, block_on};
use crate::budget::{Budgets, Key, Recorded, recount};
use crate::decide::testing::{LINK, link, offer, tenant};
use crate::disk::simulated::SimulatedDisk;
use crate::forward::SealedFiles;
use crate::snapshot::Snapshot;
use crate::state::SavedLease;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use proto_model::cap::Window;
use proto_model::{Capped, ClickLease, StreamNo, UnixMicros};
use proto_wire::edge_v1::{
    self, Chunk, ClickCap, LinkChunk, LinkSettings, Offer, OfferRouting, Route, RouteTable, TenantChunk,
    chunk::Content, route::To,
};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

const OWN: &str = "https://shop.example/";
const ELSEWHERE: &str = "https://shop.example/else";
const OTHER: &str = "https://other.example/";
/// Links to offer 1, which falls back on offer 2, and one that is good for some clicks; and to offer 3, which has a
/// page for what comes over its cap.
const USES: u64 = 12;
const WITH_PAGE: u64 = 13;

fn snapshot() -> Snapshot {
    let capped = |id, destination: &str, fallback: Option<To>| Offer {
        id,
        advertiser: 1,
        program: 5,
        destination: destination.into(),
        active: true,
        routing: Some(OfferRouting {
            click_cap: Some(ClickCap { limit: 5, window: 1 }),
            pages: vec![ELSEWHERE.into()],
            table: fallback.map(|to| RouteTable {
                fallbacks: vec![Route { id: "on".into(), weight: 1, to: Some(to), ..Route::default() }],
                ..RouteTable::default()
            }),
            ..OfferRouting::default()
        }),
        ..Offer::default()
    };
    let plain = |id| Offer { routing: None, ..capped(id, OWN, None) };
    let settings = TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        offers: vec![
            capped(1, OWN, Some(To::Offer(2))),
            capped(2, OTHER, None),
            capped(3, OWN, Some(To::Page(0))),
            plain(4),
        ],
        ..TenantChunk::default()
    };
    let link = |id, offer, max_clicks| {
        let settings = (max_clicks > 0).then(|| LinkSettings { max_clicks, ..LinkSettings::default() });
        edge_v1::Link { id, offer, partner: 9, active: true, settings }
    };
    let links = vec![link(LINK, 1, 0), link(USES, 4, 3), link(WITH_PAGE, 3, 0)];
    let chunks = [Content::Settings(settings), Content::Links(LinkChunk { links })]
        .map(|content| Chunk { tenant: 1, content: Some(content) });
    Snapshot::from_chunks(3, &chunks).unwrap()
}

fn setup() -> Setup {
    Setup { snapshot: Some(snapshot()), ..Setup::default() }
}

fn capped_offer(n: u64) -> Key {
    (tenant(1), Capped::Offer(offer(n)))
}

fn capped_link() -> Key {
    (tenant(1), Capped::Link(link(USES)))
}

fn path(id: u64) -> String {
    format!("/c/{}", link(id))
}

fn budgets(node: &Node) -> &Budgets {
    &node.server.shared().parts.budgets
}

/// Where it leads, or why nowhere.
fn ask(node: &Node, method: &str, id: u64) -> String {
    let reply = node.send(method, &path(id), "", "");
    let page = reply.location().and_then(|url| url.split('?').next());
    page.or(reply.reason()).unwrap_or_default().to_owned()
}

#[test]
fn who_only_looks_sees_where_a_click_would_go_and_takes_nothing() {
    let node = setup().start();
    let budgets = budgets(&node);
    // A lease could be asked for.
    for (id, page) in [(USES, OWN), (LINK, OWN)] {
        assert_eq!(ask(&node, "HEAD", id), page, "{id}");
    }
    assert_eq!(budgets.awaited(), [], "nobody asks for it");
    budgets.hold(capped_link(), 1);
    assert_eq!(ask(&node, "HEAD", USES), OWN);
    assert_eq!((budgets.spent(capped_link()), ask(&node, "GET", USES)), (0, OWN.to_owned()));
    // None could: a click would not wait either.
    budgets.cut_off();
    for (id, end) in [(USES, "used_up"), (LINK, "cap_reached"), (WITH_PAGE, ELSEWHERE)] {
        assert_eq!(ask(&node, "HEAD", id), end, "{id}");
    }
    assert_eq!(budgets.over(), 0, "no click has found anything full");
}

#[test]
fn a_direct_click_takes_nothing_of_another_offer() {
    let node = setup().start();
    let budgets = budgets(&node);
    budgets.cut_off();
    budgets.hold(capped_offer(1), 1);
    budgets.hold(capped_offer(2), 5);
    let message = format!("{{\"type\":\"click\",\"link\":\"{}\",\"consent\":\"granted\"}}", link(LINK));
    let direct = || {
        let headers = "content-type: text/plain\r\norigin: https://shop.example\r\n";
        let reply = node.send("POST", "/e", headers, &message);
        (reply.status(), reply.reason().map(str::to_owned))
    };
    assert_eq!(direct(), (200, None));
    assert_eq!(direct(), (422, Some("cap_reached".to_owned())));
    assert_eq!((budgets.spent(capped_offer(1)), budgets.spent(capped_offer(2))), (1, 0));
    assert_eq!(ask(&node, "GET", LINK), OTHER, "whoever is redirected goes there");
    assert_eq!(budgets.spent(capped_offer(2)), 1);
}

#[test]
fn a_click_that_finds_something_full_is_counted_once() {
    let node = setup().start();
    let budgets = budgets(&node);
    budgets.cut_off();
    let cases = [(USES, "used_up"), (LINK, "cap_reached"), (WITH_PAGE, ELSEWHERE)];
    for (full, (id, end)) in (1..).zip(cases) {
        assert_eq!((ask(&node, "GET", id).as_str(), budgets.over()), (end, full), "{id}");
    }
    budgets.hold(capped_offer(2), 1);
    assert_eq!((ask(&node, "GET", LINK).as_str(), budgets.over()), (OTHER, 4), "full was its own offer");
    budgets.hold(capped_offer(1), 1);
    assert_eq!((ask(&node, "GET", LINK).as_str(), budgets.over()), (OWN, 4));
    assert!(node.counts("cap_full_total 4"));
}

#[test]
fn when_a_click_has_waited_in_vain_it_is_decided_by_what_is_there_then() {
    let (worker, _spool, _dir) = setup().worker();
    let budgets = &worker.shared.parts.budgets;
    let request = Request::builder().method(Method::GET).uri(path(USES)).header("host", "edge");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let reply = block_on(async {
        let click = worker.handle(IpAddr::from([203, 0, 113, 9]), request);
        // Polled in this order, by one thread: the lease is there before the click can find that its time is over.
        let granted = async {
            assert_eq!(budgets.awaited(), [capped_link()]);
            budgets.hold(capped_link(), 1);
        };
        tokio::join!(biased; click, granted).0
    });
    assert_eq!((reply.status().as_u16(), budgets.spent(capped_link())), (302, 1));
    assert_eq!(budgets.over(), 0);
}

#[test]
fn what_the_spool_holds_since_a_lease_was_written_down_is_spent_of_it() {
    let node = setup().start();
    budgets(&node).hold(capped_offer(1), 5);
    for _ in 0..3 {
        assert_eq!(ask(&node, "GET", LINK), OWN);
    }
    let now = UnixMicros(crate::node::now_micros());
    let saved = |from, starts_in: i64| {
        let window = Window { start: now.plus_secs(starts_in), end: UnixMicros(i64::MAX) };
        let subject = capped_offer(1).1;
        let lease = ClickLease { subject, window, granted: 9, expires_at: UnixMicros(i64::MAX) };
        let (number, tenant, stream) = (1, tenant(1), StreamNo(2));
        SavedLease { number, tenant, lease, spent: 1, stream, from, over: false }
    };
    let long_ago = saved(1, -3_600);
    let cases = [
        ("all", long_ago, 4),
        ("those since", saved(3, -3_600), 2),
        ("none since", saved(4, -3_600), 1),
        ("of the next hour", saved(1, 1_800), 1),
        ("reported", SavedLease { over: true, ..long_ago }, 1),
        ("in another spool", SavedLease { stream: StreamNo(7), ..long_ago }, 9),
        ("of others", SavedLease { tenant: tenant(2), ..long_ago }, 1),
    ];
    let mut leases: Vec<_> = cases.iter().map(|(_, lease, _)| *lease).collect();
    let files = SealedFiles::open(Arc::new(SimulatedDisk::default()), Path::new("/sealed")).unwrap();
    recount(&mut leases, &Recorded { files: &files, log: &node.spool.log() });
    for (lease, (case, _, spent)) in leases.iter().zip(cases) {
        assert_eq!(lease.spent, spent, "{case}");
    }
}
