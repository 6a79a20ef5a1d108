//! The store under the money engine behaves like one large state in memory: whatever is fed to both, they
//! end with the same orders, ledger, statements and payouts.

use crate::world::{NOW, World, lease, run_money, store, usd};
use control_plane_domain::intake::{
    ConversionKey, ConversionReport, CustomerRef, Input, OrderEvent, OrderEventKind, ShardKey, Source, Touch,
    Vouched,
};
use control_plane_domain::invariants;
use control_plane_domain::replay::{Replay, replay};
use control_plane_domain::state::Needs;
use control_plane_store::Store;
use control_plane_store::leases::Lease;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use proto_model::event::Authority;
use proto_model::{Amount, Currency};
use std::cell::Cell;
use tokio::runtime::Runtime;

/// One thing that happens; small numbers, so that they meet.
#[derive(Clone, Debug)]
enum Event {
    Conversion {
        order: u8,
        goal: u8,
        authority: Authority,
        minor: Option<i64>,
        click: Option<u8>,
        customer: Option<u8>,
    },
    Touch {
        customer: u8,
        click: u8,
        vouched: Vouched,
    },
    Order {
        order: u8,
        event: u8,
        kind: OrderEventKind,
        minor: Option<i64>,
    },
    Hold {
        order: u8,
        days: u32,
    },
    Terms,
    Close {
        days: u32,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let minor = || option::of(1i64..50_000);
    let who = (option::of(0u8..3), option::of(0u8..2));
    let kinds: Vec<OrderEventKind> = OrderEventKind::ALL.map(|(kind, _)| kind).to_vec();
    prop_oneof![
        4 => (0u8..3, 0u8..3, select(Authority::ALL), minor(), who)
            .prop_map(|(order, goal, authority, minor, (click, customer))| {
                Event::Conversion { order, goal, authority, minor, click, customer }
            }),
        1 => (0u8..2, 0u8..3, select(vec![Vouched::Page, Vouched::Server]))
            .prop_map(|(customer, click, vouched)| Event::Touch { customer, click, vouched }),
        4 => (0u8..3, 0u8..9, select(kinds), minor())
            .prop_map(|(order, event, kind, minor)| Event::Order { order, event, kind, minor }),
        1 => (0u8..3, 0u32..60).prop_map(|(order, days)| Event::Hold { order, days }),
        1 => Just(Event::Terms),
        1 => (0u32..60).prop_map(|days| Event::Close { days }),
    ]
}

async fn feed(store: &Store, world: &World, event: &Event) {
    let order_id = |order: u8| format!("order-{order}");
    let customer = |n: u8| CustomerRef([n; 16]);
    let (shard, input, at) = match *event {
        Event::Conversion { order, goal, authority, minor, click, customer: who } => {
            let goal = ["sale", "lead", "unknown"][usize::from(goal)];
            let report = ConversionReport {
                key: ConversionKey { order_id: order_id(order), goal: goal.into(), event_id: None },
                authority,
                amount: minor.map(usd),
                click: click.map(|n| world.click(u64::from(n) + 1)),
                customer: who.map(customer),
                ..world.report("", 0)
            };
            (world.shard(), Input::Conversion(report), NOW)
        }
        Event::Touch { customer: who, click, vouched } => {
            let click = world.click(u64::from(click) + 1);
            let touch = Touch { customer: customer(who), click, bound_at: NOW, vouched };
            (world.shard(), Input::Touch(touch), NOW)
        }
        Event::Order { order, event, kind, minor } => {
            let event = OrderEvent {
                order_id: order_id(order),
                event_id: format!("event-{event}"),
                kind,
                amount: minor.map(|minor| Amount::new(minor, Currency::parse("USD").unwrap())),
                occurred_at: NOW,
                source: Source::Api("request".into()),
            };
            (world.shard(), Input::OrderEvent(event), NOW)
        }
        Event::Hold { order, days } => {
            (world.shard(), Input::HoldElapsed { order_id: order_id(order) }, NOW.plus_days(days))
        }
        Event::Terms => {
            let version = store.get_offer(world.tenant, world.offer).await.unwrap().terms_version + 1;
            let terms = world.terms(version);
            return store.put_terms(world.tenant, world.advertiser, &terms, NOW).await.unwrap();
        }
        Event::Close { days } => {
            let through = NOW.plus_days(days);
            (world.settlement(), Input::ClosePeriod { through }, through)
        }
    };
    store.append_intake(shard, &input, at).await.unwrap();
}

async fn replayed(store: &Store, shard: ShardKey) -> Replay {
    let items = store.intake_items(shard, 0, 10_000).await.unwrap();
    let replay = replay(shard, items).unwrap();
    invariants::check(shard, &replay).unwrap();
    replay
}

/// Everything that the store can load of a shard is what the replay holds.
async fn compare(store: &Store, lease: &Lease, world: &World, shard: ShardKey) {
    let replay = replayed(store, shard).await;
    assert_eq!(store.shard_ledger(shard, 0, 10_000).await.unwrap(), replay.ledger);
    assert_eq!(store.verify_ledger(shard).await.unwrap().problem, None);

    let mut tx = store.begin_money(shard, lease).await.unwrap();
    let settlement = shard.advertiser.is_none();
    let offers = replay.state.terms.keys().copied().collect();
    let needs = Needs { offers, all_open_credits: settlement, ..Needs::default() };
    let mut state = tx.load_parts(&needs).await.unwrap();
    for order_id in replay.state.orders.keys() {
        let needs = Needs { order_id: Some(order_id.clone()), ..Needs::default() };
        state.orders.append(&mut tx.load_parts(&needs).await.unwrap().orders);
    }
    for customer in replay.state.touches.keys() {
        let needs = Needs { customer: Some(*customer), ..Needs::default() };
        state.touches.append(&mut tx.load_parts(&needs).await.unwrap().touches);
    }
    for credit in &replay.state.known_credits {
        let needs = Needs { credit: Some(*credit), ..Needs::default() };
        state.known_credits.append(&mut tx.load_parts(&needs).await.unwrap().known_credits);
    }
    for statement in &replay.statements {
        let needs = Needs { statements_through: Some(statement.through), ..Needs::default() };
        state.known_statements.append(&mut tx.load_parts(&needs).await.unwrap().known_statements);
    }
    drop(tx);
    assert_eq!(state, replay.state);

    if settlement {
        for statement in &replay.statements {
            assert_eq!(store.get_statement(world.tenant, statement.id).await.unwrap().statement, *statement);
        }
        for payout in &replay.payouts {
            assert_eq!(store.get_payout(world.tenant, payout.id).await.unwrap().payout, *payout);
        }
        let stored = store.list_statements(world.tenant, None, None, 1_000).await.unwrap().items.len();
        assert_eq!(stored, replay.statements.len());
    }
}

#[test]
fn the_store_and_a_replay_end_alike() {
    let runtime = runtime();
    let store = runtime.block_on(store());
    ends_like_a_replay(&runtime, store, 48);
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Of a store that was opened on this runtime.
pub fn ends_like_a_replay(runtime: &Runtime, store: Store, cases: u32) {
    let worlds = Cell::new(1);
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
        .run(&vec(event(), 1..40), |events| {
            runtime.block_on(async {
                let world = World::create(&store, worlds.replace(worlds.get() + 1)).await;
                let lease = lease(&store).await;
                for (index, event) in events.iter().enumerate() {
                    feed(&store, &world, event).await;
                    if index % 7 == 0 {
                        run_money(&store, &lease).await;
                    }
                }
                run_money(&store, &lease).await;
                compare(&store, &lease, &world, world.shard()).await;
                compare(&store, &lease, &world, world.settlement()).await;
                let told = replayed(&store, world.shard()).await.notifications.len()
                    + replayed(&store, world.settlement()).await.notifications.len();
                let outbox = store.list_outbox(world.tenant, None, 1_000).await.unwrap().items;
                assert_eq!(outbox.len(), told);
                assert_eq!(store.unbalanced(1).await.unwrap(), []);
            });
            Ok(())
        })
        .unwrap();
}
