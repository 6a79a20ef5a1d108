//! What the edge knows of links, offers and tenants: content-addressed chunks under a manifest that the
//! control plane signs. A version is built as a whole, swapped in atomically, and kept on disk, so that a
//! node starts and answers without the control plane.

mod advertisers;
mod build;
mod destination;
mod disk;
mod offers;
mod status;
#[cfg(test)]
mod tests;
mod watch;
mod zones;

pub use advertisers::{AdvertiserEntry, Postback};
pub use build::SnapshotError;
pub use destination::Destination;
pub use disk::{SnapshotDisk, SnapshotDiskError};
pub use offers::{Landing, OfferEntry, Routing};
pub use status::{WatchProgress, WatchStatus};
pub use watch::{WatchError, Watcher};
pub use zones::TimeZone;

use crate::budget::{self, Key};
use arc_swap::ArcSwapOption;
use proto_model::{AdvertiserId, Capped, ClickCap, LinkId, OfferId, PartnerId, TenantId, UnixMicros};
use proto_rules::RuleSet;
use proto_wire::click_id::ClickKeys;
use proto_wire::deep_link::DeepLinkKeys;
use proto_wire::edge_v1;
use std::collections::HashMap;
use std::sync::Arc;

/// `None` until the first snapshot was built.
pub type SharedSnapshot = Arc<ArcSwapOption<Snapshot>>;

/// Everything a hit is decided by, read only.
pub struct Snapshot {
    pub version: u64,
    /// Entries, or parts of them, that could not be used.
    pub left_out: usize,
    links: HashMap<LinkId, LinkEntry>,
    tenants: HashMap<TenantId, TenantEntry>,
    offers: HashMap<(TenantId, OfferId), OfferEntry>,
    advertisers: HashMap<AdvertiserId, AdvertiserEntry>,
    /// Links that are good for so many clicks; few have such a limit.
    limited: Vec<(TenantId, LinkId, u64)>,
    /// By host, lower case.
    domains: HashMap<Box<str>, Domain>,
}

/// There may be millions: what few of them have lies apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEntry {
    pub tenant: TenantId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub active: bool,
    /// `None` = a plain link.
    pub settings: Option<Box<LinkSettings>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkSettings {
    /// Its clicks are visible and never paid.
    pub test: bool,
    pub expires_at: Option<UnixMicros>,
    pub max_clicks: Option<u64>,
    /// Instead of the offer's own; on one of the offer's hosts.
    pub destination: Option<Destination>,
}

impl LinkEntry {
    pub fn is_test(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.test)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: UnixMicros) -> bool {
        self.settings.as_ref().and_then(|settings| settings.expires_at).is_some_and(|end| now >= end)
    }
}

impl LinkSettings {
    /// `None` when there is nothing in it.
    fn read(wire: &edge_v1::LinkSettings, left_out: &mut usize) -> Option<Box<Self>> {
        let destination = match wire.destination.as_str() {
            "" => None,
            text => Destination::new(text, "click_id"),
        };
        *left_out += usize::from(destination.is_none() && !wire.destination.is_empty());
        let settings = Self {
            test: wire.test,
            expires_at: build::expiry(wire.expires_at_secs),
            max_clicks: (wire.max_clicks > 0).then_some(wire.max_clicks),
            destination,
        };
        (settings != Self::default()).then(|| Box::new(settings))
    }
}

/// A host of a tenant, under which its links have names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub tenant: TenantId,
    /// Where the bare host goes; `None` = the tenant's fallback. Likewise the others.
    pub home_url: Option<String>,
    pub not_found_url: Option<String>,
    pub expired_url: Option<String>,
    slugs: HashMap<Box<str>, LinkId>,
}

impl Domain {
    fn read(tenant: TenantId, wire: &edge_v1::Domain, left_out: &mut usize) -> Self {
        Self {
            tenant,
            home_url: build::page(&wire.home_url, left_out),
            not_found_url: build::page(&wire.not_found_url, left_out),
            expired_url: build::page(&wire.expired_url, left_out),
            slugs: HashMap::new(),
        }
    }

    /// The link of `https://{host}/{slug}`.
    pub fn link(&self, slug: &str) -> Option<LinkId> {
        self.slugs.get(slug).copied()
    }
}

pub struct TenantEntry {
    /// An absolute http or https URL.
    pub fallback_url: Option<String>,
    pub keys: ClickKeys,
    pub deep_links: DeepLinkKeys,
    pub rules: Option<RuleSet>,
}

impl Snapshot {
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// What has a click cap, with the zone of its days.
    pub fn capped(&self) -> impl Iterator<Item = (Key, ClickCap, Arc<TimeZone>)> + '_ {
        let offers = self.offers.iter().filter_map(|((tenant, id), offer)| {
            let zone = Arc::clone(&offer.routing.time_zone);
            Some(((*tenant, Capped::Offer(*id)), offer.routing.click_cap?, zone))
        });
        let link = |(tenant, id, limit): &(TenantId, LinkId, u64)| {
            ((*tenant, Capped::Link(*id)), budget::uses(*limit), Arc::default())
        };
        offers.chain(self.limited.iter().map(link))
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

    /// The tenant's host of this name, which a request gives in any case and without its port.
    pub fn domain(&self, host: &str) -> Option<&Domain> {
        match host.bytes().any(|b| b.is_ascii_uppercase()) {
            true => self.domains.get(host.to_ascii_lowercase().as_str()),
            false => self.domains.get(host),
        }
    }
}
