//! Per shard, one log without gaps.

use crate::arbitrary;
use crate::world::{NOW, World, append, lease, run_money, store};
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_store::{Slots, Store, StoreError};
use proptest::test_runner::{Config, TestRunner};
use proto_model::UnixMicros;

fn hold(order_id: &str) -> Input {
    Input::HoldElapsed { order_id: order_id.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ordinals_are_dense_under_concurrent_appends() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("tributary.db").display());
    let store = Store::open(&url.parse().unwrap()).await.unwrap();
    let world = World::create(&store, 1).await;
    let mut signal = store.signals().intake.subscribe();
    signal.mark_unchanged();
    let writers = (0..8).map(|writer| {
        let (store, shard) = (store.clone(), world.shard());
        tokio::spawn(async move {
            let mut ordinals = Vec::new();
            for n in 0..10 {
                ordinals.push(append(&store, shard, &hold(&format!("{writer}-{n}"))).await);
            }
            ordinals
        })
    });
    let mut given = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        given.extend(writer.await.unwrap());
    }
    given.sort_unstable();
    // The first item is the offer's terms.
    assert_eq!(given, (2..=81).collect::<Vec<u64>>());
    let stored = store.intake_items(world.shard(), 0, 1_000).await.unwrap();
    assert_eq!(stored.iter().map(|item| item.ordinal).collect::<Vec<_>>(), (1..=81).collect::<Vec<u64>>());
    assert!(signal.has_changed().unwrap());
    store.close().await;
}

#[tokio::test]
async fn time_never_runs_backwards_within_a_shard() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    for at in [5, 3, 9] {
        store.append_intake(world.shard(), &hold("A"), NOW.plus_secs(at)).await.unwrap();
    }
    let items = store.intake_items(world.shard(), 1, 10).await.unwrap();
    let times: Vec<UnixMicros> = items.iter().map(|item| item.recorded_at).collect();
    assert_eq!(times, [NOW.plus_secs(5), NOW.plus_secs(5), NOW.plus_secs(9)]);
}

#[tokio::test]
async fn only_shards_that_exist_take_inputs() {
    let store = store().await;
    let (world, other) = (World::create(&store, 1).await, World::create(&store, 2).await);
    for shard in
        [ShardKey::settlement(World::new(3).tenant), ShardKey::advertiser(world.tenant, other.advertiser)]
    {
        let refused = store.append_intake(shard, &hold("A"), NOW).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{shard:?}");
    }
    assert_eq!(store.shards(world.tenant).await.unwrap(), [world.settlement(), world.shard()]);
}

#[tokio::test]
async fn shards_with_work_are_those_ahead_of_the_engine() {
    let store = store().await;
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let lease = lease(&store).await;
    assert_eq!(store.shards_with_work(Slots::ALL, 10).await.unwrap(), [one.shard(), two.shard()]);
    assert_eq!(run_money(&store, &lease).await, 2);
    assert_eq!(store.shards_with_work(Slots::ALL, 10).await.unwrap(), []);
    let ordinal = append(&store, two.shard(), &hold("A")).await;
    assert_eq!(store.shards_with_work(Slots::ALL, 10).await.unwrap(), [two.shard()]);
    assert_eq!(store.applied_through(two.shard()).await.unwrap(), ordinal - 1);
}

#[tokio::test]
async fn an_idempotency_key_appends_once() {
    let store = store().await;
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let once = async |world: &World, request: u8| {
        store.append_intake_once(world.shard(), &hold("A"), "key", [request; 32], NOW).await
    };
    let ordinal = once(&one, 1).await.unwrap();
    assert_eq!(once(&one, 1).await.unwrap(), ordinal);
    assert!(matches!(once(&one, 2).await, Err(StoreError::Conflict("idempotency_key_reused"))));
    once(&two, 2).await.unwrap();
    assert_eq!(store.intake_items(one.shard(), 0, 10).await.unwrap().len(), 2);
}

#[test]
fn any_input_is_read_as_it_was_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(store());
    let world = runtime.block_on(World::create(&store, 1));
    TestRunner::new(Config { cases: 512, failure_persistence: None, ..Config::default() })
        .run(&arbitrary::input(), |input| {
            let items = runtime.block_on(async {
                let ordinal = append(&store, world.shard(), &input).await;
                store.intake_items(world.shard(), ordinal - 1, 10).await.unwrap()
            });
            proptest::prop_assert_eq!(
                items.into_iter().map(|item| item.input).collect::<Vec<_>>(),
                vec![input]
            );
            Ok(())
        })
        .unwrap();
}
