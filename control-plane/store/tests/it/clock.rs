//! A machine whose clock has jumped writes nothing: times in the books only rise.

use crate::world::{NOW, World, append, edge, store};
use control_plane_store::{CLOCKS_APART, StoreError};
use proto_model::UnixMicros;
use proto_model::time::SECOND_US;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static AHEAD: AtomicI64 = AtomicI64::new(0);

fn machine() -> UnixMicros {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMicros(i64::try_from(now.as_micros()).unwrap() + AHEAD.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_clock_that_jumps_is_not_written_into_the_books() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let edge = edge(&store, 1).await;
    store.watch_clock(machine);
    store.database_time().await.unwrap();
    append(&store, world.shard(), &world.sale("A-1", 100)).await;
    for ahead in [2 * CLOCKS_APART, -2 * CLOCKS_APART, 86_400 * SECOND_US] {
        AHEAD.store(ahead, Ordering::Relaxed);
        // Before anybody has looked at the database's clock again, and after.
        for _ in 0..2 {
            let batch = store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.err();
            assert!(matches!(batch, Some(StoreError::ClocksApart { .. })), "{batch:?}");
            let sale = store.append_intake(world.shard(), &world.sale("A-2", 100), NOW).await.err().unwrap();
            assert!(sale.is_temporary() && sale.to_string().contains("NTP"), "{sale}");
            let looked = store.database_time().await.err();
            assert!(matches!(looked, Some(StoreError::ClocksApart { .. })), "{looked:?}");
        }
        assert_eq!(
            store.intake_items(world.shard(), 0, 10).await.unwrap().len(),
            2,
            "who only reads goes on"
        );
    }
    AHEAD.store(0, Ordering::Relaxed);
    store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.unwrap();
    append(&store, world.shard(), &world.sale("A-2", 100)).await;
}
