//! The trap at a commit, which other tests rely on, does what a death does.

use crate::faults::unavailable;
use crate::raw::Place;
use crate::world::{NOW, World, lease};
use control_plane_domain::engine;
use control_plane_domain::intake::ShardKey;
use control_plane_store::leases::Lease;
use control_plane_store::{Dies, Store, StoreError};

async fn head(store: &Store, shard: ShardKey) -> usize {
    store.intake_items(shard, 0, 100).await.unwrap().len()
}

async fn apply_all(store: &Store, shard: ShardKey, lease: &Lease) -> Result<(), StoreError> {
    let mut tx = store.begin_money(shard, lease).await?;
    for item in tx.next_items(100).await? {
        let mut state = tx.load(&item.input).await?;
        let effects = engine::apply(shard, &mut state, &item).unwrap();
        tx.persist(&item, &state, &effects).await?;
    }
    tx.commit().await
}

#[tokio::test]
async fn whoever_dies_before_a_commit_leaves_nothing_and_after_it_all() {
    for (dies, there) in [(Dies::BeforeCommit, 0), (Dies::AfterCommit, 1)] {
        let place = Place::new().await;
        let store = place.open().await;
        let world = World::create(&store, 1).await;
        let shard = world.shard();
        let before = head(&store, shard).await;

        store.trap_commits(Some((2, dies)));
        store.append_intake(shard, &world.sale("A-1", 100), NOW).await.unwrap();
        unavailable(store.append_intake(shard, &world.sale("A-2", 100), NOW).await);
        assert_eq!(store.trapped_commits(), 2);

        let again = place.open().await;
        assert_eq!(head(&again, shard).await, before + 1 + there, "{dies:?}");
        // Opened anew, it goes on.
        again.append_intake(shard, &world.sale("A-3", 100), NOW).await.unwrap();
        again.close().await;
    }
}

#[tokio::test]
async fn a_dead_store_and_its_clones_neither_read_nor_write() {
    let place = Place::new().await;
    let store = place.open().await;
    let world = World::create(&store, 1).await;
    let clone = store.clone();
    store.trap_commits(Some((1, Dies::AfterCommit)));
    unavailable(store.append_intake(world.shard(), &world.sale("A-1", 100), NOW).await);
    for dead in [&store, &clone] {
        unavailable(dead.append_intake(world.shard(), &world.sale("A-2", 100), NOW).await);
        unavailable(dead.get_tenant(world.tenant).await);
        unavailable(dead.projected_through().await);
    }
}

#[tokio::test]
async fn the_money_engine_moves_whole_or_not_at_all() {
    for (dies, moved) in [(Dies::BeforeCommit, false), (Dies::AfterCommit, true)] {
        let place = Place::new().await;
        let store = place.open().await;
        let world = World::create(&store, 1).await;
        store.append_intake(world.shard(), &world.sale("A-1", 100), NOW).await.unwrap();
        let lease = lease(&store).await;
        store.trap_commits(Some((1, dies)));
        unavailable(apply_all(&store, world.shard(), &lease).await);

        let again = place.open().await;
        assert_eq!(again.applied_through(world.shard()).await.unwrap() > 0, moved, "{dies:?}");
        let ledger = again.shard_ledger(world.shard(), 0, 100).await.unwrap();
        assert_eq!(!ledger.is_empty(), moved, "{dies:?}");
        apply_all(&again, world.shard(), &lease).await.unwrap();
        assert_eq!(again.shard_ledger(world.shard(), 0, 100).await.unwrap().len(), 1);
        again.close().await;
    }
}
