use super::*;
use crate::decide::testing::*;
use proto_model::{DeviceClass, StreamNo};
use proto_rules::RuleSet;
use proto_wire::edge_v1::{self, chunk};

fn live(snapshot: &Snapshot, id: u64) -> Live<'_> {
    match resolve(snapshot, link(id), NOW) {
        Resolved::Live(live) => live,
        _ => panic!("link {id} is live"),
    }
}

#[test]
fn resolves_links() {
    let snapshot = snapshot(None);
    let cases = [
        (LINK, "live"),
        (LINK_OFF, "dead"),
        (LINK_OF_OFFER_OFF, "live"),
        (LINK_OF_OTHER_ADVERTISER, "live"),
        (FOREIGN_LINK, "live"),
        (FOREIGN_LINK_OFF, "dead"),
        (999, "unknown"),
    ];
    for (id, expected) in cases {
        let found = match resolve(&snapshot, link(id), NOW) {
            Resolved::Live(_) => "live",
            Resolved::Dead(..) => "dead",
            Resolved::Unknown => "unknown",
        };
        assert_eq!(found, expected, "{id}");
    }
}

#[test]
fn an_offer_is_looked_up_in_the_tenant_of_its_link() {
    // Both tenants have an offer with the number 1.
    let snapshot = snapshot(None);
    let destination = |id| live(&snapshot, id).offer.destination.with_click_id("X");
    assert_eq!(destination(LINK), "https://shop.example/landing?ref=a%20b&click_id=X#top");
    assert_eq!(destination(FOREIGN_LINK), "https://foreign.example/?click_id=X");
    assert_eq!(
        live(&snapshot, LINK).offer.destination.with_click_id(""),
        "https://shop.example/landing?ref=a%20b#top"
    );
    assert_eq!(live(&snapshot, FOREIGN_LINK).offer.destination.with_click_id(""), "https://foreign.example/");
}

#[test]
fn a_rule_decides_the_way_and_stays_on_record() {
    let rules = block_device(DeviceClass::Crawler);
    type Case<'a> = (Option<&'a RuleSet>, &'a [u8], bool, Option<&'a str>, u32);
    let cases: [Case; 4] = [
        (None, b"Googlebot/2.1", true, None, 0),
        (Some(&rules), CHROME, true, None, 7),
        (Some(&rules), b"Googlebot/2.1", false, Some("no-such-device"), 7),
        (Some(&rules), b"", true, None, 7),
    ];
    for (rules, user_agent, onward, rule_id, version) in cases {
        let (snapshot, client) = (snapshot(rules), client(user_agent));
        let live = live(&snapshot, LINK);
        let decision = decide(live, &client, (0, Takers::Any), NOW, |_| true);
        assert_eq!(matches!(decision.way, Way::Onward(_)), onward);
        assert_eq!((decision.verdict.rule_id, decision.verdict.rule_set_version), (rule_id, version));
        let (origin, sub_ids) = (Origin::default(), SubIds::read("sub2=x"));
        let marks = Marks { flags: ClickFlags(ClickFlags::DIRECT), uniqueness: Uniqueness::Repeated };
        let recorded = decision.record(live, &client, &origin, &sub_ids, marks);
        assert_eq!(recorded.verdict, decision.verdict, "a blocked click is recorded too");
        assert_eq!((recorded.tenant, recorded.occurred_at), (tenant(1), NOW));
        assert_eq!(recorded.personal.sub_ids[..3], ["", "x", ""]);
        let BodyRef::Click(click) = recorded.body else { panic!("a click") };
        let found = (click.link, click.offer, click.advertiser, click.program);
        assert_eq!(found, (link(LINK), offer(1), advertiser(1), program(5)));
        assert_eq!((click.flags, click.uniqueness), (marks.flags, marks.uniqueness));
    }
}

#[test]
fn a_closed_offer_takes_no_clicks() {
    let (snapshot, client) = (snapshot(None), client(CHROME));
    let decision = decide(live(&snapshot, LINK_OF_OFFER_OFF), &client, (0, Takers::Any), NOW, |_| true);
    assert!(matches!(decision.way, Way::Nowhere(Reason::InactiveLink)));
}

/// The first tenant's offer 1 with a cap, and offer 2 beside it; a link of the first that is good for some clicks.
fn capped(fallback: bool, active: bool, pause_reason: u32) -> Snapshot {
    let cap = edge_v1::ClickCap { limit: 5, window: 1 };
    let routes = vec![edge_v1::Route {
        id: "other".into(),
        weight: 1,
        to: Some(edge_v1::route::To::Offer(2)),
        ..Default::default()
    }];
    let table = fallback.then(|| edge_v1::RouteTable { fallbacks: routes, ..Default::default() });
    let routing = edge_v1::OfferRouting { click_cap: Some(cap), table, ..Default::default() };
    let of = |id, active, routing| edge_v1::Offer {
        id,
        advertiser: 1,
        program: 5,
        destination: "https://shop.example/".into(),
        active,
        pause_reason: if active { 0 } else { pause_reason },
        routing,
        ..Default::default()
    };
    let content = edge_v1::TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        offers: vec![of(1, active, Some(routing)), of(2, true, None)],
        ..Default::default()
    };
    let settings = Some(edge_v1::LinkSettings { max_clicks: 3, ..Default::default() });
    let links = vec![edge_v1::Link { id: LINK, offer: 1, partner: 9, active: true, settings }];
    let contents = [chunk::Content::Settings(content), chunk::Content::Links(edge_v1::LinkChunk { links })];
    let chunks = contents.map(|content| edge_v1::Chunk { tenant: 1, content: Some(content) });
    Snapshot::from_chunks(1, &chunks).unwrap()
}

#[test]
fn what_is_full_sends_its_clicks_on_and_says_why_it_takes_none() {
    let (of_link, of_offer) = (Capped::Link(link(LINK)), Capped::Offer(offer(1)));
    let cases = [
        (vec![], false, true, 0, Ok(1)),
        (vec![of_offer], true, true, 0, Ok(2)),
        (vec![of_offer], false, true, 0, Err(Reason::CapReached)),
        (vec![of_link], true, true, 0, Err(Reason::UsedUp)),
        (vec![], false, false, 1, Err(Reason::InactiveLink)),
        (vec![], false, false, 2, Err(Reason::CapReached)),
        (vec![], false, false, 3, Err(Reason::CapReached)),
        (vec![], true, false, 3, Ok(2)),
    ];
    for (full, fallback, active, pause_reason, expected) in cases {
        let (snapshot, client) = (capped(fallback, active, pause_reason), client(CHROME));
        let live = live(&snapshot, LINK);
        let decision = decide(live, &client, (0, Takers::Any), NOW, |subject| !full.contains(&subject));
        let found = match decision.way {
            Way::Onward(landing) => Ok(landing.offer.get()),
            Way::Nowhere(reason) => Err(reason),
            Way::Blocked => panic!("no rule blocks"),
        };
        assert_eq!(found, expected, "{full:?} {fallback} {active} {pause_reason}");
    }
}

/// Offer 1 sends some clicks on by a route, and all of them when it takes none.
fn sending_on(routing: edge_v1::RouteTable, active: bool) -> Snapshot {
    let click_cap = Some(edge_v1::ClickCap { limit: 5, window: 1 });
    let own_page = vec!["https://shop.example/else".to_owned()];
    let of = |id, active, table| edge_v1::Offer {
        id,
        advertiser: 1,
        program: 5,
        destination: "https://shop.example/".into(),
        active,
        pause_reason: 3,
        routing: Some(edge_v1::OfferRouting {
            click_cap,
            table,
            pages: own_page.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let content = edge_v1::TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        offers: vec![of(1, active, Some(routing)), of(2, true, None)],
        ..Default::default()
    };
    let links = vec![edge_v1::Link { id: LINK, offer: 1, partner: 9, active: true, settings: None }];
    let contents = [chunk::Content::Settings(content), chunk::Content::Links(edge_v1::LinkChunk { links })];
    Snapshot::from_chunks(1, &contents.map(|content| edge_v1::Chunk { tenant: 1, content: Some(content) }))
        .unwrap()
}

fn to(to: edge_v1::route::To) -> Vec<edge_v1::Route> {
    vec![edge_v1::Route { id: "on".into(), weight: 1, to: Some(to), ..Default::default() }]
}

#[test]
fn a_direct_click_is_for_the_links_own_offer_or_for_nobody() {
    let other = || to(edge_v1::route::To::Offer(2));
    let fallback = || edge_v1::RouteTable { fallbacks: other(), ..Default::default() };
    let (own, theirs) = (Capped::Offer(offer(1)), Capped::Offer(offer(2)));
    // What is full, what is asked for its cap then, and who takes the click.
    let cases = [
        (fallback(), true, vec![], vec![own], Ok(1)),
        (fallback(), true, vec![own], vec![own], Err(Reason::CapReached)),
        (fallback(), false, vec![], vec![], Err(Reason::CapReached)),
        (
            edge_v1::RouteTable { strict: true, ..fallback() },
            true,
            vec![],
            vec![own, theirs],
            Err(Reason::NotTargeted),
        ),
        (
            edge_v1::RouteTable { routes: other(), ..Default::default() },
            true,
            vec![],
            vec![own, theirs],
            Err(Reason::NotTargeted),
        ),
        (
            edge_v1::RouteTable { routes: other(), ..Default::default() },
            true,
            vec![theirs],
            vec![own, theirs],
            Ok(1),
        ),
        (
            edge_v1::RouteTable { fallbacks: to(edge_v1::route::To::Page(0)), ..Default::default() },
            true,
            vec![own],
            vec![own],
            Err(Reason::CapReached),
        ),
    ];
    for (table, active, full, expected_asked, expected) in cases {
        let case = format!("{table:?} {active} {full:?}");
        let (snapshot, client) = (sending_on(table, active), client(CHROME));
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let decision = decide(live(&snapshot, LINK), &client, (0, Takers::Own), NOW, |subject| {
            asked.borrow_mut().insert(subject);
            !full.contains(&subject)
        });
        let found = match decision.way {
            Way::Onward(landing) => Ok(landing.offer.get()),
            Way::Nowhere(reason) => Err(reason),
            Way::Blocked => panic!("no rule blocks"),
        };
        assert_eq!(found, expected, "{case}");
        assert_eq!(asked.into_inner().into_iter().collect::<Vec<_>>(), expected_asked, "{case}");
    }
}

#[test]
fn a_fallback_page_of_an_offer_that_takes_no_clicks_is_within_no_cap() {
    let page = || edge_v1::RouteTable { fallbacks: to(edge_v1::route::To::Page(0)), ..Default::default() };
    for (active, has_room, capped) in [(true, true, true), (true, false, false), (false, true, false)] {
        let (snapshot, client) = (sending_on(page(), active), client(CHROME));
        let decision = decide(live(&snapshot, LINK), &client, (0, Takers::Any), NOW, |_| has_room);
        let Way::Onward(landing) = decision.way else { panic!("there is a page for all") };
        assert_eq!((landing.offer, landing.capped().is_some()), (offer(1), capped), "{active} {has_room}");
        assert_eq!(landing.own_page, capped);
    }
}

#[test]
fn the_id_carries_the_facts() {
    let (snapshot, client) = (snapshot(None), client(CHROME));
    let live = live(&snapshot, LINK);
    let address = Address { stream: StreamNo(2), ordinal: 5 };
    let facts = decide(live, &client, (0, Takers::Any), NOW, |_| true).facts(
        live,
        &client,
        address,
        ClickFlags(ClickFlags::UNSPOOLED),
    );
    assert_eq!((facts.tenant, facts.link, facts.offer), (tenant(1), link(LINK), offer(1)));
    assert_eq!((facts.at_secs, facts.address), (1_760_000_000, address));
    assert_eq!(facts.device, DeviceClass::Desktop);
    assert!(facts.flags.unspooled());
    let sealed = live.tenant.keys.seal(&facts, [1; 6]);
    assert_eq!(keys(1).open(&sealed), Ok(facts));
    assert!(keys(2).open(&sealed).is_err(), "another tenant's keys open nothing");
}
