//! Whatever order things are heard in, the end is the same.

use crate::scenario::{Scenario, Words};
use crate::world::advertiser;
use control_plane_domain::intake::Input;
use control_plane_domain::ledger::Account;
use control_plane_domain::order::CommissionStatus;
use proto_model::{Amount, Currency, PartnerId};
use std::collections::BTreeMap;

/// What was heard (all times said explicitly), and where it must end.
const JOURNEYS: [(&str, &[&str], &str); 8] = [
    (
        "pixel, postback and signed report of three amounts",
        &[
            "pixel A amount=900.00USD click=k1 at=10",
            "token A amount=110.00USD at=10",
            "signed A amount=100.00USD at=10",
            "order A delivered at=20",
        ],
        "approved 10.00 USD",
    ),
    (
        "partial refund, then delivery",
        &[
            "token A amount=100.00USD click=k1 at=10",
            "order A placed amount=119.00USD at=11",
            "order A paid at=12",
            "order A refunded amount=25.00USD at=13",
            "order A delivered at=20",
        ],
        "approved 7.50 USD",
    ),
    (
        "two amendments and a refund",
        &[
            "token A amount=100.00USD click=k1 at=10",
            "order A amended amount=80.00USD at=11",
            "order A amended amount=60.00USD at=12",
            "order A refunded amount=10.00USD at=13",
            "order A delivered at=20",
        ],
        "approved 5.00 USD",
    ),
    (
        "charged back and won",
        &[
            "token A amount=100.00USD click=k1 at=10",
            "order A delivered at=20",
            "order A charged_back at=30",
            "order A chargeback_won at=40",
        ],
        "approved 10.00 USD",
    ),
    (
        "won, then charged back again in part",
        &[
            "token A amount=100.00USD click=k1 at=10",
            "order A delivered at=20",
            "order A charged_back at=30",
            "order A chargeback_won at=40",
            "order A charged_back amount=50.00USD at=50",
        ],
        "approved 5.00 USD",
    ),
    (
        "returned, refunded and cancelled",
        &[
            "token A amount=100.00USD click=k1 at=10",
            "order A delivered at=20",
            "order A returned amount=40.00USD at=30",
            "order A refunded at=40",
            "order A cancelled at=50",
        ],
        "reversed 0.00 USD (cancelled)",
    ),
    (
        "a click that only the browser knew",
        &[
            "pixel A amount=100.00USD click=k1 at=10",
            "token A amount=100.00USD at=10",
            "order A delivered at=20",
        ],
        "approved 10.00 USD",
    ),
    (
        "a browser that lies about amount, currency and click",
        &[
            "pixel A amount=900.00EUR click=k2 at=10",
            "pixel A amount=800.00USD click=k2 at=10",
            "signed A amount=100.00USD click=k1 at=10",
            "order A delivered at=20",
        ],
        "approved 10.00 USD",
    ),
];

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    shorter
        .iter()
        .flat_map(|order| (0..count).map(|place| [&order[..place], &[count - 1], &order[place..]].concat()))
        .collect()
}

#[test]
fn the_order_of_hearing_makes_no_difference() {
    for (name, heard, end) in JOURNEYS {
        for order in permutations(heard.len()) {
            let mut scenario = Scenario::new();
            for line in ["terms o1 v1 hold=delivered sale=10%", "click k1 o1 p1 at=5", "click k2 o1 p2 at=6"]
            {
                scenario.run(line);
            }
            scenario.run("at 100");
            for index in &order {
                scenario.run(heard[*index]);
            }
            assert_eq!(outcome(&scenario), end, "{name}: {order:?}");
        }
    }
}

/// A click that a report carries wins over what pages say of its customer, whichever is heard first, and whoever of
/// these says it: the page's touch is the last click, and another partner's.
#[test]
fn a_carried_click_and_a_page_end_alike_in_any_order() {
    const ENDS: [(&[&str], &str); 6] = [
        (&["token A amount=100.00USD customer=c1", "token A click=k1"], "ptn_00000001"),
        (&["signed A amount=100.00USD customer=c1", "pixel A click=k1", "token A"], "ptn_00000001"),
        (&["token A amount=100.00USD customer=c1", "pixel A click=k1", "signed A click=k1"], "ptn_00000001"),
        (&["token A amount=100.00USD customer=c1", "pixel A click=k2"], "ptn_00000002"),
        // It cannot win, and keeps no better one out.
        (&["token A amount=100.00USD customer=c1", "pixel A click=k3"], "ptn_00000002"),
        (&["token A amount=100.00USD customer=c1", "pixel A click=k3", "token A click=k1"], "ptn_00000001"),
    ];
    for (heard, end) in ENDS {
        for order in permutations(heard.len()) {
            let mut scenario = Scenario::new();
            let world = [
                "terms o1 v1 hold=delivered sale=10%",
                "click k1 o1 p1 at=5",
                "click k2 o1 p2 at=6",
                "click k3 o1 p3 at=6 block",
                "touch c1 k2 page",
                "at 10",
            ];
            world.into_iter().chain(order.iter().map(|index| heard[*index])).for_each(|line| {
                scenario.run(line);
            });
            let books = &scenario.world.shards[&advertiser(1)].books;
            let conversion = books.state.orders["A"].conversions.values().next().unwrap();
            let partner = conversion.commissions.values().next().map(|held| held.partner.to_string());
            assert_eq!(partner.as_deref(), Some(end), "{heard:?}: {order:?}");
        }
    }
}

fn outcome(scenario: &Scenario) -> String {
    let books = &scenario.world.shards[&advertiser(1)].books;
    let conversion = books.state.orders["A"].conversions.values().next().unwrap();
    let commission = conversion.commissions.values().next().unwrap();
    assert_eq!(commission.partner, PartnerId::new(1).unwrap());
    let Amount { minor, currency } = commission.amount;
    // What the partner can be paid says the same, once all messages have arrived.
    let payable = Account::PartnerPayable(commission.partner);
    let balances: BTreeMap<(Account, Currency), i128> = scenario.world.balances();
    let held = balances.get(&(payable, currency)).copied().unwrap_or(0);
    assert_eq!(held, -i128::from(minor));
    let why = match commission.status {
        CommissionStatus::Approved => String::new(),
        _ => format!(" ({})", commission.reason),
    };
    format!("{} {} {}{why}", commission.status.as_str(), commission.amount.decimal(), currency)
}

/// A retry of everything, in any shape the world has been left in, moves no money.
#[test]
fn a_retry_of_everything_moves_nothing() {
    for (name, heard, _) in JOURNEYS {
        let mut scenario = Scenario::new();
        for line in ["terms o1 v1 hold=delivered sale=10%", "click k1 o1 p1 at=5", "click k2 o1 p2 at=6"] {
            scenario.run(line);
        }
        scenario.run("at 100");
        let inputs: Vec<_> = heard.iter().map(|line| scenario.input(&Words::of(line))).collect();
        for input in &inputs {
            scenario.world.feed(advertiser(1), input.clone());
        }
        scenario.world.deliver();
        let postings = scenario.world.postings();
        for input in &inputs {
            scenario.world.feed(advertiser(1), input.clone());
        }
        scenario.world.deliver();
        assert_eq!(scenario.world.postings(), postings, "{name}");
    }
}

/// Who looks at a conflict is led to the report that said it, not to the one that overruled it.
#[test]
fn an_overruled_amount_names_the_report_that_stated_it() {
    for overruling in ["token A amount=110.00USD", "token A amount=110.00EUR"] {
        let mut scenario = Scenario::new();
        for line in ["token A", "pixel A amount=900.00USD", "pixel A coupon=none", overruling] {
            scenario.run(line);
        }
        let shard = &scenario.world.shards[&advertiser(1)];
        let conversion = shard.books.state.orders["A"].conversions.values().next().unwrap();
        let Input::Conversion(pixel) = &shard.items[1].input else { panic!("the pixel came second") };
        let [conflict] = &conversion.conflicts[..] else { panic!("{:?}", conversion.conflicts) };
        assert_eq!((conflict.authority, conflict.amount), (pixel.authority, pixel.amount), "{overruling}");
        assert_eq!((conflict.ordinal, &conflict.source), (2, &pixel.source), "{overruling}");
        let believed = conversion.amount_source.as_ref().map(|stated| stated.ordinal);
        assert_eq!(believed, Some(4), "{overruling}");
    }
}
