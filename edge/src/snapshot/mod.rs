//! What the edge knows of links, offers and tenants.

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
    pub click_id_parameter: String,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertiserEntry {
    pub tenant: TenantId,
    pub postback_token_sha256: Option<[u8; 32]>,
}

/// A landing page, split where the click id goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    before: String,
    after: String,
}

impl Destination {
    /// The URL with the click id in it: plain ASCII, fit for a `Location` header.
    pub fn with_click_id(&self, click_id: &str) -> String {
        [self.before.as_str(), click_id, self.after.as_str()].concat()
    }
}

impl Snapshot {
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
