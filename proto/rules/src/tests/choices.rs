use super::*;
use RouteList::{Fallbacks, Routes};
use proptest::prelude::*;

pub(super) fn offer(number: u64) -> OfferId {
    OfferId::new(number).unwrap()
}

pub(super) fn route(id: &str, priority: u8, weight: u32, expression: &str, to: To) -> Route {
    let nodes = if expression.is_empty() { Vec::new() } else { nodes(expression) };
    Route { id: id.into(), priority, weight, nodes, to }
}

pub(super) fn table(offer: OfferId, routes: Vec<Route>, fallbacks: Vec<Route>) -> RouteTable {
    let RuleSetParts { string_sets, cidr_sets, .. } = parts(Vec::new());
    let parts = RouteTableParts {
        pages: 4,
        routes,
        fallbacks,
        string_sets,
        cidr_sets,
        ..RouteTableParts::plain(offer)
    };
    RouteTable::try_new(parts).unwrap_or_else(|error| panic!("{}", error.full_message()))
}

fn chosen(table: &RouteTable, draw: u64) -> Option<&str> {
    choose(table, Routes, &click(), draw, |_| true).map(|route| route.id.as_str())
}

#[test]
fn the_first_priority_with_a_match_decides() {
    let page = To::Page;
    let cases: &[(Vec<Route>, Option<&str>)] = &[
        (vec![], None),
        (vec![route("a", 0, 1, "country eq US", page(0))], None),
        (vec![route("late", 9, 1, "", page(0)), route("soon", 1, 1, "", page(1))], Some("soon")),
        (vec![route("us", 1, 1, "country eq US", page(0)), route("rest", 2, 1, "", page(1))], Some("rest")),
        (vec![route("cn", 1, 1, "country in 1; os eq Android; and 2", page(0))], Some("cn")),
        (vec![route("net", 1, 1, "ip in 0", page(0))], Some("net")),
        (
            vec![route("morning", 1, 1, "local_hour lt 7; local_weekday ge 6; and 2", page(0))],
            Some("morning"),
        ),
    ];
    for (routes, expected) in cases {
        let table = table(offer(2), routes.clone(), vec![route("fallback", 0, 1, "", page(3))]);
        for draw in [0, u64::MAX] {
            assert_eq!(chosen(&table, draw), *expected, "{routes:?}");
        }
        let fallback = choose(&table, Fallbacks, &click(), 0, |_| true);
        assert_eq!(fallback.map(|route| route.to), Some(page(3)));
    }
}

#[test]
fn what_is_not_usable_leaves_its_clicks_to_the_others() {
    let routes = vec![
        route("a", 0, 1, "", To::Offer(offer(7))),
        route("b", 0, 1, "", To::Page(0)),
        route("c", 1, 1, "", To::Page(1)),
    ];
    let table = table(offer(2), routes, vec![]);
    let pick =
        |draw, usable: &dyn Fn(&To) -> bool| choose(&table, Routes, &click(), draw, usable).map(|r| &*r.id);
    assert_eq!(pick(0, &|_| true), Some("a"));
    assert_eq!(pick(0, &|to| *to != To::Offer(offer(7))), Some("b"));
    assert_eq!(pick(0, &|to| *to == To::Page(1)), Some("c"));
    assert_eq!(pick(0, &|_| false), None);
}

#[test]
fn a_bad_table_is_refused_by_place() {
    let good = || route("a", 0, 1, "", To::Page(0));
    let refusal = |routes: Vec<Route>, fallbacks: Vec<Route>| {
        let parts = RouteTableParts { pages: 1, routes, fallbacks, ..RouteTableParts::plain(offer(2)) };
        RouteTable::try_new(parts).unwrap_err().full_message()
    };
    let numbered = |count: usize| (0..count).map(|n| Route { id: format!("r{n}"), ..good() }).collect();
    let cases = [
        (refusal(numbered(65), vec![]), "too many routes: 65, at most 64"),
        (refusal(vec![], numbered(65)), "too many fallbacks: 65, at most 64"),
        (refusal(vec![Route { id: "A".into(), ..good() }], vec![]), "routes, position 0: id `A` must be"),
        (refusal(vec![good()], vec![good()]), "fallbacks, position 0: id `a` is already used"),
        (refusal(vec![Route { weight: 0, ..good() }], vec![]), "a weight is at least 1"),
        (refusal(vec![Route { to: To::Page(1), ..good() }], vec![]), "there is no landing page number 1"),
        (refusal(vec![Route { to: To::Offer(offer(2)), ..good() }], vec![]), "leads to the offer itself"),
        (
            refusal(vec![good(), route("b", 0, 1, "country lt CN", To::Page(0))], vec![]),
            "routes, position 1: node 0: `country` cannot be compared with `lt`",
        ),
        (refusal(vec![route("b", 0, 1, "os in 0", To::Page(0))], vec![]), "node 0: there is no set number 0"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "gave {message}\n  not {expected}");
    }
    let parts = RouteTableParts { pages: 65, ..RouteTableParts::plain(offer(2)) };
    assert_eq!(RouteTable::try_new(parts), Err(RouteError::TooManyPages(65)));
}

proptest! {
    /// The draws at which each share begins and ends are found by arithmetic, and asked.
    #[test]
    fn weights_are_shares_of_all_draws(
        weights in prop::collection::vec(prop_oneof![1u32..10, any::<u32>().prop_map(|w| w.max(1))], 1..MAX_ROUTES),
        dead in any::<u64>(),
    ) {
        let is_dead = |at: usize| dead >> at & 1 == 1;
        let routes = weights.iter().enumerate().map(|(at, weight)| {
            route(&at.to_string(), 3, *weight, if is_dead(at) { "false" } else { "" }, To::Page(0))
        });
        let table = table(offer(2), routes.collect(), vec![]);
        let alive: Vec<_> = (0..weights.len()).filter(|at| !is_dead(*at)).collect();
        let total: u128 = alive.iter().map(|at| u128::from(weights[*at])).sum();
        let mut before = 0u128;
        for at in alive {
            let name = at.to_string();
            // Draw d falls on the share that floor(d * total / 2^64) lies in.
            let first = (before << 64).div_ceil(total);
            before += u128::from(weights[at]);
            let end = (before << 64).div_ceil(total);
            prop_assert_eq!(chosen(&table, u64::try_from(first).unwrap()), Some(name.as_str()));
            prop_assert_eq!(chosen(&table, u64::try_from(end - 1).unwrap()), Some(name.as_str()));
            let exact = (u128::from(weights[at]) << 64) / total;
            prop_assert!((end - first).abs_diff(exact) <= 1);
        }
        prop_assert!(total == 0 || before == total);
        prop_assert_eq!(chosen(&table, 0).is_none(), total == 0);
    }
}
