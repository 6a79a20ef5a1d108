use super::*;
use crate::intake::{ClickCredit, CustomerRef};
use proptest::prelude::*;
use proto_model::time::DAY_US;
use proto_model::{
    Address, ClickFacts, ClickFlags, Country, DeviceClass, LinkId, OfferId, PartnerId, ProgramId, StreamNo,
    TenantId, UnixMicros, VerdictKind,
};

fn touch(vouched: Vouched, click: u64, day: i64) -> Touch {
    touch_of(1, vouched, click, day)
}

fn touch_of(partner: u64, vouched: Vouched, click: u64, day: i64) -> Touch {
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
        ClickCredit { click, partner: PartnerId::new(partner).unwrap(), program: ProgramId::new(1).unwrap() };
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
fn each_partner_has_a_bound_of_its_own_among_pages() {
    let flood = |from: u64, day| (from..from + 100).map(move |click| touch(Vouched::Page, click, day));
    let mut touches = bound(flood(1, 0));
    assert_eq!(touches.len(), MAX_PAGE_TOUCHES);
    assert_eq!(touches[0], touch(Vouched::Page, 1, 0), "the first ones stay");
    let days = i64::from(PAGE_TOUCH_DAYS);
    for (day, partner, taken) in [(0, 2, true), (0, 1, false), (days - 1, 2, true), (days, 1, true)] {
        let later = touch_of(partner, Vouched::Page, 500, day);
        assert_eq!(takes(&touches, &later), taken, "partner {partner} on day {day}");
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

/// Who fills another partner's places with clicks on that partner's links keeps none of its later clicks out for
/// longer than a day.
#[test]
fn a_partner_whose_places_are_full_has_one_more_each_day() {
    let touches = bound((1..100).map(|click| touch(Vouched::Page, click, 10)));
    assert_eq!(touches.len(), MAX_PAGE_TOUCHES);
    assert!(!takes(&touches, &touch(Vouched::Page, 500, 10)));
    let touches = bound(touches.into_iter().chain((500..600).map(|click| touch(Vouched::Page, click, 11))));
    assert_eq!(touches.len(), MAX_PAGE_TOUCHES + 1, "of the day after, one");
    let looked_at = considered_of(Vouched::Page, &touches);
    assert_eq!(looked_at.len(), MAX_PAGE_TOUCHES);
    assert_eq!(looked_at.last(), Some(&touch(Vouched::Page, 500, 11)));
}

/// However many collude, of each partner the last one is looked at before anybody's second.
#[test]
fn the_places_of_a_decision_are_shared_out_among_partners() {
    let crowd =
        |partner: u64| (0..20u64).map(move |n| touch_of(partner, Vouched::Page, partner * 100 + n, 0));
    let honest = touch_of(1, Vouched::Page, 1, 0);
    let partners = MAX_TOUCHES as u64;
    let touches = bound(std::iter::once(honest.clone()).chain((2..=partners).flat_map(crowd)));
    let looked_at = considered_of(Vouched::Page, &touches);
    assert_eq!((looked_at.len(), &looked_at[0]), (MAX_TOUCHES, &honest));
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

/// As many as can have all their places in a decision.
const PARTNERS: u64 = (MAX_TOUCHES / MAX_PAGE_TOUCHES) as u64;

/// Real touches, and any number of others that pages send in between.
fn crowd(partners: u64) -> impl Strategy<Value = Vec<Touch>> {
    let vouched = prop_oneof![1 => Just(Vouched::Server), 9 => Just(Vouched::Page)];
    prop::collection::vec((1..=partners, vouched, 0..400u64, 0..3i64), 0..500).prop_map(|all| {
        let mut day = 0;
        let at = |(partner, vouched, click, days)| {
            day += days;
            // A click is one partner's.
            touch_of(partner, vouched, click * 1_000 + partner, day)
        };
        all.into_iter().map(at).collect()
    })
}

fn of_pages_of(partner: u64, touches: &[Touch]) -> Vec<Touch> {
    of(Vouched::Page, touches).into_iter().filter(|touch| touch.click.partner.get() == partner).collect()
}

proptest! {
    // Each looks at hundreds of touches after every one of them.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_take_no_place_of_servers(all in crowd(PARTNERS)) {
        let (crowded, alone) = (bound(all.clone()), bound(of(Vouched::Server, &all)));
        prop_assert_eq!(of(Vouched::Server, &crowded), alone.clone());
        prop_assert_eq!(considered_of(Vouched::Server, &crowded), considered_of(Vouched::Server, &alone));
    }

    #[test]
    fn no_flood_changes_what_pages_bind_for_another_partner(all in crowd(PARTNERS), partner in 1..=PARTNERS) {
        let own = |touch: &Touch| touch.vouched == Vouched::Server || touch.click.partner.get() == partner;
        let (crowded, alone) = (bound(all.clone()), bound(all.into_iter().filter(own)));
        prop_assert_eq!(of_pages_of(partner, &crowded), of_pages_of(partner, &alone));
        let looked_at = |touches: &[Touch]| of_pages_of(partner, &considered_of(Vouched::Page, touches));
        prop_assert_eq!(looked_at(&crowded), looked_at(&alone));
    }

    #[test]
    fn what_pages_bind_is_bounded(all in crowd(150)) {
        let touches = bound(all);
        let looked_at = considered_of(Vouched::Page, &touches);
        prop_assert!(looked_at.len() <= MAX_TOUCHES);
        for partner in 1..=150 {
            let own = of_pages_of(partner, &touches);
            let days = own.last().map_or(0, |last| (last.bound_at.0 - own[0].bound_at.0) / DAY_US) as usize;
            let periods = days / PAGE_TOUCH_DAYS as usize + 1;
            prop_assert!(own.len() <= periods * MAX_PAGE_TOUCHES + days + 1);
            prop_assert!(of_pages_of(partner, &looked_at).len() <= MAX_PAGE_TOUCHES);
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
