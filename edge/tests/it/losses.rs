//! Who lost hits that were answered takes them again: it no longer remembers having seen them.

use crate::node::{World, until};
use edge::EdgeHandle;
use edge::spool::Shut;
use edge::state::SeenKey;
use proto_model::Lane;

pub fn key() -> SeenKey {
    SeenKey::new([7; SeenKey::WORDS], 1)
}

/// Spools conversions that are not sent, and ends in a crash.
async fn unsent(world: &mut World) {
    world.listener = None;
    world.control.hang_up();
    let node = world.start().await;
    for _ in 0..20 {
        world.spool(&node, Lane::Money).await;
    }
    node.parts().state.remember_conversion(key());
    node.parts().state.flush();
    drop(node);
    world.expected.clear();
}

async fn back(world: &mut World) -> EdgeHandle {
    world.listener = Some(world.control.listen().await);
    world.start().await
}

/// Flips a bit of the tenth record on disk.
fn damage(world: &World) {
    const RECORD: &[u8] = b"TREC";
    let log = world.dir.path().join("spool/epoch-0000000001/log");
    for entry in std::fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let records = bytes.windows(RECORD.len()).enumerate().filter(|(_, window)| *window == RECORD);
        if let Some(at) = records.map(|(at, _)| at).nth(9) {
            bytes[at + 20] ^= 1;
            return std::fs::write(path, bytes).unwrap();
        }
    }
    panic!("there are ten records");
}

async fn forgotten(node: EdgeHandle) {
    until("forgotten", || !node.parts().state.seen_conversion(key())).await;
    node.shutdown().await;
}

#[tokio::test]
async fn an_outage_is_no_reason_to_forget() {
    let mut world = World::new().await;
    unsent(&mut world).await;
    let node = back(&mut world).await;
    world.spool(&node, Lane::Money).await;
    world
        .control
        .until("sent", |inner| inner.journals.get(&Lane::Money).is_some_and(|journal| journal.head().0 > 20))
        .await;
    assert!(node.parts().state.seen_conversion(key()));
    node.shutdown().await;
}

#[tokio::test]
async fn a_damaged_log() {
    let mut world = World::new().await;
    unsent(&mut world).await;
    damage(&world);
    let node = back(&mut world).await;
    forgotten(node).await;
}

#[tokio::test]
async fn a_spool_that_was_moved_away() {
    let mut world = World::new().await;
    unsent(&mut world).await;
    std::fs::remove_dir_all(world.dir.path().join("spool")).unwrap();
    let node = back(&mut world).await;
    forgotten(node).await;
}

#[tokio::test]
async fn batches_that_are_asked_for_and_gone() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    node.shutdown().await;
    let mut config = world.config();
    (config.spool.retain_secs, config.spool.retain_bytes) = (0, 0);
    let node = edge::start(config).await.unwrap();
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    let sealed = world.dir.path().join("spool/epoch-0000000001/sealed/money");
    until("old batches are gone", || std::fs::read_dir(&sealed).unwrap().count() == 1).await;
    node.parts().state.remember_conversion(key());

    // The control plane comes back from a backup that is older than both.
    let newer = std::mem::take(&mut world.control.lock().journals);
    world.control.hang_up();
    until("shut", || node.parts().spool.status().shut.money == Some(Shut::NotRetained)).await;
    until("forgotten", || !node.parts().state.seen_conversion(key())).await;
    // Then from a newer one: the edge goes on by itself.
    world.control.lock().journals = newer;
    world.control.hang_up();
    until("open again", || node.parts().spool.status().shut.money.is_none()).await;
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    node.shutdown().await;
}
