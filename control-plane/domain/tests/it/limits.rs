//! Limits: what anybody can send stays bounded, and numbers end without a panic.

use crate::scenario::{Scenario, money};
use crate::world::{World, advertiser, settlement};
use control_plane_domain::intake::{Input, IntakeItem, PartnerCredit};
use control_plane_domain::order::{MAX_CONFLICTS, MAX_PIXEL_CONVERSIONS, Order};
use control_plane_domain::{DomainError, ShardState, apply};
use proto_model::{AdvertiserId, Amount, DerivedId, PartnerId, UnixMicros};

fn order(scenario: &Scenario) -> &Order {
    &scenario.world.shards[&advertiser(1)].books.state.orders["A"]
}

#[test]
fn browsers_cannot_fill_an_order_without_end() {
    let mut scenario = Scenario::new();
    for number in 0..MAX_PIXEL_CONVERSIONS + 3 {
        scenario.run(&format!("pixel A event={number} amount=10.00USD"));
    }
    scenario.run("pixel A event=1 amount=10.00USD");
    scenario.run("token A amount=10.00USD");
    assert_eq!(order(&scenario).refused_pixels, 3);
    assert_eq!(order(&scenario).conversions.len(), MAX_PIXEL_CONVERSIONS + 1, "a postback always comes in");
}

#[test]
fn conflicts_are_kept_up_to_a_number_and_then_counted() {
    let mut scenario = Scenario::new();
    scenario.run("token A amount=10.00USD");
    for number in 0..MAX_CONFLICTS + 5 {
        scenario.run(&format!("pixel A amount={}.99USD", number + 1));
    }
    let conversion = order(&scenario).conversions.values().next().unwrap();
    assert_eq!((conversion.conflicts.len(), conversion.more_conflicts), (MAX_CONFLICTS, 5));
}

fn credit(number: u8, minor: i64) -> Input {
    Input::PartnerCredit(PartnerCredit {
        id: DerivedId([number; 16]),
        commission: DerivedId([number; 16]),
        advertiser: AdvertiserId::new(1).unwrap(),
        order_id: "A".to_owned(),
        partner: PartnerId::new(1).unwrap(),
        amount: Amount { minor, ..money("0.00USD") },
    })
}

#[test]
fn a_statement_takes_what_it_can_hold_and_leaves_the_rest_open() {
    let mut world = World::new();
    for number in 1..=3 {
        world.feed(settlement(), credit(number, i64::MAX - 1));
    }
    for (minute, left) in [(1, 2), (2, 1), (3, 0), (4, 0)] {
        world.now = UnixMicros(minute);
        world.feed(settlement(), Input::ClosePeriod { through: world.now });
        assert_eq!(world.shards[&settlement()].books.state.open_credits.len(), left);
    }
    world.replays();
}

#[test]
fn what_only_a_broken_writer_sends_is_an_error_and_not_a_panic() {
    let item = |input| IntakeItem { ordinal: 1, recorded_at: UnixMicros(0), input };
    let hold = Input::HoldElapsed { order_id: "A".to_owned() };
    let cases = [
        (settlement(), credit(1, i64::MIN), DomainError::Unbalanced { sequence: 1 }),
        (settlement(), hold, DomainError::Misrouted { input: "hold_elapsed", shard: settlement() }),
        (
            advertiser(1),
            credit(1, 1),
            DomainError::Misrouted { input: "partner_credit", shard: advertiser(1) },
        ),
    ];
    for (shard, input, error) in cases {
        assert_eq!(apply(shard, &mut ShardState::default(), &item(input)), Err(error));
    }
}
