//! What the money engine had is what it gets back.

use crate::arbitrary;
use crate::world::{NOW, World, append, lease, run_money, store};
use control_plane_domain::intake::{ConversionReport, CustomerRef, Input, OrderEventKind, Touch, Vouched};
use control_plane_domain::order::{CommissionStatus, ConversionStatus, Order, Part};
use control_plane_domain::state::{Effect, Needs, ShardState};
use control_plane_domain::terms::OfferTerms;
use control_plane_store::catalog::Offer;
use control_plane_store::commissions::CommissionFilter;
use control_plane_store::conversions::ConversionFilter;
use control_plane_store::leases::Lease;
use control_plane_store::ledger::LedgerFilter;
use control_plane_store::{Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proto_model::{OfferId, UnixMicros};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Persists `order` under the next item and gives what is loaded afterwards.
async fn round_trip(store: &Store, lease: &Lease, world: &World, order: &Order) -> Order {
    let needs = Needs { order_id: Some(order.order_id.clone()), ..Needs::default() };
    append(store, world.shard(), &Input::HoldElapsed { order_id: order.order_id.clone() }).await;
    let mut tx = store.begin_money(world.shard(), lease).await.unwrap();
    let items = tx.next_items(10).await.unwrap();
    for item in &items {
        let mut state: ShardState = tx.load(&item.input).await.unwrap();
        let effects = match item.input {
            Input::HoldElapsed { .. } => {
                state.orders.insert(order.order_id.clone(), order.clone());
                vec![Effect::PutOrder(order.order_id.clone())]
            }
            _ => vec![],
        };
        tx.persist(item, &state, &effects).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.begin_money(world.shard(), lease).await.unwrap();
    tx.load_parts(&needs).await.unwrap().orders.remove(&order.order_id).unwrap()
}

#[test]
fn any_order_is_loaded_as_it_was_persisted() {
    let runtime = runtime();
    let (store, lease, world) = runtime.block_on(async {
        let store = store().await;
        let world = World::create(&store, 1).await;
        (store.clone(), lease(&store).await, world)
    });
    let shard = world.shard();
    let two_states =
        arbitrary::text().prop_flat_map(move |id| (arbitrary::order(id.clone()), arbitrary::order(id)));
    TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() })
        .run(&two_states, |(first, mut second)| {
            runtime.block_on(async {
                // An order never loses a conversion: what an earlier case left under this id goes on.
                let needs = Needs { order_id: Some(first.order_id.clone()), ..Needs::default() };
                let mut tx = store.begin_money(shard, &lease).await.unwrap();
                let earlier = tx.load_parts(&needs).await.unwrap().orders.remove(&first.order_id);
                drop(tx);
                let mut first = first;
                for (key, conversion) in earlier.map(|order| order.conversions).unwrap_or_default() {
                    first.conversions.entry(key).or_insert(conversion);
                }
                prop_assert_eq!(&round_trip(&store, &lease, &world, &first).await, &first);
                for (key, conversion) in first.conversions {
                    second.conversions.entry(key).or_insert(conversion);
                }
                prop_assert_eq!(&round_trip(&store, &lease, &world, &second).await, &second);
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn a_sale_becomes_a_statement_and_a_payout() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    let mut money = store.signals().money.subscribe();
    append(&store, world.shard(), &world.sale("A-1", 10_000)).await;
    run_money(&store, &lease).await;
    assert!(money.has_changed().unwrap());
    money.mark_unchanged();

    let filter = ConversionFilter { order_id: Some("A-1".into()), ..ConversionFilter::default() };
    let page = store.list_conversions(world.tenant, &filter, None, 10).await.unwrap();
    let [row] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((row.link, row.partner), (Some(world.link), Some(world.partner)));
    assert_eq!(row.conversion.status, ConversionStatus::Attributed);
    assert_eq!(store.get_conversion(world.tenant, row.conversion.id).await.unwrap(), *row);
    let commission = row.conversion.commissions[&Part::Whole].clone();
    assert_eq!((commission.amount.minor, commission.status), (1_000, CommissionStatus::Pending));

    append(&store, world.shard(), &world.order_event("A-1", OrderEventKind::Delivered)).await;
    let close = Input::ClosePeriod { through: NOW };
    run_money(&store, &lease).await;
    append(&store, world.settlement(), &close).await;
    run_money(&store, &lease).await;

    let row = store.get_commission(world.tenant, commission.id).await.unwrap();
    assert_eq!(row.commission.status, CommissionStatus::Approved);
    let page = store.list_statements(world.tenant, Some(world.partner), None, 10).await.unwrap();
    let [statement] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!(row.commission.statement, Some(statement.statement.id));
    assert_eq!((statement.statement.lines.len(), statement.statement.closing_minor), (1, 1_000));
    assert_eq!(statement.statement.computed_hash(), statement.statement.hash);
    assert_eq!(&store.get_statement(world.tenant, statement.statement.id).await.unwrap(), statement);
    let payouts = store.list_payouts(world.tenant, None, None, 10).await.unwrap().items;
    assert_eq!(payouts.iter().map(|row| row.payout.amount.minor).collect::<Vec<_>>(), [1_000]);
    assert_eq!(store.get_payout(world.tenant, payouts[0].payout.id).await.unwrap(), payouts[0]);

    let about = LedgerFilter { subject: Some(commission.id), ..LedgerFilter::default() };
    let ledger = store.list_transactions(world.tenant, &about, None, 10).await.unwrap().items;
    assert_eq!(ledger.len(), 3, "accrue, approve, credit");
    for shard in store.shards(world.tenant).await.unwrap() {
        assert_eq!(store.verify_ledger(shard).await.unwrap().problem, None, "{shard:?}");
    }
    assert_eq!(store.unbalanced(10).await.unwrap(), []);
    let balances = store.balances(world.tenant).await.unwrap();
    assert_eq!(balances.iter().map(|balance| balance.amount.minor).sum::<i64>(), 0);
    assert!(!store.list_outbox(world.tenant, None, 10).await.unwrap().items.is_empty());
}

/// A tenant may have thousands of offers.
#[tokio::test]
async fn a_report_loads_the_terms_of_what_competes_for_it_and_no_other() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let offers: Vec<OfferId> = (1..=5).map(|n| OfferId::from_random(900 + n)).collect();
    for id in &offers {
        let terms = OfferTerms { offer: *id, ..world.terms(1) };
        store.create_offer(&Offer { id: *id, ..world.offer_row() }, &terms).await.unwrap();
    }
    let of_offer = |ordinal: u64, offer: OfferId| {
        let mut credit = world.click(ordinal);
        credit.click.offer = offer;
        credit
    };
    let customer = CustomerRef([1; 16]);
    let touch = Touch { customer, click: of_offer(2, offers[1]), bound_at: NOW, vouched: Vouched::Server };
    append(&store, world.shard(), &Input::Touch(touch)).await;
    let lease = lease(&store).await;
    let report = |click, customer| {
        let report = ConversionReport { click: Some(click), customer, ..world.report("A-1", 100) };
        Input::Conversion(report)
    };
    // The click of its own, the customer's touch, and, for a later report that names neither, what the first one met.
    let cases = [
        (report(of_offer(1, offers[0]), Some(customer)), vec![offers[0], offers[1]]),
        (report(of_offer(3, offers[2]), None), vec![offers[0], offers[1], offers[2]]),
    ];
    run_money(&store, &lease).await;
    for (input, mut expected) in cases {
        let mut tx = store.begin_money(world.shard(), &lease).await.unwrap();
        let found: Vec<OfferId> = tx.load(&input).await.unwrap().terms.into_keys().collect();
        drop(tx);
        expected.sort_unstable();
        assert_eq!(found, expected);
        append(&store, world.shard(), &input).await;
        run_money(&store, &lease).await;
    }
}

#[tokio::test]
async fn effects_and_checkpoint_commit_together_or_not_at_all() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    run_money(&store, &lease).await;
    let ordinal = append(&store, world.shard(), &world.sale("A-1", 10_000)).await;

    let mut tx = store.begin_money(world.shard(), &lease).await.unwrap();
    let item = tx.next_items(1).await.unwrap().remove(0);
    let again = item.clone();
    let mut state = tx.load(&item.input).await.unwrap();
    let effects = control_plane_domain::engine::apply(world.shard(), &mut state, &item).unwrap();
    tx.persist(&item, &state, &effects).await.unwrap();
    assert!(matches!(tx.persist(&again, &state, &effects).await, Err(StoreError::Conflict("intake_order"))));
    drop(tx);
    assert_eq!(store.applied_through(world.shard()).await.unwrap(), ordinal - 1);
    let filter = ConversionFilter::default();
    assert_eq!(store.list_conversions(world.tenant, &filter, None, 10).await.unwrap().items, []);

    // Persisting the same effects twice collides, and what is broken cannot be committed.
    let mut tx = store.begin_money(world.shard(), &lease).await.unwrap();
    let twice: Vec<Effect> = effects.iter().chain(&effects).cloned().collect();
    assert!(tx.persist(&item, &state, &twice).await.is_err());
    assert!(matches!(tx.commit().await, Err(StoreError::Conflict("item_in_part"))));

    assert_eq!(run_money(&store, &lease).await, 1);
    assert_eq!(store.list_conversions(world.tenant, &filter, None, 10).await.unwrap().items.len(), 1);
    assert_eq!(run_money(&store, &lease).await, 0, "each item once");
}

#[tokio::test]
async fn a_holder_that_lost_its_lease_changes_nothing() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let old = lease(&store).await;
    let new = lease(&store).await;
    assert!(matches!(store.begin_money(world.shard(), &old).await, Err(StoreError::Fenced)));
    assert!(run_money(&store, &new).await > 0);
    let nobody = World::new(9).shard();
    assert!(matches!(store.begin_money(nobody, &new).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_hold_is_due_once() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    let terms = control_plane_domain::terms::OfferTerms {
        hold: control_plane_domain::terms::Hold { until_delivered: false, days: Some(1) },
        ..world.terms(2)
    };
    store.put_terms(world.tenant, world.advertiser, &terms, NOW).await.unwrap();
    append(&store, world.shard(), &world.sale("A-1", 10_000)).await;
    run_money(&store, &lease).await;

    let due = async |at: UnixMicros| store.due_holds(at, 10).await.unwrap();
    assert_eq!(due(NOW).await, []);
    let later = NOW.plus_days(2);
    assert_eq!(due(later).await, [(world.shard(), "A-1".to_owned())]);
    // Too early: the engine leaves the order alone, and the hold stays due.
    append(&store, world.shard(), &Input::HoldElapsed { order_id: "A-1".into() }).await;
    run_money(&store, &lease).await;
    assert_eq!(due(later).await.len(), 1);
    let elapsed = Input::HoldElapsed { order_id: "A-1".into() };
    store.append_intake(world.shard(), &elapsed, later).await.unwrap();
    assert_eq!(due(later).await, [], "it waits in the intake");
    run_money(&store, &lease).await;
    assert_eq!(due(later).await, []);
    let filter = CommissionFilter { status: Some(CommissionStatus::Approved), ..CommissionFilter::default() };
    assert_eq!(store.list_commissions(world.tenant, &filter, None, 10).await.unwrap().items.len(), 1);
}
