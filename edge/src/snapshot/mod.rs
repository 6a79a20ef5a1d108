//! What the edge knows of links, offers and tenants: content-addressed chunks under a manifest that the
//! control plane signs. A version is built as a whole, swapped in atomically, and kept on disk, so that a
//! node starts and answers without the control plane.

mod build;
mod disk;
mod status;
#[cfg(test)]
mod tests;
mod watch;

pub use build::{Destination, SnapshotError};
pub use disk::{SnapshotDisk, SnapshotDiskError};
pub use status::{WatchProgress, WatchStatus};
pub use watch::{WatchError, Watcher};

use arc_swap::ArcSwapOption;
use proto_model::{AdvertiserId, LinkId, OfferId, PartnerId, ProgramId, TenantId};
use proto_rules::RuleSet;
use proto_wire::click_id::ClickKeys;
use std::collections::HashMap;
use std::sync::Arc;

/// `None` until the first snapshot was built.
pub type SharedSnapshot = Arc<ArcSwapOption<Snapshot>>;

/// Everything a hit is decided by, read only.
pub struct Snapshot {
    pub version: u64,
    links: HashMap<LinkId, LinkEntry>,
    tenants: HashMap<TenantId, TenantEntry>,
    offers: HashMap<(TenantId, OfferId), OfferEntry>,
    advertisers: HashMap<AdvertiserId, AdvertiserEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEntry {
    pub tenant: TenantId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub active: bool,
}

pub struct TenantEntry {
    /// An absolute http or https URL.
    pub fallback_url: Option<String>,
    pub keys: ClickKeys,
    pub rules: Option<RuleSet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferEntry {
    pub advertiser: AdvertiserId,
    pub program: ProgramId,
    pub destination: Destination,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertiserEntry {
    pub tenant: TenantId,
    pub postback_token_sha256: Option<[u8; 32]>,
}

impl Snapshot {
    pub fn links(&self) -> usize {
        self.links.len()
    }

    pub fn link(&self, id: LinkId) -> Option<&LinkEntry> {
        self.links.get(&id)
    }

    pub fn tenant(&self, id: TenantId) -> Option<&TenantEntry> {
        self.tenants.get(&id)
    }

    pub fn offer(&self, tenant: TenantId, id: OfferId) -> Option<&OfferEntry> {
        self.offers.get(&(tenant, id))
    }

    pub fn advertiser(&self, id: AdvertiserId) -> Option<&AdvertiserEntry> {
        self.advertisers.get(&id)
    }
}
