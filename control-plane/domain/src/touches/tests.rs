use super::*;
use crate::intake::{ClickCredit, CustomerRef};
use proptest::prelude::*;
use proto_model::time::DAY_US;
use proto_model::{
    Address, ClickFacts, ClickFlags, Country, DeviceClass, LinkId, OfferId, PartnerId, ProgramId, StreamNo,
    TenantId, UnixMicros, VerdictKind,
};

fn touch(vouched: Vouched, click: u64, day: i64) -> Touch {
    let click = ClickFacts {
        tenant: TenantId::new(1).unwrap(),
        link: LinkId::new(1).unwrap(),
        offer: OfferId::new(1).unwrap(),
        at_secs: 1,
        address: Address { stream: StreamNo(1), ordinal: click },
        country: Country::UNKNOWN,
        device: DeviceClass::Desktop,
        verdict: VerdictKind::Allow,
        rule_set_version: 0,
        flags: ClickFlags(0),
    };
    let click =
        ClickCredit { click, partner: PartnerId::new(1).unwrap(), program: ProgramId::new(1).unwrap() };
    Touch { customer: CustomerRef([1; 16]), click, bound_at: UnixMicros(day * DAY_US), vouched }
}

/// What is bound after all of these, as the engine binds them.
fn bound(touches: impl IntoIterator<Item = Touch>) -> Vec<Touch> {
    let mut bound = Vec::new();
    for touch in touches {
        if takes(&bound, &touch) {
            bound.push(touch);
        }
    }
    bound
}

fn of(vouched: Vouched, touches: &[Touch]) -> Vec<Touch> {
    touches.iter().filter(|touch| touch.vouched == vouched).cloned().collect()
}

fn considered_of(vouched: Vouched, bound: &[Touch]) -> Vec<Touch> {
    considered(bound).into_iter().filter(|touch| touch.vouched == vouched).cloned().collect()
}

#[test]
fn pages_have_a_bound_and_it_ends_with_time() {
    let flood = |from: u64, day| (from..from + 100).map(move |click| touch(Vouched::Page, click, day));
    let mut touches = bound(flood(1, 0));
    assert_eq!(touches.len(), MAX_PAGE_TOUCHES);
    assert_eq!(touches[0], touch(Vouched::Page, 1, 0), "the first ones stay");
    let days = i64::from(PAGE_TOUCH_DAYS);
    for (day, taken) in [(days - 1, false), (days, true)] {
        assert_eq!(takes(&touches, &touch(Vouched::Page, 500, day)), taken, "day {day}");
    }
    assert!(takes(&touches, &touch(Vouched::Server, 500, 0)), "a server is not kept out");
    touches.extend((1_000..1_000 + MAX_TOUCHES as u64 + 5).map(|click| touch(Vouched::Server, click, 1)));
    assert_eq!(considered_of(Vouched::Server, &touches).len(), MAX_TOUCHES);
    assert_eq!(
        considered_of(Vouched::Page, &touches).len(),
        MAX_PAGE_TOUCHES,
        "nor do servers displace pages"
    );
}

#[test]
fn one_click_counts_once() {
    let (page, server) = (Vouched::Page, Vouched::Server);
    let cases: [(&[Vouched], &[Vouched], Vouched); 4] = [
        (&[page, page], &[page], page),
        (&[server, page, server], &[server], server),
        (&[page, server, page, server], &[page, server], server),
        (&[server], &[server], server),
    ];
    for (said, kept, counts) in cases {
        let bound = bound(said.iter().map(|vouched| touch(*vouched, 7, 0)));
        assert_eq!(bound.iter().map(|touch| touch.vouched).collect::<Vec<_>>(), kept, "{said:?}");
        assert_eq!(considered(&bound), [&touch(counts, 7, 0)], "{said:?}");
    }
}

/// Real touches, and any number of others that pages send in between.
fn crowd() -> impl Strategy<Value = Vec<Touch>> {
    let vouched = prop_oneof![1 => Just(Vouched::Server), 9 => Just(Vouched::Page)];
    prop::collection::vec((vouched, 0..400u64, 0..3i64), 0..500).prop_map(|all| {
        let mut day = 0;
        let at = |(vouched, click, days)| {
            day += days;
            touch(vouched, click, day)
        };
        all.into_iter().map(at).collect()
    })
}

proptest! {
    // Each looks at hundreds of touches after every one of them.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_take_no_place_of_servers(all in crowd()) {
        let (crowded, alone) = (bound(all.clone()), bound(of(Vouched::Server, &all)));
        prop_assert_eq!(of(Vouched::Server, &crowded), alone.clone());
        prop_assert_eq!(considered_of(Vouched::Server, &crowded), considered_of(Vouched::Server, &alone));
    }

    #[test]
    fn what_a_page_has_bound_no_other_page_displaces(all in crowd()) {
        let mut known = Vec::new();
        for touch in all {
            let before = considered_of(Vouched::Page, &known);
            if takes(&known, &touch) {
                known.push(touch.clone());
            }
            let after = considered_of(Vouched::Page, &known);
            let stays = |old: &&Touch| {
                old.bound_at.plus_days(3 * PAGE_TOUCH_DAYS) > touch.bound_at && old.click != touch.click
            };
            for old in before.iter().filter(stays) {
                prop_assert!(after.contains(old), "{old:?} went for {touch:?}");
            }
            prop_assert!(after.len() <= MAX_TOUCHES);
        }
    }

    /// Whatever was recorded before pages were told apart, by the rule of that time.
    #[test]
    fn touches_of_servers_are_taken_as_all_once_were(all in prop::collection::vec(0..150u64, 0..300)) {
        let mut once: Vec<Touch> = Vec::new();
        for click in &all {
            let touch = touch(Vouched::Server, *click, 0);
            if once.iter().all(|known| known.click != touch.click) {
                once.push(touch);
            }
        }
        let now = bound(all.into_iter().map(|click| touch(Vouched::Server, click, 0)));
        prop_assert_eq!(&now, &once);
        let last: Vec<&Touch> = once[once.len().saturating_sub(MAX_TOUCHES)..].iter().collect();
        prop_assert_eq!(considered(&now), last);
    }
}
