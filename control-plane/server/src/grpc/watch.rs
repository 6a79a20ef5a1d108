//! Snapshots to edges: the manifest as it rises, and the chunks it names.

use crate::app::{App, fleet, restore};
use crate::supervise::Stop;
use control_plane_store::alerts::AlertKind;
use control_plane_store::fleet::Edge;
use proto_wire::edge_v1::{FetchChunksResponse, WatchResponse};
use proto_wire::manifest::MAX_FETCH;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tonic::Status;

/// Sends each newer manifest until either side ends. A slow edge skips versions: only the newest counts.
pub async fn run(
    app: Arc<App>,
    edge: Edge,
    mut have: u64,
    replies: Sender<Result<WatchResponse, Status>>,
    mut stop: Stop,
) {
    let mut published = app.snapshots.subscribe();
    let mut revocations = app.store.signals().fleet.subscribe();
    // An edge may have nothing to say for hours.
    let mut connected = tokio::time::interval_at(Instant::now() + fleet::SEEN_EVERY, fleet::SEEN_EVERY);
    // It may have come to pass before this listened.
    revocations.mark_changed();
    loop {
        let current = published.borrow_and_update().clone();
        if current.version > have {
            have = current.version;
            if replies.send(Ok(current.signed.clone())).await.is_err() {
                return;
            }
        } else if current.version < have {
            // Another control plane was faster, or began later: ours follows when an edge sees a difference.
            tracing::debug!(edge = %edge.id, has = have, ours = current.version, "an edge is ahead of us");
            tell_if_forgotten(&app, &edge, have).await;
        }
        tokio::select! {
            _ = connected.tick() => fleet::still_there(&app, edge.id).await,
            () = stop.wait() => return,
            () = replies.closed() => return,
            changed = published.changed() => if changed.is_err() { return },
            _ = revocations.changed() => if super::is_revoked(&app, edge.id).await {
                let _ = replies.send(Err(Status::permission_denied("this edge was revoked"))).await;
                return;
            },
        }
    }
}

/// A snapshot has at most the number after the catalog's. An edge with a higher one keeps it, and takes nothing from us
/// until the catalog has caught up.
async fn tell_if_forgotten(app: &App, edge: &Edge, have: u64) {
    match app.store.catalog_version().await {
        Ok(catalog) if have > catalog.saturating_add(1) => {
            let what = format!(
                "an edge has snapshot {have}, and the catalog stands at {catalog}: it ignores what changes until then"
            );
            restore::notice(app, AlertKind::RestoreRewind, edge.id, &what);
        }
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(edge = %edge.id, "cannot compare its snapshot with the catalog: {error}")
        }
    }
}

type Found = Vec<([u8; 32], Arc<Vec<u8>>)>;

pub fn find_chunks(app: &App, wanted: &[Vec<u8>]) -> Result<Found, Status> {
    if wanted.len() > MAX_FETCH {
        return Err(Status::invalid_argument("ask for at most 1024 chunks in one call"));
    }
    let find = |hash: &Vec<u8>| {
        let hash = <[u8; 32]>::try_from(hash.as_slice())
            .map_err(|_| Status::invalid_argument("a chunk is named by its SHA-256, 32 bytes"))?;
        let chunk = app.snapshots.chunk(&hash);
        let chunk =
            chunk.ok_or_else(|| Status::not_found("no such chunk now; ask for the manifest again"))?;
        Ok((hash, chunk))
    };
    wanted.iter().map(find).collect()
}

pub async fn send_chunks(chunks: Found, replies: Sender<Result<FetchChunksResponse, Status>>) {
    for (hash, chunk) in chunks {
        let reply = FetchChunksResponse { sha256: hash.to_vec(), chunk: chunk.to_vec() };
        if replies.send(Ok(reply)).await.is_err() {
            return;
        }
    }
}
