use super::choices::{offer, route, table};
use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;

/// An offer of the tests: open or not, strict or not, with its table.
#[derive(Debug)]
struct Place {
    open: bool,
    table: Option<RouteTable>,
}

type World = BTreeMap<OfferId, Place>;

/// `2: open routes 3@1 p0@2; 3: closed fallbacks 4@1`: an offer to a part, `3@1` is offer 3 with priority 1, `p0`
/// a page.
fn world(text: &str) -> World {
    text.split(';').map(|part| place(part.trim())).collect()
}

fn place(part: &str) -> (OfferId, Place) {
    let (number, rest) = part.split_once(':').unwrap();
    let id = offer(number.parse().unwrap());
    let (mut routes, mut fallbacks, mut in_fallbacks) = (Vec::new(), Vec::new(), false);
    let (mut open, mut strict) = (true, false);
    for word in rest.split_whitespace() {
        match word {
            "open" | "routes" => {}
            "closed" => open = false,
            "strict" => strict = true,
            "fallbacks" => in_fallbacks = true,
            target => {
                let (to, priority) = target.split_once('@').unwrap();
                let to = match to.strip_prefix('p') {
                    Some(page) => To::Page(page.parse().unwrap()),
                    None => To::Offer(offer(to.parse().unwrap())),
                };
                let list = if in_fallbacks { &mut fallbacks } else { &mut routes };
                let name = format!("{}{}", if in_fallbacks { "f" } else { "r" }, list.len());
                list.push(route(&name, priority.parse().unwrap(), 1, "", to));
            }
        }
    }
    let mut parts = table(id, routes, fallbacks).parts().clone();
    parts.strict = strict;
    let table = Some(RouteTable::try_new(parts).unwrap());
    (id, Place { open, table })
}

fn walk(world: &World, start: u64, draw: u64) -> (Option<Arrival<'_>>, usize) {
    let asked = Cell::new(0);
    let arrival = follow(offer(start), &click(), draw, |id| {
        asked.set(asked.get() + 1);
        let place = world.get(&id)?;
        Some(Stop { open: place.open, table: place.table.as_ref(), utc_offset_secs: 0 })
    });
    (arrival, asked.get())
}

#[test]
fn clicks_find_their_way() {
    let cases = [
        ("2: open", Some((2, None))),
        ("2: closed", None),
        ("2: open strict", None),
        ("2: open routes p1@0", Some((2, Some(1)))),
        ("2: closed routes p1@0 fallbacks p2@0", Some((2, Some(2)))),
        ("2: open strict fallbacks p2@0", Some((2, Some(2)))),
        ("2: open routes 3@0; 3: open", Some((3, None))),
        ("2: open routes 3@0; 3: open routes 4@0; 4: open routes p3@0", Some((4, Some(3)))),
        // A dead end: the next priority, then the offer's own page.
        ("2: open routes 3@0 4@1; 3: closed; 4: open", Some((4, None))),
        ("2: open routes 3@0; 3: closed", Some((2, None))),
        ("2: open strict routes 3@0; 3: closed", None),
        ("2: open routes 9@0", Some((2, None))),
        // Fallbacks of fallbacks.
        ("2: closed fallbacks 3@0; 3: closed fallbacks 4@0; 4: open", Some((4, None))),
        // Circles end.
        ("2: open routes 3@0; 3: open routes 2@0", Some((3, None))),
        ("2: closed fallbacks 3@0; 3: closed fallbacks 2@0", None),
        (
            "2: closed fallbacks 3@0; 3: closed fallbacks 4@0; 4: closed fallbacks 2@0 3@1 p0@2",
            Some((4, Some(0))),
        ),
        // Four hops are the limit: the fifth offer may only answer for itself.
        (
            "2: open routes 3@0; 3: open routes 4@0; 4: open routes 5@0; 5: open routes 6@0; 6: open routes 7@0; 7: open",
            Some((6, None)),
        ),
    ];
    for (text, expected) in cases {
        let world = world(text);
        let (arrival, _) = walk(&world, 2, 0);
        let found = arrival.map(|arrival| (arrival.offer.get(), arrival.page));
        assert_eq!(found, expected, "{text}");
    }
    let world = world("2: closed fallbacks 3@0; 3: open");
    assert_eq!(walk(&world, 2, 0).0.unwrap().route, Some("f0"));
    assert_eq!(walk(&world, 3, 0).0.unwrap().route, None);
    assert_eq!(walk(&world, 9, 0).0, None, "an offer nobody knows");
}

#[test]
fn local_time_is_that_of_the_offer_whose_routes_are_asked() {
    let morning = table(
        offer(2),
        vec![route("m", 0, 1, "local_hour eq 0; offer eq off_00000002; and 2", To::Page(1))],
        vec![],
    );
    let at_offset = |utc_offset_secs| {
        let stop = Stop { open: true, table: Some(&morning), utc_offset_secs };
        follow(offer(2), &click(), 0, |_| Some(stop)).unwrap().page
    };
    assert_eq!(at_offset(2 * 3_600), Some(1), "half past midnight");
    assert_eq!(at_offset(0), None);
}

#[test]
fn an_offer_behind_a_split_draws_anew() {
    let world = world("2: open routes 3@0 p0@0; 3: open routes p1@0 p2@0");
    let mut pages = [0; 3];
    for step in 0..1_024u64 {
        let page = walk(&world, 2, step << 54).0.unwrap().page.unwrap();
        pages[usize::try_from(page).unwrap()] += 1;
    }
    assert!(pages[0] == 512 && pages[1] > 150 && pages[2] > 150, "{pages:?}");
}

fn any_world() -> impl Strategy<Value = World> {
    let targets = || prop::collection::vec((2u64..14, 0u8..3), 0..6);
    prop::collection::vec((any::<bool>(), any::<bool>(), targets(), targets()), 12).prop_map(|places| {
        let world = places.into_iter().zip(2u64..).map(|((open, strict, routes, fallbacks), id)| {
            let list = |name: &str, targets: Vec<(u64, u8)>| {
                let others = targets.into_iter().filter(|(to, _)| *to != id).enumerate();
                others
                    .map(|(at, (to, priority))| {
                        route(&format!("{name}{at}"), priority, 1, "", To::Offer(offer(to)))
                    })
                    .collect()
            };
            let mut parts = table(offer(id), list("r", routes), list("f", fallbacks)).parts().clone();
            parts.strict = strict;
            (offer(id), Place { open, table: RouteTable::try_new(parts).ok() })
        });
        world.collect()
    })
}

proptest! {
    #[test]
    fn every_walk_ends_soon_at_an_offer_that_is_open(world in any_world(), draw: u64) {
        let (arrival, asked) = walk(&world, 2, draw);
        prop_assert!(asked <= MAX_VISITS);
        if let Some(arrival) = arrival {
            prop_assert!(world[&arrival.offer].open);
        }
        prop_assert_eq!(walk(&world, 2, draw), (arrival, asked), "the same draw, the same way");
    }
}
