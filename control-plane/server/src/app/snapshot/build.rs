//! From catalog rows to encoded chunks. Pure: the same rows always give the same bytes.

use super::TenantChunks;
use super::wire::{advertiser, domain, link, offer, time_zones};
use crate::app::rules_json::{BodyError, RuleSetBody};
use control_plane_store::catalog::{
    Advertiser, CatalogSnapshot, ClickKeyRecord, Domain, Link, Offer, PostbackKeyRecord, RuleSetRecord,
    Tenant,
};
use prost::Message as _;
use proto_model::TenantId;
use proto_rules::RuleSet;
use proto_wire::convert::rule_set_to_wire;
use proto_wire::edge_v1::{self, Chunk, LinkChunk, TenantChunk, chunk::Content};
use proto_wire::manifest::{self, MAX_CHUNK, ManifestError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A changed link costs an edge the fetch of its bucket: some 100 KiB.
const LINKS_PER_BUCKET: usize = 4096;
/// What the rules of a tenant may take of its settings chunk.
const MAX_RULES_BYTES: usize = MAX_CHUNK * 3 / 4;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("a chunk cannot be made")]
    Chunk(#[from] ManifestError),
    #[error("the published rule set cannot be read")]
    RuleSet(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Of an offer, a link or an advertiser.
    #[error("the settings of {of} cannot be read")]
    Settings {
        of: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Whether a rule set has room in a tenant's settings chunk.
pub fn rule_set_fits(rules: &RuleSet) -> bool {
    rule_set_to_wire(rules).encoded_len() <= MAX_RULES_BYTES
}

/// Of one offer: two hundred of them fit beside the rules.
const MAX_ROUTING_BYTES: usize = 16 * 1024;

/// Whether an offer's routing has room beside the others'.
pub fn routing_fits(routing: &edge_v1::OfferRouting) -> bool {
    routing.encoded_len() <= MAX_ROUTING_BYTES
}

#[derive(Default)]
struct Rows<'a> {
    keys: Vec<&'a ClickKeyRecord>,
    advertisers: Vec<&'a Advertiser>,
    postback_keys: Vec<&'a PostbackKeyRecord>,
    domains: Vec<&'a Domain>,
    offers: Vec<&'a Offer>,
    links: Vec<&'a Link>,
    rules: Option<&'a RuleSetRecord>,
}

/// Every tenant with its chunks, or why they cannot be made.
pub fn tenants(
    catalog: &CatalogSnapshot,
) -> impl Iterator<Item = (TenantId, Result<TenantChunks, BuildError>)> + '_ {
    let mut rows: BTreeMap<TenantId, Rows<'_>> = BTreeMap::new();
    for key in &catalog.click_keys {
        rows.entry(key.tenant).or_default().keys.push(key);
    }
    for advertiser in &catalog.advertisers {
        rows.entry(advertiser.tenant).or_default().advertisers.push(advertiser);
    }
    for key in &catalog.postback_keys {
        rows.entry(key.tenant).or_default().postback_keys.push(key);
    }
    for domain in &catalog.domains {
        rows.entry(domain.tenant).or_default().domains.push(domain);
    }
    for offer in &catalog.offers {
        rows.entry(offer.tenant).or_default().offers.push(offer);
    }
    for link in &catalog.links {
        rows.entry(link.tenant).or_default().links.push(link);
    }
    for rules in &catalog.rule_sets {
        rows.entry(rules.tenant).or_default().rules = Some(rules);
    }
    catalog.tenants.iter().map(move |tenant| {
        let rows = rows.remove(&tenant.id).unwrap_or_default();
        (tenant.id, tenant_chunks(tenant, rows))
    })
}

fn tenant_chunks(tenant: &Tenant, mut rows: Rows<'_>) -> Result<TenantChunks, BuildError> {
    let links = std::mem::take(&mut rows.links);
    let mut out = TenantChunks { refs: Vec::new(), chunks: Vec::new() };
    push(&mut out, tenant.id, Content::Settings(settings(tenant, rows)?))?;
    for bucket in buckets(&links) {
        let links = bucket.into_iter().map(link).collect::<Result<_, _>>()?;
        push(&mut out, tenant.id, Content::Links(LinkChunk { links }))?;
    }
    Ok(out)
}

fn push(out: &mut TenantChunks, tenant: TenantId, content: Content) -> Result<(), BuildError> {
    let (reference, bytes) = manifest::encode_chunk(&Chunk { tenant: tenant.get(), content: Some(content) })?;
    let mut hash = [0; 32];
    hash.copy_from_slice(&reference.sha256);
    out.refs.push((hash, reference.length));
    out.chunks.push(Arc::new(bytes));
    Ok(())
}

fn settings(tenant: &Tenant, rows: Rows<'_>) -> Result<TenantChunk, BuildError> {
    let rule_set = rows.rules.map(lowered).transpose()?;
    let offers = rows.offers.into_iter().map(offer).collect::<Result<Vec<_>, _>>()?;
    let keys = &rows.postback_keys;
    let advertisers = rows.advertisers.into_iter().map(|row| advertiser(row, keys));
    Ok(TenantChunk {
        fallback_url: tenant.fallback_url.clone().unwrap_or_default(),
        click_keys: rows.keys.into_iter().map(key_to_wire).collect(),
        advertisers: advertisers.collect::<Result<_, _>>()?,
        time_zones: time_zones(&offers),
        offers,
        rule_set: rule_set.as_ref().map(rule_set_to_wire),
        domains: rows.domains.into_iter().map(domain).collect(),
    })
}

fn lowered(record: &RuleSetRecord) -> Result<RuleSet, BuildError> {
    let body: RuleSetBody =
        serde_json::from_str(&record.body_json).map_err(|error| BuildError::RuleSet(error.into()))?;
    body.lower(record.version).map_err(|error: BodyError| BuildError::RuleSet(error.into()))
}

/// Ids are random, so their low bits spread links evenly. A bucket stays the same while links are few
/// enough; doubling moves every link once. Empty buckets are left out: two of them would be one chunk.
fn buckets<'a>(links: &[&'a Link]) -> Vec<Vec<&'a Link>> {
    let count = links.len().div_ceil(LINKS_PER_BUCKET).next_power_of_two();
    let mask = u64::try_from(count - 1).unwrap_or_default();
    let mut buckets = vec![Vec::new(); count];
    for link in links {
        let at = usize::try_from(link.id.get() & mask).unwrap_or_default();
        buckets[at].push(*link);
    }
    buckets.retain(|bucket| !bucket.is_empty());
    for bucket in &mut buckets {
        bucket.sort_unstable_by_key(|link| link.id);
    }
    buckets
}

fn key_to_wire(key: &ClickKeyRecord) -> edge_v1::ClickKey {
    edge_v1::ClickKey { key_id: u32::from(key.key_id), key: key.key.to_vec(), active: key.active }
}

#[cfg(test)]
mod tests;
