//! Builds a snapshot out of chunks.

use super::{AdvertiserEntry, LinkEntry, OfferEntry, Snapshot, TenantEntry};
use proto_model::{AdvertiserId, LinkId, OfferId, PartnerId, ProgramId, TenantId};
use proto_wire::convert::{ClickKeyError, RuleSetError, click_keys_from_wire, rule_set_from_wire};
use proto_wire::edge_v1::{self, Chunk, TenantChunk, chunk};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use url::Url;

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

/// A landing page, split where the click id goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    before: String,
    after: String,
}

impl Destination {
    /// `None` unless `url` is an absolute http or https URL with a host and without credentials. A
    /// parameter of the same name that is in the URL already gives way.
    pub fn new(url: &str, parameter: &str) -> Option<Self> {
        let url = web_url(url)?;
        let parameter: String = form_urlencoded::byte_serialize(parameter.as_bytes()).collect();
        if parameter.is_empty() {
            return None;
        }
        let query = url.query().unwrap_or_default();
        let kept = query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && name != parameter
        });
        let after = url.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        let mut before = format!("{base}?");
        for pair in kept {
            before.push_str(pair);
            before.push('&');
        }
        before.push_str(&parameter);
        before.push('=');
        Some(Self { before, after })
    }

    /// The URL with the click id in it: plain ASCII, fit for a `Location` header.
    pub fn with_click_id(&self, click_id: &str) -> String {
        [self.before.as_str(), click_id, self.after.as_str()].concat()
    }

    /// The URL without an id, for those who only look.
    pub fn plain(&self) -> String {
        let end = self.before.rfind(['?', '&']).unwrap_or(self.before.len());
        [self.before.get(..end).unwrap_or_default(), self.after.as_str()].concat()
    }
}

/// What a browser may be sent to.
fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

impl Snapshot {
    /// The chunks must have been verified against a signed manifest.
    pub fn from_chunks(version: u64, chunks: &[Chunk]) -> Result<Self, SnapshotError> {
        let links = chunks.iter().map(|chunk| match &chunk.content {
            Some(chunk::Content::Links(links)) => links.links.len(),
            _ => 0,
        });
        let mut snapshot = Self {
            version,
            links: HashMap::with_capacity(links.sum()),
            tenants: HashMap::new(),
            offers: HashMap::new(),
            advertisers: HashMap::new(),
        };
        let mut left_out = 0usize;
        for chunk in chunks {
            let tenant = TenantId::new(chunk.tenant).ok_or(SnapshotError::NoTenant)?;
            match &chunk.content {
                Some(chunk::Content::Settings(settings)) => {
                    left_out += snapshot.add_settings(tenant, settings)?;
                }
                Some(chunk::Content::Links(links)) => {
                    for link in &links.links {
                        match read_link(tenant, link) {
                            // Ids are random across tenants: the first holder of one keeps it.
                            Some((id, entry)) => left_out += keep_first(&mut snapshot.links, id, entry),
                            None => left_out += 1,
                        }
                    }
                }
                None => return Err(SnapshotError::UnknownChunk),
            }
        }
        if left_out > 0 {
            tracing::warn!(version, left_out, "entries of the snapshot are unusable and were left out");
        }
        Ok(snapshot)
    }

    /// Returns how many entries were left out.
    fn add_settings(&mut self, tenant: TenantId, settings: &TenantChunk) -> Result<usize, SnapshotError> {
        let keys = click_keys_from_wire(tenant, &settings.click_keys)
            .map_err(|source| SnapshotError::Keys { tenant, source })?;
        let rules = settings.rule_set.as_ref().map(rule_set_from_wire).transpose();
        let rules = rules.map_err(|source| SnapshotError::Rules { tenant, source })?;
        let fallback_url = web_url(&settings.fallback_url).map(String::from);
        let mut left_out = usize::from(fallback_url.is_none() && !settings.fallback_url.is_empty());
        self.tenants.insert(tenant, TenantEntry { fallback_url, keys, rules });
        for advertiser in &settings.advertisers {
            let token = <[u8; 32]>::try_from(advertiser.postback_token_sha256.as_slice()).ok();
            let entry = AdvertiserEntry { tenant, postback_token_sha256: token };
            match AdvertiserId::new(advertiser.id) {
                Some(id) => left_out += keep_first(&mut self.advertisers, id, entry),
                None => left_out += 1,
            }
        }
        for offer in &settings.offers {
            match read_offer(offer) {
                Some((id, entry)) => _ = self.offers.insert((tenant, id), entry),
                None => left_out += 1,
            }
        }
        Ok(left_out)
    }
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

fn read_link(tenant: TenantId, link: &edge_v1::Link) -> Option<(LinkId, LinkEntry)> {
    let entry = LinkEntry {
        tenant,
        offer: OfferId::new(link.offer)?,
        partner: PartnerId::new(link.partner)?,
        active: link.active,
    };
    Some((LinkId::new(link.id)?, entry))
}

fn read_offer(offer: &edge_v1::Offer) -> Option<(OfferId, OfferEntry)> {
    let parameter = match offer.click_id_parameter.as_str() {
        "" => "click_id",
        parameter => parameter,
    };
    let entry = OfferEntry {
        advertiser: AdvertiserId::new(offer.advertiser)?,
        program: ProgramId::new(offer.program)?,
        destination: Destination::new(&offer.destination, parameter)?,
        active: offer.active,
    };
    Some((OfferId::new(offer.id)?, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_click_id_finds_its_place() {
        let cases = [
            ("https://shop.example/a", "https://shop.example/a?click_id=X"),
            ("https://shop.example", "https://shop.example/?click_id=X"),
            ("https://shop.example/a?b=1#top", "https://shop.example/a?b=1&click_id=X#top"),
            ("https://shop.example/?click_id=old&b=1", "https://shop.example/?b=1&click_id=X"),
            (
                "https://shop.example/中文?q=中",
                "https://shop.example/%E4%B8%AD%E6%96%87?q=%E4%B8%AD&click_id=X",
            ),
            ("http://127.0.0.1:80/x y", "http://127.0.0.1/x%20y?click_id=X"),
        ];
        for (url, expected) in cases {
            assert_eq!(Destination::new(url, "click_id").unwrap().with_click_id("X"), expected);
        }
        let odd = Destination::new("https://a.example/", "a&b").unwrap();
        assert_eq!(odd.with_click_id("X"), "https://a.example/?a%26b=X");
    }

    #[test]
    fn only_web_pages_are_destinations() {
        for url in [
            "",
            "/a",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example/",
            "https://u:p@a.example/",
        ] {
            assert_eq!(Destination::new(url, "click_id"), None, "{url}");
        }
        assert_eq!(Destination::new("https://a.example/", ""), None);
        let injected = Destination::new("https://a.example/\r\nSet-Cookie: a", "click_id").unwrap();
        assert!(!injected.with_click_id("X").contains(['\r', '\n']));
    }
}
