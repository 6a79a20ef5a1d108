//! A person can be forgotten, and the books still verify.

use crate::projection::{batches, value};
use crate::raw::{Place, Raw};
use crate::world::{NOW, World, append, lease, run_money, store};
use control_plane_domain::intake::{ConversionReport, CustomerRef, Input, Source};
use control_plane_domain::replay::replay;
use control_plane_store::Store;
use control_plane_store::erase::ErasedCounts;
use control_plane_store::journal::JournalRow;
use control_plane_store::projection::{CustomerKey, Projection, Who};
use proto_model::event::PersonalClass;
use proto_model::{Address, StreamNo};
use std::fs;

const ANN: CustomerRef = CustomerRef([1; 16]);
const BOB: CustomerRef = CustomerRef([2; 16]);

fn at(ordinal: u64) -> Address {
    Address { stream: StreamNo(2), ordinal }
}

async fn values_left(store: &Store, world: &World) -> Vec<u64> {
    let mut left = Vec::new();
    for ordinal in 1..=9 {
        if !store.sidecar_at(world.tenant, at(ordinal)).await.unwrap().is_empty() {
            left.push(ordinal);
        }
    }
    left
}

/// Ann's postback stands at 1, her click at 2, a pixel of the same order at 3; Bob's at 4 and 5; 6 is
/// nobody's. Their events stand in stream 2 here, as the sidecar rows do.
async fn two_customers(store: &Store, world: &World) {
    let keys = [("ann", ANN), ("bob", BOB)].map(|(id, candidate)| CustomerKey {
        tenant: world.tenant,
        who: Who::Customer(id.into()),
        candidate,
    });
    store.resolve_customers(&keys).await.unwrap();
    let event = |customer, order: &str, source, click| {
        Input::Conversion(ConversionReport {
            customer,
            click: Some(world.click(click)),
            source: Source::Journal(at(source)),
            ..world.report(order, 10_000)
        })
    };
    for input in [event(Some(ANN), "A-1", 1, 2), event(None, "A-1", 3, 2), event(Some(BOB), "B-1", 4, 5)] {
        append(store, world.shard(), &input).await;
    }
    let network = |ordinal| value(world, ordinal, PersonalClass::Network, None);
    let mut sidecar: Vec<_> = (1..=6).map(network).collect();
    sidecar.push(value(world, 1, PersonalClass::Subject, Some(ANN)));
    let projection = Projection { sidecar, ..Projection::default() };
    let lease = lease(store).await;
    assert!(store.commit_projection(&lease, 1, &projection, NOW).await.unwrap());
    run_money(store, &lease).await;
}

#[tokio::test]
async fn values_of_a_customer_and_their_clicks_go_and_the_books_stay() {
    let store = store().await;
    let (world, other) = (World::create(&store, 1).await, World::create(&store, 2).await);
    batches(&store, 2).await;
    two_customers(&store, &world).await;
    let journal = store.batches_beginning_after(StreamNo(2), 0, 10).await.unwrap();
    let ledger = store.shard_ledger(world.shard(), 0, 100).await.unwrap();
    assert_eq!(values_left(&store, &world).await, [1, 2, 3, 4, 5, 6]);

    assert_eq!(
        store.erase_customer(other.tenant, &Who::Customer("ann".into())).await.unwrap(),
        ErasedCounts::default()
    );
    let counts = store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap();
    assert_eq!(counts, ErasedCounts { customers: 1, values: 4, events: 3 });
    assert_eq!(values_left(&store, &world).await, [4, 5, 6]);
    assert_eq!(
        store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap(),
        ErasedCounts::default()
    );

    assert_eq!(
        store.batches_beginning_after(StreamNo(2), 0, 10).await.unwrap(),
        journal,
        "what was signed is untouched"
    );
    assert_eq!(store.verify_ledger(world.shard()).await.unwrap().problem, None);
    let items = store.intake_items(world.shard(), 0, 100).await.unwrap();
    assert_eq!(replay(world.shard(), items).unwrap().ledger, ledger);

    // Who comes back is somebody new.
    let key = CustomerKey {
        tenant: world.tenant,
        who: Who::Customer("ann".into()),
        candidate: CustomerRef([9; 16]),
    };
    assert_eq!(
        store.resolve_customers(&[key]).await.unwrap().into_values().collect::<Vec<_>>(),
        [CustomerRef([9; 16])]
    );
}

#[tokio::test]
async fn a_click_that_arrives_after_the_erasure_is_not_kept() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    batches(&store, 2).await;
    two_customers(&store, &world).await;
    store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap();
    let late = [2, 7].map(|ordinal| value(&world, ordinal, PersonalClass::Tags, None));
    let projection = Projection { sidecar: late.into(), ..Projection::default() };
    let lease = lease(&store).await;
    assert!(store.commit_projection(&lease, 2, &projection, NOW).await.unwrap());
    assert_eq!(values_left(&store, &world).await, [4, 5, 6, 7]);
}

#[tokio::test]
async fn what_comes_later_of_an_erased_order_is_not_kept_although_it_names_nobody() {
    late_reports(None).await;
}

/// The page knows its visitor, and not that this was Ann.
#[tokio::test]
async fn nor_is_what_names_a_visitor_who_is_still_known() {
    late_reports(Some(CustomerRef([8; 16]))).await;
}

async fn late_reports(visitor: Option<CustomerRef>) {
    let store = store().await;
    let world = World::create(&store, 1).await;
    batches(&store, 2).await;
    two_customers(&store, &world).await;
    store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap();
    if let Some(candidate) = visitor {
        let key = CustomerKey { tenant: world.tenant, who: Who::Visitor("v-1".into()), candidate };
        assert_eq!(store.resolve_customers(&[key]).await.unwrap().len(), 1);
    }
    // From an edge that was cut off: pixels of Ann's order at 7, with another click at 8, and of Bob's at 9.
    let pixel = |order: &str, source, click| {
        let report = ConversionReport {
            click: Some(world.click(click)),
            source: Source::Journal(at(source)),
            customer: visitor.filter(|_| order == "A-1"),
            ..world.report(order, 10_000)
        };
        (world.shard(), Input::Conversion(report))
    };
    let named = |ordinal| visitor.filter(|_| ordinal == 7);
    let projection = Projection {
        intake: vec![pixel("A-1", 7, 8), pixel("B-1", 9, 5)],
        sidecar: (7..=9).map(|at| value(&world, at, PersonalClass::Network, named(at))).collect(),
        ..Projection::default()
    };
    let lease = lease(&store).await;
    assert!(store.commit_projection(&lease, 2, &projection, NOW).await.unwrap());
    assert_eq!(values_left(&store, &world).await, [4, 5, 6, 9]);
}

#[tokio::test]
async fn an_erasure_between_the_pseudonym_and_the_projection_holds() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    batches(&store, 2).await;
    let keys = [("ann", ANN), ("bob", BOB)].map(|(id, candidate)| CustomerKey {
        tenant: world.tenant,
        who: Who::Customer(id.into()),
        candidate,
    });
    store.resolve_customers(&keys).await.unwrap();
    assert_eq!(store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap().customers, 1);

    // Ann's postback stands at 1, her click at 2; Bob's postback at 4, and 5 is nobody's.
    let sale = Input::Conversion(ConversionReport {
        customer: Some(ANN),
        click: Some(world.click(2)),
        source: Source::Journal(at(1)),
        ..world.report("A-1", 10_000)
    });
    let sidecar = vec![
        value(&world, 1, PersonalClass::Subject, Some(ANN)),
        value(&world, 1, PersonalClass::Network, Some(ANN)),
        value(&world, 2, PersonalClass::Network, None),
        // Blocked: its event is not in the intake.
        value(&world, 3, PersonalClass::Network, Some(ANN)),
        value(&world, 4, PersonalClass::Subject, Some(BOB)),
        value(&world, 5, PersonalClass::Network, None),
    ];
    let lease = lease(&store).await;
    let projection = Projection { intake: vec![(world.shard(), sale)], sidecar, ..Projection::default() };
    assert!(store.commit_projection(&lease, 1, &projection, NOW).await.unwrap());
    assert_eq!(values_left(&store, &world).await, [4, 5]);

    let late = [1, 2, 3].map(|ordinal| value(&world, ordinal, PersonalClass::Tags, None));
    let projection = Projection { sidecar: late.into(), ..Projection::default() };
    assert!(store.commit_projection(&lease, 2, &projection, NOW).await.unwrap());
    assert_eq!(values_left(&store, &world).await, [4, 5], "what comes later of these events is not kept");
}

#[tokio::test]
async fn what_an_older_version_has_erased_is_not_read_and_goes() {
    let place = Place::new().await;
    let store = place.open().await;
    let world = World::create(&store, 1).await;
    batches(&store, 2).await;
    two_customers(&store, &world).await;
    let mut raw = Raw::open(&place.url).await;
    let held = "SELECT CAST(coalesce(sum(held), 0) AS BIGINT) FROM sidecar_batches";
    assert_eq!((raw.number(held).await, store.scrub_erased().await.unwrap()), (6, 0));
    let tenant = world.tenant.get();
    // It deletes rows, and leaves blobs as they are.
    for (events, left, count) in [(vec![1, 3], vec![2, 4, 5, 6], 2), (vec![2, 4, 5, 6, 9], vec![], 4)] {
        for ordinal in &events {
            raw.script(&format!("DELETE FROM sidecar WHERE ordinal = {ordinal}")).await;
            let insert = "INSERT INTO erased_events (tenant_id, stream, ordinal) VALUES";
            raw.script(&format!("{insert} ({tenant}, 2, {ordinal})")).await;
        }
        assert_eq!(values_left(&store, &world).await, left);
        let batch = store.journal_batch(1).await.unwrap();
        let batch = JournalRow { first_ordinal: 1, last_ordinal: 9, ..batch };
        let of_batch = store.sidecar_of_batch(&batch).await.unwrap();
        assert_eq!((of_batch.values.len(), of_batch.unreadable.len()), (left.len(), 0));
        let before = raw.number(held).await;
        assert_eq!(store.scrub_erased().await.unwrap(), count);
        assert_eq!(raw.number(held).await, before - i64::try_from(count).unwrap());
        assert_eq!(store.scrub_erased().await.unwrap(), 0);
        assert_eq!(values_left(&store, &world).await, left);
    }
    assert_eq!(raw.count("sidecar_batches").await, 0, "an empty blob goes");
}

#[tokio::test]
async fn the_log_of_who_was_erased_goes_when_nobody_reads_it_any_more() {
    // PostgreSQL's log is its own.
    if control_plane_testing::chosen().is_some() {
        return;
    }
    let place = Place::new().await;
    let store = place.open().await;
    let world = World::create(&store, 1).await;
    batches(&store, 1).await;
    two_customers(&store, &world).await;
    let log = || fs::metadata(place.file().with_extension("db-wal")).unwrap().len();
    let mut reader = Raw::open(&place.url).await;
    reader.script("BEGIN; SELECT count(*) FROM customers").await;
    assert_eq!(store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap().customers, 1);
    assert!(log() > 0);
    reader.script("COMMIT").await;
    assert_eq!(store.scrub_erased().await.unwrap(), 0);
    assert_eq!(log(), 0);
    // Nobody is kept waiting for it when there is nothing to cut.
    append(&store, world.shard(), &world.sale("C-1", 100)).await;
    store.scrub_erased().await.unwrap();
    assert!(log() > 0);
    // A process that died after it had erased somebody.
    let next = place.open().await;
    next.scrub_erased().await.unwrap();
    assert_eq!(log(), 0);
}
