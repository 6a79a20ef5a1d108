//! What operators and tenants set up: networks, advertisers, programs, offers, partners, links, rules, keys.
//!
//! Each write raises the catalog version in its own transaction and fires `signals().catalog`.

mod advertisers;
mod api_keys;
mod domains;
mod links;
mod offers;
mod postbacks;
mod rules;
mod snapshot;
mod tenants;

pub use links::LinkFilter;
pub use snapshot::CatalogSnapshot;

use proto_model::{AdvertiserId, LinkId, OfferId, PartnerId, PauseReason, ProgramId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    /// Where a dead or blocked link goes; `None` = a plain page.
    pub fallback_url: Option<String>,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewApiKey {
    /// `None` = an operator's key.
    pub tenant: Option<TenantId>,
    pub name: String,
    pub secret_sha256: [u8; 32],
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    pub id: i64,
    /// `None` = an operator's key.
    pub tenant: Option<TenantId>,
    pub name: String,
    pub secret_sha256: [u8; 32],
    pub revoked: bool,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advertiser {
    pub tenant: TenantId,
    /// Unique in the deployment: it stands alone in pixel and postback URLs.
    pub id: AdvertiserId,
    pub name: String,
    pub postback_token_sha256: Option<[u8; 32]>,
    /// Of the token that makes a postback a test.
    pub test_token_sha256: Option<[u8; 32]>,
    /// As the server wrote it; the store does not look inside.
    pub postback_json: String,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    pub tenant: TenantId,
    pub id: ProgramId,
    pub advertiser: AdvertiserId,
    pub name: String,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    pub tenant: TenantId,
    pub id: OfferId,
    pub program: ProgramId,
    pub advertiser: AdvertiserId,
    pub name: String,
    pub destination: String,
    /// The parameter that carries the click id to the landing page.
    pub click_id_parameter: String,
    pub active: bool,
    /// Why it is not active; `None` = it is, or nobody has said.
    pub pause_reason: Option<PauseReason>,
    /// As the server wrote it; the store does not look inside.
    pub routing_json: String,
    /// The version of the last terms written; the next one is one more.
    pub terms_version: u32,
    pub created_at: UnixMicros,
}

/// What changes on an offer; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OfferChange {
    pub name: Option<String>,
    pub destination: Option<String>,
    pub click_id_parameter: Option<String>,
    pub active: Option<bool>,
    /// Beside `active` off; by hand when nobody says.
    pub pause_reason: Option<PauseReason>,
    pub routing_json: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partner {
    pub tenant: TenantId,
    pub id: PartnerId,
    pub name: String,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    pub tenant: TenantId,
    /// Unique in the deployment: it stands alone in the click URL.
    pub id: LinkId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub active: bool,
    /// As the server wrote it; the store does not look inside.
    pub settings_json: String,
    /// What it is called on one of the tenant's hosts.
    pub vanity: Option<Vanity>,
    pub created_at: UnixMicros,
}

/// `https://{host}/{slug}`; each name is one link's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vanity {
    /// A [`Domain`] of the tenant.
    pub host: String,
    pub slug: String,
}

/// What changes on a link; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkChange {
    pub active: Option<bool>,
    pub settings_json: Option<String>,
    /// `Some(None)` takes its name away.
    pub vanity: Option<Option<Vanity>>,
}

/// A host under which a tenant's links have names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    pub tenant: TenantId,
    /// Lower case; unique in the deployment: a request carries it alone.
    pub host: String,
    /// Where the bare host goes; `None` = the tenant's fallback. Likewise the others.
    pub home_url: Option<String>,
    pub not_found_url: Option<String>,
    pub expired_url: Option<String>,
    pub created_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSetRecord {
    pub tenant: TenantId,
    pub version: u32,
    /// As the server wrote it; the store does not look inside.
    pub body_json: String,
    pub published_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ClickKeyRecord {
    pub tenant: TenantId,
    pub key_id: u8,
    pub key: [u8; 32],
    /// The one that seals; the others only open.
    pub active: bool,
    pub created_at: UnixMicros,
}

impl std::fmt::Debug for ClickKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key itself must not end up in a log.
        f.debug_struct("ClickKeyRecord")
            .field("tenant", &self.tenant)
            .field("key_id", &self.key_id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// The key of an advertiser's signed postbacks.
#[derive(Clone, PartialEq, Eq)]
pub struct PostbackKeyRecord {
    pub tenant: TenantId,
    pub advertiser: AdvertiserId,
    pub key_id: u8,
    pub key: [u8; 32],
    pub created_at: UnixMicros,
}

impl std::fmt::Debug for PostbackKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key itself must not end up in a log.
        f.debug_struct("PostbackKeyRecord")
            .field("tenant", &self.tenant)
            .field("advertiser", &self.advertiser)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
