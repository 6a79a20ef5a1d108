use super::advertisers::read_advertiser;
use super::domains::read_domain;
use super::links::{links, read_link};
use super::offers::read_offer;
use super::postbacks::read_postback_key;
use super::rules::read_rule_set;
use super::tenants::{read_click_key, read_tenant};
use super::{Advertiser, ClickKeyRecord, Domain, Link, Offer, PostbackKeyRecord, RuleSetRecord, Tenant};
use crate::dialect::Scope;
use crate::row::Columns;
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};

/// The whole catalog at one version, read in one transaction; each list is ordered by tenant and id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogSnapshot {
    pub version: u64,
    pub tenants: Vec<Tenant>,
    pub click_keys: Vec<ClickKeyRecord>,
    pub advertisers: Vec<Advertiser>,
    pub postback_keys: Vec<PostbackKeyRecord>,
    pub domains: Vec<Domain>,
    pub offers: Vec<Offer>,
    pub links: Vec<Link>,
    /// The current one of each tenant that has one.
    pub rule_sets: Vec<RuleSetRecord>,
}

const VERSION: &str = "SELECT version FROM catalog_version";
const POSTBACK_KEYS: &str = "SELECT * FROM postback_keys ORDER BY tenant_id, advertiser_id, key_id";
const CURRENT_RULE_SETS: &str = "SELECT * FROM rule_sets r WHERE version = \
    (SELECT max(version) FROM rule_sets WHERE tenant_id = r.tenant_id) ORDER BY tenant_id";

async fn all<T>(
    conn: &mut Connection,
    sql: &'static str,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    query(sql).fetch_all(conn).await?.iter().map(read).collect()
}

impl Store {
    /// Rises with every catalog write, over all tenants: the version of the snapshot.
    pub async fn catalog_version(&self) -> Result<u64, StoreError> {
        query(VERSION).fetch_one(&mut self.read(Scope::Deployment).await?).await?.number("version")
    }

    pub async fn catalog_snapshot(&self) -> Result<CatalogSnapshot, StoreError> {
        let mut tx = self.read_snapshot(Scope::Deployment).await?;
        let snapshot = CatalogSnapshot {
            version: query(VERSION).fetch_one(&mut tx).await?.number("version")?,
            tenants: all(&mut tx, "SELECT * FROM tenants ORDER BY id", read_tenant).await?,
            click_keys: all(&mut tx, "SELECT * FROM click_keys ORDER BY tenant_id, key_id", read_click_key)
                .await?,
            advertisers: all(&mut tx, "SELECT * FROM advertisers ORDER BY tenant_id, id", read_advertiser)
                .await?,
            offers: all(&mut tx, "SELECT * FROM offers ORDER BY tenant_id, id", read_offer).await?,
            postback_keys: all(&mut tx, POSTBACK_KEYS, read_postback_key).await?,
            domains: all(&mut tx, "SELECT * FROM domains ORDER BY tenant_id, host", read_domain).await?,
            links: all(&mut tx, links!("ORDER BY l.tenant_id, l.id"), read_link).await?,
            rule_sets: all(&mut tx, CURRENT_RULE_SETS, read_rule_set).await?,
        };
        Ok(snapshot)
    }
}
