//! Snapshots are verified, only rise, and outlive the control plane.

use crate::node::{World, until};
use edge::EdgeHandle;
use proto_model::{LinkId, TenantId};
use proto_wire::edge_v1::{Chunk, ClickKey, Link, LinkChunk, Manifest, TenantChunk, chunk};
use proto_wire::keys::SigningKey;

fn settings(fallback: &str) -> Chunk {
    let click_keys = vec![ClickKey { key_id: 1, key: vec![7; 32], active: true }];
    let settings = TenantChunk { fallback_url: fallback.into(), click_keys, ..TenantChunk::default() };
    Chunk { tenant: 1, content: Some(chunk::Content::Settings(settings)) }
}

fn links(ids: &[u64]) -> Chunk {
    let links =
        ids.iter().map(|id| Link { id: *id, offer: 1, partner: 1, active: true, settings: None }).collect();
    Chunk { tenant: 1, content: Some(chunk::Content::Links(LinkChunk { links })) }
}

async fn runs(node: &EdgeHandle, version: u64) {
    until("the version is taken over", || node.snapshot_version() == version).await;
}

fn knows(node: &EdgeHandle, link: u64) -> bool {
    let snapshot = node.parts().snapshot.load_full().unwrap();
    snapshot.tenant(TenantId::new(1).unwrap()).is_some()
        && snapshot.link(LinkId::new(link).unwrap()).is_some()
}

fn fallback(node: &EdgeHandle) -> Option<String> {
    node.parts().snapshot.load_full().unwrap().tenant(TenantId::new(1).unwrap()).unwrap().fallback_url.clone()
}

#[tokio::test]
async fn changed_chunks_are_fetched_and_the_last_good_version_starts_alone() {
    let mut world = World::new().await;
    world.control.publish_snapshot(3, &[settings("https://a.example/"), links(&[1])]);
    let node = world.start().await;
    node.wait_ready().await;
    assert!(knows(&node, 1) && !knows(&node, 2));
    world.control.publish_snapshot(4, &[settings("https://a.example/"), links(&[1, 2])]);
    runs(&node, 4).await;
    assert!(knows(&node, 2));
    assert_eq!(world.control.lock().chunk_requests, 3, "only what changed");
    node.shutdown().await;

    world.listener = None;
    world.control.hang_up();
    let node = world.start().await;
    assert_eq!(node.snapshot_version(), 4, "at once, without the control plane");
    assert!(knows(&node, 2));
    node.shutdown().await;
}

#[tokio::test]
async fn older_and_foreign_manifests_are_refused() {
    let world = World::new().await;
    world.control.publish_snapshot(5, &[settings("https://five.example/")]);
    let node = world.start().await;
    runs(&node, 5).await;
    world.control.publish_snapshot(4, &[settings("https://four.example/")]);
    let manifest = Manifest { version: 6, issued_at_micros: 1, chunks: vec![] };
    let foreign = proto_wire::manifest::sign(&SigningKey::generate().unwrap(), &manifest);
    world.control.manifest.send_replace(Some(foreign));
    // The next genuine one shows that the others were passed over.
    until("it goes on", || {
        world.control.publish_snapshot(7, &[settings("https://seven.example/")]);
        node.snapshot_version() == 7
    })
    .await;
    assert_eq!(fallback(&node).as_deref(), Some("https://seven.example/"));
    node.shutdown().await;
    // Nor does a start go back: what was current stays the floor.
    world.control.publish_snapshot(6, &[settings("https://six.example/")]);
    let node = world.start().await;
    world.control.until("connected", |inner| inner.sessions >= 2).await;
    assert_eq!(node.snapshot_version(), 7);
    node.shutdown().await;
}

#[tokio::test]
async fn damaged_files_fall_back_and_are_fetched_again() {
    let mut world = World::new().await;
    world.control.publish_snapshot(1, &[settings("https://one.example/")]);
    let node = world.start().await;
    runs(&node, 1).await;
    world.control.publish_snapshot(2, &[settings("https://two.example/")]);
    runs(&node, 2).await;
    node.shutdown().await;
    world.listener = None;
    world.control.hang_up();

    let dir = world.dir.path().join("snapshot");
    std::fs::write(dir.join("manifest-00000000000000000003"), b"half a manif").unwrap();
    std::fs::write(dir.join("manifest-00000000000000000009.tmp"), b"unfinished").unwrap();
    let node = world.start().await;
    assert_eq!(fallback(&node).as_deref(), Some("https://two.example/"));
    node.shutdown().await;

    std::fs::write(dir.join("manifest-00000000000000000002"), b"rotten").unwrap();
    let node = world.start().await;
    assert_eq!(fallback(&node).as_deref(), Some("https://one.example/"), "an older one is better than none");
    node.shutdown().await;

    for entry in std::fs::read_dir(dir.join("chunks")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"rotten").unwrap();
    }
    let node = world.start().await;
    assert_eq!(node.snapshot_version(), 0);
    world.listener = Some(world.control.listen().await);
    runs(&node, 2).await;
    assert_eq!(fallback(&node).as_deref(), Some("https://two.example/"));
    node.shutdown().await;
}
