//! Builds a snapshot out of chunks.

use super::destination::Destination;
use super::{AdvertiserEntry, Domain, LinkEntry, LinkSettings, OfferEntry, Snapshot, TenantEntry, zones};
use crate::decide::template;
use proto_model::{AdvertiserId, LinkId, OfferId, PartnerId, TenantId, UnixMicros, is_slug};
use proto_wire::convert::{
    ClickKeyError, RuleSetError, click_keys_from_wire, deep_link_keys_from_wire, rule_set_from_wire,
};
use proto_wire::edge_v1::{self, Chunk, LinkChunk, TenantChunk, chunk};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Why a snapshot cannot be used as a whole. A single offer or link that is unusable is left out instead:
/// one tenant's mistake must not freeze all the others.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("a chunk of the snapshot is empty or of a kind this software does not know (upgrade it)")]
    UnknownChunk,
    #[error("a chunk of the snapshot names no tenant")]
    NoTenant,
    #[error("the rule set of {tenant} cannot be used")]
    Rules {
        tenant: TenantId,
        #[source]
        source: RuleSetError,
    },
    #[error("the click keys of {tenant} cannot be used")]
    Keys {
        tenant: TenantId,
        #[source]
        source: ClickKeyError,
    },
}

impl Snapshot {
    /// The chunks must have been verified against a signed manifest.
    pub fn from_chunks(version: u64, chunks: &[Chunk]) -> Result<Self, SnapshotError> {
        let links = chunks.iter().map(|chunk| match &chunk.content {
            Some(chunk::Content::Links(links)) => links.links.len(),
            _ => 0,
        });
        let mut building = Building {
            snapshot: Self {
                version,
                left_out: 0,
                links: HashMap::with_capacity(links.sum()),
                tenants: HashMap::new(),
                offers: HashMap::new(),
                advertisers: HashMap::new(),
                limited: Vec::new(),
                domains: HashMap::new(),
            },
            vanity: Vec::new(),
        };
        for chunk in chunks {
            let tenant = TenantId::new(chunk.tenant).ok_or(SnapshotError::NoTenant)?;
            match &chunk.content {
                Some(chunk::Content::Settings(settings)) => building.add_settings(tenant, settings)?,
                Some(chunk::Content::Links(links)) => building.add_links(tenant, links),
                None => return Err(SnapshotError::UnknownChunk),
            }
        }
        Ok(building.finish())
    }
}

/// Chunks come in any order, so that what refers to another chunk waits for the end.
struct Building<'c> {
    snapshot: Snapshot,
    vanity: Vec<(TenantId, LinkId, &'c edge_v1::Vanity)>,
}

impl<'c> Building<'c> {
    fn add_settings(&mut self, tenant: TenantId, settings: &TenantChunk) -> Result<(), SnapshotError> {
        let bad_keys = |source| SnapshotError::Keys { tenant, source };
        let keys = click_keys_from_wire(tenant, &settings.click_keys).map_err(bad_keys)?;
        let deep_links = deep_link_keys_from_wire(tenant, &settings.click_keys).map_err(bad_keys)?;
        let rules = settings.rule_set.as_ref().map(rule_set_from_wire).transpose();
        let rules = rules.map_err(|source| SnapshotError::Rules { tenant, source })?;
        let left_out = &mut self.snapshot.left_out;
        let fallback_url = page(&settings.fallback_url, left_out);
        self.snapshot.tenants.insert(tenant, TenantEntry { fallback_url, keys, deep_links, rules });
        for advertiser in &settings.advertisers {
            let entry = AdvertiserEntry::read(tenant, advertiser, left_out);
            match AdvertiserId::new(advertiser.id).zip(entry) {
                Some((id, entry)) => *left_out += keep_first(&mut self.snapshot.advertisers, id, entry),
                None => *left_out += 1,
            }
        }
        let zones = zones::read(&settings.time_zones, left_out);
        for offer in &settings.offers {
            match OfferEntry::read(offer, &zones, left_out) {
                Some((id, entry)) => _ = self.snapshot.offers.insert((tenant, id), entry),
                None => *left_out += 1,
            }
        }
        for domain in &settings.domains {
            let entry = Domain::read(tenant, domain, left_out);
            *left_out += keep_first(&mut self.snapshot.domains, domain.host.as_str().into(), entry);
        }
        Ok(())
    }

    fn add_links(&mut self, tenant: TenantId, chunk: &'c LinkChunk) {
        for link in &chunk.links {
            let left_out = &mut self.snapshot.left_out;
            let Some((id, entry)) = read_link(tenant, link, left_out) else {
                *left_out += 1;
                continue;
            };
            // Ids are random across tenants: the first holder of one keeps it.
            let taken = keep_first(&mut self.snapshot.links, id, entry);
            *left_out += taken;
            if taken == 0 {
                let vanity = link.settings.iter().flat_map(|settings| &settings.vanity);
                self.vanity.extend(vanity.map(|vanity| (tenant, id, vanity)));
            }
        }
    }

    fn finish(self) -> Snapshot {
        let Self { mut snapshot, vanity } = self;
        for (tenant, link, edge_v1::Vanity { host, slug }) in vanity {
            let domain = snapshot.domains.get_mut(host.as_str()).filter(|domain| domain.tenant == tenant);
            snapshot.left_out += match domain {
                Some(domain) if is_slug(slug) => keep_first(&mut domain.slugs, slug.as_str().into(), link),
                _ => 1,
            };
        }
        let Snapshot { links, offers, limited, left_out, .. } = &mut snapshot;
        for (id, link) in links {
            let offer = offers.get(&(link.tenant, link.offer));
            if let Some(settings) = &mut link.settings {
                *left_out += settle(settings, offer);
                limited.extend(settings.max_clicks.map(|limit| (link.tenant, *id, limit)));
            }
        }
        if snapshot.left_out > 0 {
            let Snapshot { version, left_out, .. } = snapshot;
            tracing::warn!(version, left_out, "entries of the snapshot are unusable and were left out");
        }
        snapshot
    }
}

/// A link's own destination lies on the offer's hosts, or the link goes where the offer does.
fn settle(settings: &mut LinkSettings, offer: Option<&OfferEntry>) -> usize {
    let Some(destination) = settings.destination.take() else { return 0 };
    let offer = offer.filter(|offer| offer.may_land_on(&destination));
    settings.destination =
        offer.and_then(|offer| Destination::new(destination.text(), &offer.click_id_parameter));
    usize::from(settings.destination.is_none())
}

/// `None` for an empty text, and, counted, for one that no browser may be sent to.
pub(super) fn page(text: &str, left_out: &mut usize) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let page = template::page(text).ok().map(String::from);
    *left_out += usize::from(page.is_none());
    page
}

/// 0 stands for never.
pub(super) fn expiry(secs: i64) -> Option<UnixMicros> {
    (secs != 0).then(|| UnixMicros::from_secs(secs))
}

/// Returns how many entries were left out: one, if the id is taken.
fn keep_first<K: Eq + Hash, V>(table: &mut HashMap<K, V>, id: K, entry: V) -> usize {
    match table.entry(id) {
        Entry::Occupied(_) => 1,
        Entry::Vacant(vacant) => {
            vacant.insert(entry);
            0
        }
    }
}

fn read_link(tenant: TenantId, link: &edge_v1::Link, left_out: &mut usize) -> Option<(LinkId, LinkEntry)> {
    let entry = LinkEntry {
        tenant,
        offer: OfferId::new(link.offer)?,
        partner: PartnerId::new(link.partner)?,
        active: link.active,
        settings: link.settings.as_ref().and_then(|settings| LinkSettings::read(settings, left_out)),
    };
    Some((LinkId::new(link.id)?, entry))
}
