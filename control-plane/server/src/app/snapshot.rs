//! What edges run on: the catalog as content-addressed chunks under a signed manifest whose version only
//! rises.
//!
//! The manifest's version is the catalog's, which lives in the database; so it never goes back, not even
//! over a restart. A catalog write that changes nothing an edge sees publishes nothing.

mod build;
mod wire;

use super::health::Status;
use super::{App, clock};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use proto_model::TenantId;
use proto_wire::edge_v1::{ChunkRef, Manifest, WatchResponse};
use proto_wire::manifest;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

pub use build::{routing_fits, rule_set_fits};

pub const PART: &str = "snapshot";
/// A burst of catalog writes becomes one snapshot; far below the second in which a rule must be obeyed.
const DEBOUNCE: Duration = Duration::from_millis(25);
const FALLBACK: Duration = Duration::from_secs(1);
/// Manifests whose chunks can still be fetched: an edge may be fetching while newer ones appear.
const KEPT: usize = 16;

type Chunks = HashMap<[u8; 32], Arc<Vec<u8>>>;

/// One published version.
#[derive(Default)]
pub struct Published {
    /// 0 = nothing has been published yet.
    pub version: u64,
    pub signed: WatchResponse,
    tenants: BTreeMap<TenantId, Arc<TenantChunks>>,
}

/// The chunks of one tenant, in the order of the manifest.
#[derive(PartialEq, Eq)]
pub struct TenantChunks {
    refs: Vec<([u8; 32], u32)>,
    chunks: Vec<Arc<Vec<u8>>>,
}

pub struct Snapshots {
    current: watch::Sender<Arc<Published>>,
    /// The newest manifests' chunks, by hash.
    recent: RwLock<VecDeque<Chunks>>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { current: watch::Sender::new(Arc::default()), recent: RwLock::default() }
    }
}

impl Snapshots {
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.current.subscribe()
    }

    pub fn version(&self) -> u64 {
        self.current.borrow().version
    }

    pub fn chunk(&self, hash: &[u8; 32]) -> Option<Arc<Vec<u8>>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.iter().rev().find_map(|chunks| chunks.get(hash).cloned())
    }

    fn publish(&self, published: Published) {
        let chunks = published.tenants.values().flat_map(|tenant| {
            tenant.refs.iter().zip(&tenant.chunks).map(|((hash, _), chunk)| (*hash, chunk.clone()))
        });
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(chunks.collect());
        while recent.len() > KEPT {
            recent.pop_front();
        }
        // Chunks first, then the manifest: whoever sees it can fetch them.
        drop(recent);
        self.current.send_replace(Arc::new(published));
    }
}

/// Builds the snapshot from the catalog and publishes it if an edge would see a difference. A tenant whose
/// content cannot be built keeps what it had, so that its mistake stays its own.
pub async fn refresh(app: &App) -> Result<(), AppError> {
    let current = app.snapshots.current.borrow().clone();
    let catalog = app.store.catalog_snapshot().await?;
    // An edge without a snapshot holds version 0; the catalog's first is 1 before any write.
    let version = catalog.version.saturating_add(1);
    let mut status = Status::Ok;
    let mut tenants = BTreeMap::new();
    for (tenant, built) in build::tenants(&catalog) {
        match built {
            Ok(chunks) => drop(tenants.insert(tenant, Arc::new(chunks))),
            Err(error) => {
                let why = format!("{tenant} keeps its last snapshot: {}", chain(&error));
                tracing::error!("{why}");
                status = Status::Degraded(why);
                if let Some(last) = current.tenants.get(&tenant) {
                    tenants.insert(tenant, last.clone());
                }
            }
        }
    }
    if current.version == 0 || current.tenants != tenants {
        let signed = sign(app, version, &tenants);
        tracing::debug!(version, tenants = tenants.len(), "published a snapshot");
        app.snapshots.publish(Published { version, signed, tenants });
    }
    app.health.set(PART, status);
    Ok(())
}

fn sign(app: &App, version: u64, tenants: &BTreeMap<TenantId, Arc<TenantChunks>>) -> WatchResponse {
    let refs = tenants.iter().flat_map(|(tenant, chunks)| {
        chunks.refs.iter().map(|(hash, length)| ChunkRef {
            sha256: hash.to_vec(),
            length: *length,
            tenant: tenant.get(),
        })
    });
    let manifest = Manifest { version, issued_at_micros: clock::now().0, chunks: refs.collect() };
    manifest::sign(app.authority.control(), &manifest)
}

pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    let mut catalog = app.store.signals().catalog.subscribe();
    let mut seen = None;
    while !stop.requested() {
        catalog.mark_unchanged();
        // Also finds what another node has written.
        let version = app.store.catalog_version().await?;
        if seen != Some(version) {
            refresh(&app).await?;
            seen = Some(version);
        }
        let wake = async {
            if tokio::time::timeout(FALLBACK, catalog.changed()).await.is_ok() {
                tokio::time::sleep(DEBOUNCE).await;
            }
        };
        tokio::select! {
            () = stop.wait() => {}
            () = wake => {}
        }
    }
    Ok(())
}
