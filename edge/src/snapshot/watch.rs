//! Follows the control plane's snapshots: verify, fetch what changed, make durable, swap.

use super::{SharedSnapshot, Snapshot, SnapshotDisk, SnapshotDiskError, WatchStatus};
use crate::budget::Budgets;
use crate::forward::Backoff;
use crate::identity::ControlLink;
use crate::state::State;
use proto_model::UnixMicros;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::{ChunkRef, FetchChunksRequest, Manifest, WatchRequest, WatchResponse};
use proto_wire::manifest::{self, MAX_FETCH, MAX_MESSAGE, ManifestError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Channel;

/// From the attempt to connect to the answer that manifests will come.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Chunks are fetched within this, or the connection is given up.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane ended the call")]
    Call(#[from] tonic::Status),
    #[error("the control plane stopped sending snapshots")]
    Ended,
    #[error("the control plane did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the snapshot is not what the control plane signed")]
    Manifest(#[from] ManifestError),
    #[error("the snapshot cannot be taken over")]
    Disk(#[from] SnapshotDiskError),
    #[error("the control plane did not send {0} chunks it has signed")]
    MissingChunks(usize),
}

/// Takes newer snapshots over. An older one is never taken, whoever signed it.
pub struct Watcher {
    pub disk: SnapshotDisk,
    pub shared: SharedSnapshot,
    pub budgets: Arc<Budgets>,
    pub state: State,
    pub link: Arc<ControlLink>,
    /// Told of each version that is taken over.
    pub changed: watch::Sender<u64>,
    pub status: Arc<WatchStatus>,
}

impl Watcher {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let before = self.version();
            if let Err(error) = self.follow().await {
                let error = crate::with_causes(&error);
                self.status.update(|progress| {
                    progress.connected = false;
                    progress.last_error = Some(error.clone());
                    progress.errors = progress.errors.saturating_add(1);
                });
                tracing::warn!(
                    error,
                    version = self.version(),
                    "no snapshots for now; going on with this one"
                );
            }
            if self.version() > before {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next(proto_wire::keys::random())).await;
        }
    }

    fn version(&self) -> u64 {
        self.shared.load().as_ref().map_or(0, |snapshot| snapshot.version)
    }

    async fn follow(&self) -> Result<(), WatchError> {
        let opening = async {
            let channel = self.link.connect().await?;
            let mut client = EdgeServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            let request = WatchRequest { have_version: self.version() };
            let manifests = client.watch(request).await?.into_inner();
            Ok::<_, WatchError>((client, manifests))
        };
        let (mut client, mut manifests) = tokio::time::timeout(OPEN_TIMEOUT, opening).await??;
        self.status.update(|progress| progress.connected = true);
        while let Some(signed) = manifests.message().await? {
            self.take_over(&mut client, &signed).await?;
        }
        Err(WatchError::Ended)
    }

    async fn take_over(
        &self,
        client: &mut EdgeServiceClient<Channel>,
        signed: &WatchResponse,
    ) -> Result<(), WatchError> {
        let manifest = manifest::verify(&self.link.identity().control_key, signed)?;
        let floor = self.state.snapshot_floor();
        if manifest.version <= self.version() || manifest.version < floor {
            if manifest.version < self.version().max(floor) {
                let running = self.version();
                tracing::warn!(offered = manifest.version, running, floor, "an older snapshot was refused");
                let offered = manifest.version;
                self.status.update(|progress| progress.older_refused = Some(offered));
            }
            return Ok(());
        }
        let missing = self.disk.missing(&manifest);
        for part in missing.chunks(MAX_FETCH) {
            tokio::time::timeout(FETCH_TIMEOUT, self.fetch(client, part)).await??;
        }
        self.adopt(&manifest, signed)?;
        Ok(())
    }

    async fn fetch(
        &self,
        client: &mut EdgeServiceClient<Channel>,
        wanted: &[ChunkRef],
    ) -> Result<(), WatchError> {
        let sha256 = wanted.iter().map(|chunk| chunk.sha256.clone()).collect();
        let mut answers = client.fetch_chunks(FetchChunksRequest { sha256 }).await?.into_inner();
        let mut left: Vec<&ChunkRef> = wanted.iter().collect();
        while let Some(answer) = answers.message().await? {
            // What was not asked for is not stored.
            if let Some(at) = left.iter().position(|chunk| chunk.sha256 == answer.sha256) {
                self.disk.store_chunk(left.swap_remove(at), &answer.chunk)?;
            }
        }
        if left.is_empty() { Ok(()) } else { Err(WatchError::MissingChunks(left.len())) }
    }

    /// Durable first, then live: a version that was answered from is found again by the next start.
    fn adopt(&self, manifest: &Manifest, signed: &WatchResponse) -> Result<(), SnapshotDiskError> {
        let snapshot: Snapshot = self.disk.build(manifest)?;
        self.disk.store_manifest(manifest.version, signed)?;
        self.state.raise_snapshot_floor(manifest.version);
        let links = snapshot.links();
        self.budgets.follow(&snapshot);
        self.shared.store(Some(Arc::new(snapshot)));
        self.changed.send_replace(manifest.version);
        self.status.update(|progress| {
            progress.issued_at = UnixMicros(manifest.issued_at_micros);
            progress.older_refused = None;
            progress.last_error = None;
        });
        tracing::info!(version = manifest.version, links, "snapshot taken over");
        self.disk.collect()
    }
}
