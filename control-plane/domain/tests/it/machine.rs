//! Random sequences of inputs. After every step the world checks the invariants, and that the part of the
//! state which `needs` names does as well as the whole of it.

use crate::world::{World, advertiser, settlement};
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, OrderEvent, OrderEventKind, Settled,
    ShardKey, Source, Touch, Vouched,
};
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use proptest::prelude::*;
use proptest::sample::select;
use proto_model::event::Authority;
use proto_model::money::MAX_MINOR;
use proto_model::time::DAY_US;
use proto_model::{
    Address, Amount, ClickFacts, ClickFlags, Country, Currency, DerivedId, DeviceClass, LinkId, OfferId,
    PartnerId, ProgramId, Rate, StreamNo, TenantId, UnixMicros, VerdictKind,
};

#[derive(Clone, Debug)]
enum Op {
    Feed(ShardKey, Box<Input>),
    /// Delivers the message at this place of the queue, twice if so said.
    Deliver(usize, bool),
    Wait(i64),
    Close(i64),
}

/// Time starts well after zero, so that terms and clicks lie on both sides of it.
const START: i64 = 100 * DAY_US;

fn currency() -> impl Strategy<Value = Currency> {
    let real = ["USD", "EUR"].map(|code| Currency::parse(code).unwrap());
    prop_oneof![20 => Just(real[0]), 4 => Just(real[1]), 1 => Just(Currency::NONE)]
}

fn amount() -> impl Strategy<Value = Amount> {
    let odd = select(vec![0, 1, -1, -500, MAX_MINOR, MAX_MINOR + 1, i64::MAX, i64::MIN]);
    let minor = prop_oneof![8 => select(vec![1000i64, 1995, 9999, 10000]), 1 => odd];
    (minor, currency()).prop_map(|(minor, currency)| Amount::new(minor, currency))
}

fn time() -> impl Strategy<Value = UnixMicros> {
    (-20..20i64).prop_map(|days| UnixMicros(START + days * DAY_US))
}

fn authority() -> impl Strategy<Value = Authority> {
    select(Authority::ALL.to_vec())
}

/// A small set, so that the same click turns up in several places.
fn click() -> impl Strategy<Value = ClickCredit> {
    (1..9u64).prop_map(|n| {
        let at_secs = u32::try_from(START / 1_000_000).unwrap() - u32::try_from(n % 5).unwrap() * 86_400;
        let click = ClickFacts {
            tenant: TenantId::new(if n == 8 { 99 } else { 1 }).unwrap(),
            link: LinkId::new(n).unwrap(),
            offer: OfferId::new(n % 3 + 1).unwrap(),
            at_secs,
            address: Address { stream: StreamNo(1), ordinal: n },
            country: Country::UNKNOWN,
            device: DeviceClass::Mobile,
            verdict: if n == 7 { VerdictKind::Block } else { VerdictKind::Allow },
            rule_set_version: 1,
            flags: ClickFlags(if n == 6 { ClickFlags::TEST } else { 0 }),
        };
        let partner = PartnerId::new(n % 2 + 1).unwrap();
        ClickCredit { click, partner, program: ProgramId::new(1).unwrap() }
    })
}

fn customer() -> impl Strategy<Value = CustomerRef> {
    (1..3u8).prop_map(|n| CustomerRef([n; 16]))
}

fn order_id() -> impl Strategy<Value = String> {
    select(vec!["A", "B"]).prop_map(str::to_owned)
}

fn plan() -> impl Strategy<Value = Plan> {
    let rate =
        select(vec![0, 1, 100_000, 333_333, 1_000_000, u32::MAX]).prop_map(|ppm| Plan::Percentage(Rate(ppm)));
    prop_oneof![1 => amount().prop_map(Plan::Flat), 2 => rate]
}

fn model() -> impl Strategy<Value = Model> {
    let partner = |n| PartnerId::new(n).unwrap();
    let models = vec![
        Model::Last,
        Model::First,
        Model::Linear,
        Model::Position { first: 400_000, last: 400_000 },
        Model::Decay { half_life_secs: 86_400 },
        Model::Weights([(partner(1), 3), (partner(2), 1)].into()),
        Model::Weights([(partner(2), 1)].into()),
    ];
    prop_oneof![1 => Just(Model::Last), 2 => select(models)]
}

fn terms() -> impl Strategy<Value = OfferTerms> {
    let hold = (any::<bool>(), prop::option::of(0..8u32));
    let who = (1..4u64, 1..4u32, select(vec![1, 1, 2u64]));
    (who, time(), 0..20i64, plan(), plan(), hold, prop::bool::weighted(0.2), model()).prop_map(
        |(
            (offer, version, program),
            valid_from,
            days,
            sale,
            lead,
            (until_delivered, hold_days),
            trust_pixel,
            model,
        )| {
            OfferTerms {
                offer: OfferId::new(offer).unwrap(),
                program: ProgramId::new(program).unwrap(),
                version,
                valid_from,
                window_secs: days * 86_400,
                goals: vec![
                    GoalPlan { goal: "sale".to_owned(), plan: sale },
                    GoalPlan { goal: "lead".to_owned(), plan: lead },
                ],
                hold: Hold { until_delivered, days: hold_days },
                model,
                trust_pixel,
            }
        },
    )
}

fn report() -> impl Strategy<Value = ConversionReport> {
    let key =
        (order_id(), select(vec!["sale", "sale", "lead", "other"]), select(vec![None, None, Some("1")]));
    let key = key.prop_map(|(order_id, goal, event): (String, &str, Option<&str>)| ConversionKey {
        order_id,
        goal: goal.to_owned(),
        event_id: event.map(str::to_owned),
    });
    let said = (prop::option::of(amount()), prop::option::of(click()), prop::option::of(customer()));
    (key, authority(), said, select(vec![None, Some("TEN"), Some("TWENTY")]), time()).prop_map(
        |(key, authority, (amount, click, customer), coupon, occurred_at)| ConversionReport {
            key,
            authority,
            amount,
            click,
            customer,
            coupon: coupon.map(str::to_owned),
            occurred_at,
            source: Source::Api("machine".to_owned()),
        },
    )
}

fn order_event() -> impl Strategy<Value = OrderEvent> {
    let kinds: Vec<OrderEventKind> = OrderEventKind::ALL.iter().map(|(kind, _)| *kind).collect();
    (order_id(), 0..30u8, select(kinds), prop::option::of(amount()), time()).prop_map(
        |(order_id, event, kind, amount, occurred_at)| OrderEvent {
            order_id,
            event_id: event.to_string(),
            kind,
            amount,
            occurred_at,
            source: Source::Api("machine".to_owned()),
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let vouched = select(vec![Vouched::Page, Vouched::Server]);
    let touch = (customer(), click(), time(), vouched);
    let forged = (order_id(), any::<[u8; 16]>());
    prop_oneof![
        2 => terms().prop_map(Input::Terms),
        6 => report().prop_map(Input::Conversion),
        2 => touch.prop_map(|(customer, click, bound_at, vouched)| {
            Input::Touch(Touch { customer, click, bound_at, vouched })
        }),
        6 => order_event().prop_map(Input::OrderEvent),
        1 => order_id().prop_map(|order_id| Input::HoldElapsed { order_id }),
        1 => forged.prop_map(|(order_id, id)| {
            Input::Settled(Settled { order_id, commission: DerivedId(id), statement: DerivedId(id) })
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (1..3u64, input()).prop_map(|(shard, input)| Op::Feed(advertiser(shard), Box::new(input))),
        6 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(at, twice)| Op::Deliver(at, twice)),
        2 => (0..4 * DAY_US).prop_map(Op::Wait),
        1 => (-6..2i64).prop_map(|days| Op::Close(days * DAY_US)),
    ]
}

fn run(world: &mut World, op: Op) {
    world.now.0 += 1;
    match op {
        Op::Feed(shard, input) => {
            world.feed(shard, *input);
        }
        Op::Wait(micros) => world.now.0 += micros,
        Op::Close(back) => {
            world.feed(settlement(), Input::ClosePeriod { through: UnixMicros(world.now.0 + back) });
        }
        Op::Deliver(at, twice) => {
            let Some(at) = at.checked_rem(world.under_way.len()) else { return };
            let (shard, input) = world.under_way.remove(at).unwrap();
            if twice {
                world.feed(shard, input.clone());
            }
            world.feed(shard, input);
        }
    }
}

/// Everything that was ever fed comes once more, as from a sender that lost every answer.
fn retry_everything(world: &mut World) {
    let fed: Vec<(ShardKey, Input)> = world
        .shards
        .iter()
        .flat_map(|(key, shard)| shard.items.iter().map(|item| (*key, item.input.clone())))
        .collect();
    for (shard, input) in fed {
        world.feed(shard, input);
    }
    world.deliver();
}

/// Releases what time has released, so that a retry finds nothing left to do.
fn release(world: &mut World) {
    for shard in [1, 2] {
        for order_id in ["A", "B"] {
            world.feed(advertiser(shard), Input::HoldElapsed { order_id: order_id.to_owned() });
        }
    }
    world.deliver();
}

proptest! {
    #[test]
    fn the_books_hold_whatever_comes(
        first in prop::collection::vec((1..3u64, terms()), 0..6),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new();
        world.now = UnixMicros(START);
        for (shard, terms) in first {
            world.feed(advertiser(shard), Input::Terms(terms));
        }
        for op in ops {
            run(&mut world, op);
        }
        world.deliver();
        world.now.0 += 1;
        release(&mut world);
        let through = world.now;
        world.now.0 += 1;
        world.feed(settlement(), Input::ClosePeriod { through });
        world.deliver();
        world.now.0 += 1;
        let (postings, balances) = (world.postings(), world.balances());
        let statements = world.shards[&settlement()].books.statements.len();
        retry_everything(&mut world);
        prop_assert_eq!(world.postings(), postings);
        prop_assert_eq!(world.balances(), balances);
        prop_assert_eq!(world.shards[&settlement()].books.statements.len(), statements);
        world.replays();
    }
}
