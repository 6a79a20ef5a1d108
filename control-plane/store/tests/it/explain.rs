//! What stands behind a decision: the reports and the order events, complete and in order.

use crate::world::{NOW, World, append, lease, run_money, store, usd};
use control_plane_domain::intake::{ConversionKey, ConversionReport, Input, OrderEventKind};
use control_plane_store::conversions::ConversionFilter;

#[tokio::test]
async fn reports_of_one_conversion_are_counted_among_many_of_its_order() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let report = world.report("A-1", 10_000);
    let other = |event_id: &str| ConversionKey { event_id: Some(event_id.into()), ..report.key.clone() };
    for n in 0..1_010 {
        let key = other(&format!("e{}", n % 5));
        append(&store, world.shard(), &Input::Conversion(ConversionReport { key, ..report.clone() })).await;
    }
    for _ in 0..3 {
        append(&store, world.shard(), &Input::Conversion(report.clone())).await;
    }
    let cases = [(report.key.clone(), 3), (other("e0"), 202), (other("e9"), 0)];
    for (key, count) in cases {
        let found = store.conversion_reports(world.shard(), &key, 2).await.unwrap();
        assert_eq!(found.count, count, "{key:?}");
        assert_eq!(found.first.len(), usize::try_from(count.min(2)).unwrap());
        assert!(found.first.iter().all(|recorded| recorded.report.key == key));
        assert!(found.first.is_sorted_by_key(|recorded| recorded.ordinal), "oldest first");
    }
}

#[tokio::test]
async fn pages_of_conflicts_are_full() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    for n in 0..12 {
        append(&store, world.shard(), &world.sale(&format!("A-{n}"), 10_000)).await;
    }
    for n in [1, 5, 9] {
        let differs = ConversionReport { amount: Some(usd(1)), ..world.report(&format!("A-{n}"), 1) };
        append(&store, world.shard(), &Input::Conversion(differs)).await;
    }
    run_money(&store, &lease).await;
    let orders = async |filter: ConversionFilter, after| {
        let page = store.list_conversions(world.tenant, &filter, after, 2).await.unwrap();
        let orders: Vec<_> = page.items.into_iter().map(|row| row.conversion.key.order_id).collect();
        (orders, page.next)
    };
    let disputed = ConversionFilter { conflict: Some(true), ..ConversionFilter::default() };
    let (first, next) = orders(disputed.clone(), None).await;
    assert_eq!(first, ["A-9", "A-5"]);
    assert_eq!(orders(disputed.clone(), next).await, (vec!["A-1".to_owned()], None));
    let agreed = ConversionFilter { conflict: Some(false), ..ConversionFilter::default() };
    assert_eq!(orders(agreed.clone(), None).await.0, ["A-11", "A-10"]);
    for (filter, expected) in [(disputed, 1), (agreed, 0)] {
        let filter = ConversionFilter { order_id: Some("A-5".into()), ..filter };
        assert_eq!(orders(filter, None).await.0.len(), expected);
    }
}

#[tokio::test]
async fn order_events_come_as_they_were_taken() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    for kind in [OrderEventKind::Paid, OrderEventKind::Delivered, OrderEventKind::Paid] {
        append(&store, world.shard(), &world.order_event("A-1", kind)).await;
    }
    append(&store, world.shard(), &world.order_event("A-2", OrderEventKind::Returned)).await;
    let kinds = async |order: &str, skip, limit| {
        let advertiser = Some(world.advertiser);
        let rows = store.list_order_events(world.tenant, order, advertiser, skip, limit).await.unwrap();
        assert!(rows.iter().all(|row| row.recorded_at == NOW && row.advertiser == world.advertiser));
        rows.into_iter().map(|row| row.event.kind).collect::<Vec<_>>()
    };
    use OrderEventKind::{Delivered, Paid};
    assert_eq!(kinds("A-1", 0, 10).await, [Paid, Delivered, Paid], "the repeated one, too");
    assert_eq!(kinds("A-1", 1, 1).await, [Delivered]);
    assert_eq!(kinds("A-3", 0, 10).await, []);
}
