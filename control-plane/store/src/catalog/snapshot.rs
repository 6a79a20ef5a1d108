use super::{Advertiser, ClickKeyRecord, Link, Offer, RuleSetRecord, Tenant};
use crate::{Store, StoreError};

/// The whole catalog at one version, read in one transaction; each list is ordered by tenant and id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogSnapshot {
    pub version: u64,
    pub tenants: Vec<Tenant>,
    pub click_keys: Vec<ClickKeyRecord>,
    pub advertisers: Vec<Advertiser>,
    pub offers: Vec<Offer>,
    pub links: Vec<Link>,
    /// The current one of each tenant that has one.
    pub rule_sets: Vec<RuleSetRecord>,
}

impl Store {
    /// Rises with every catalog write, over all tenants: the version of the snapshot.
    pub async fn catalog_version(&self) -> Result<u64, StoreError> {
        Err(StoreError::NotFound)
    }
    pub async fn catalog_snapshot(&self) -> Result<CatalogSnapshot, StoreError> {
        Err(StoreError::NotFound)
    }
}
