//! What edges run on: it follows the catalog, its version only rises, its bytes are signed.

use crate::edge::Edge;
use crate::plane::{Plane, eventually, seed};
use control_plane_server::app::health::Status;
use control_plane_server::app::{catalog, fleet, rules};
use proto_wire::edge_v1::chunk::Content;
use proto_wire::edge_v1::{Chunk, FetchChunksRequest, Manifest, TenantChunk, WatchRequest, WatchResponse};
use proto_wire::manifest;
use tonic::{Code, Streaming};

struct Watcher {
    edge: Edge,
    replies: Streaming<WatchResponse>,
}

impl Watcher {
    async fn new(edge: Edge, have_version: u64) -> Self {
        let replies = edge.client().await.watch(WatchRequest { have_version }).await.unwrap().into_inner();
        Self { edge, replies }
    }

    async fn next(&mut self) -> Manifest {
        let signed = self.replies.message().await.unwrap().expect("the stream goes on");
        manifest::verify(&self.edge.control_key, &signed).unwrap()
    }

    async fn fetch(&self, manifest: &Manifest) -> Vec<Chunk> {
        let sha256 = manifest.chunks.iter().map(|chunk| chunk.sha256.clone()).collect();
        let request = FetchChunksRequest { sha256 };
        let mut replies = self.edge.client().await.fetch_chunks(request).await.unwrap().into_inner();
        let mut chunks = Vec::new();
        for reference in &manifest.chunks {
            let reply = replies.message().await.unwrap().expect("one reply per chunk");
            chunks.push(manifest::decode_chunk(reference, &reply.chunk).unwrap());
        }
        chunks
    }

    /// Manifests until one whose content satisfies `look`.
    async fn until<T>(&mut self, look: impl Fn(&[Chunk]) -> Option<T>) -> (Manifest, T) {
        let mut last = 0;
        loop {
            let manifest = self.next().await;
            assert!(manifest.version > last, "versions only rise");
            last = manifest.version;
            if let Some(found) = look(&self.fetch(&manifest).await) {
                return (manifest, found);
            }
        }
    }
}

fn links(chunks: &[Chunk]) -> usize {
    let count = |chunk: &Chunk| match &chunk.content {
        Some(Content::Links(links)) => links.links.len(),
        _ => 0,
    };
    chunks.iter().map(count).sum()
}

fn rule_version(chunks: &[Chunk]) -> Option<u32> {
    chunks.iter().find_map(|chunk| match &chunk.content {
        Some(Content::Settings(settings)) => settings.rule_set.as_ref().map(|set| set.version),
        _ => None,
    })
}

#[tokio::test]
async fn a_published_rule_reaches_the_watching_edge() {
    let plane = Plane::start().await;
    let seeded = seed(plane.app()).await;
    let mut watcher = Watcher::new(Edge::join(&plane, "one").await, 0).await;
    let (manifest, ()) = watcher.until(|chunks| (links(chunks) == 1).then_some(())).await;
    assert!(manifest.chunks.iter().all(|chunk| chunk.tenant == seeded.tenant.get()));

    let body = serde_json::json!({"rules": [
        {"id": "block-cn", "action": "block", "when": {"field": "country", "eq": "CN"}},
    ]});
    let body = serde_json::from_value(body).unwrap();
    let published = rules::publish(plane.app(), seeded.tenant, &body, None).await.unwrap();
    let (_, version) = watcher.until(rule_version).await;
    assert_eq!(version, published);

    let stale = rules::publish(plane.app(), seeded.tenant, &body, Some(published + 1)).await;
    assert!(stale.is_err(), "somebody else's version is not overwritten");
    plane.stop().await;
}

#[tokio::test]
async fn versions_rise_over_a_restart_and_nothing_is_sent_twice() {
    let plane = Plane::start().await;
    let seeded = seed(plane.app()).await;
    let mut watcher = Watcher::new(Edge::join(&plane, "one").await, 0).await;
    let (before, ()) = watcher.until(|chunks| (links(chunks) == 1).then_some(())).await;
    let Watcher { mut edge, replies } = watcher;
    drop(replies);

    let plane = plane.restart().await;
    edge.follow(&plane);
    let mut watcher = Watcher::new(edge, before.version).await;
    // Changes nothing that an edge sees, then something that it does.
    catalog::create_partner(plane.app(), seeded.tenant, "Another").await.unwrap();
    catalog::set_link_active(plane.app(), seeded.tenant, seeded.link, false).await.unwrap();
    let inactive = |chunks: &[Chunk]| {
        let mut all = chunks.iter().filter_map(|chunk| match &chunk.content {
            Some(Content::Links(links)) => links.links.first(),
            _ => None,
        });
        all.next().filter(|link| !link.active).map(|_| ())
    };
    let (after, ()) = watcher.until(inactive).await;
    assert!(after.version > before.version);
    plane.stop().await;
}

/// Somebody put the database back by hand and did not say so; no batch gives it away, as only the catalog was changed.
#[tokio::test]
async fn an_edge_with_a_snapshot_that_was_never_given_out_here_is_noticed() {
    let plane = Plane::start().await;
    let seeded = seed(plane.app()).await;
    let watcher = Watcher::new(Edge::join(&plane, "one").await, 0).await;
    // Versions that nobody has published, as no edge would see a difference: another control plane may have.
    catalog::create_partner(plane.app(), seeded.tenant, "Another").await.unwrap();
    let newest = plane.app().store.catalog_version().await.unwrap() + 1;
    let Watcher { edge, replies } = watcher;
    drop(replies);
    let mut watcher = Watcher::new(edge, newest).await;
    catalog::set_link_active(plane.app(), seeded.tenant, seeded.link, false).await.unwrap();
    assert!(watcher.next().await.version > newest);
    assert_eq!(plane.status("restore"), None);

    let _ahead = Watcher::new(watcher.edge, newest + 1_000).await;
    let why = eventually("it is noticed", async || match plane.status("restore") {
        Some(Status::Degraded(why)) => Some(why),
        _ => None,
    })
    .await;
    assert!(why.contains("snapshot"), "{why}");
    plane.stop().await;
}

#[tokio::test]
async fn chunks_are_for_edges_and_must_exist() {
    let plane = Plane::start().await;
    seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let ask = |hash: Vec<u8>| FetchChunksRequest { sha256: vec![hash] };
    let mut client = edge.client().await;
    assert_eq!(client.fetch_chunks(ask(vec![0; 32])).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.fetch_chunks(ask(vec![0; 31])).await.unwrap_err().code(), Code::InvalidArgument);
    let many = FetchChunksRequest { sha256: vec![vec![0; 32]; manifest::MAX_FETCH + 1] };
    assert_eq!(client.fetch_chunks(many).await.unwrap_err().code(), Code::InvalidArgument);
    fleet::revoke_edge(plane.app(), edge.id).await.unwrap();
    assert_eq!(client.fetch_chunks(ask(vec![0; 32])).await.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

/// The settings of the only tenant, as an edge is sent them: once everything that was set has been published.
pub async fn settings_of(plane: &Plane) -> TenantChunk {
    let edge = Edge::join(plane, "settings").await;
    let version = plane.app().store.catalog_version().await.unwrap();
    crate::plane::eventually("the newest catalog", async || {
        (plane.app().snapshots.version() > version).then_some(())
    })
    .await;
    let mut watcher = Watcher::new(edge, 0).await;
    let manifest = watcher.next().await;
    let chunks = watcher.fetch(&manifest).await;
    let settings = chunks.into_iter().find_map(|chunk| match chunk.content {
        Some(Content::Settings(settings)) => Some(settings),
        _ => None,
    });
    settings.unwrap()
}
