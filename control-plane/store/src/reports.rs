//! Reports over the roll-ups and the decided conversions.

use crate::{Store, StoreError};
use proto_model::{
    AdvertiserId, Amount, Country, DeviceClass, LinkId, OfferId, PartnerId, Reason, TenantId, UnixMicros,
    VerdictKind,
};

/// Hours from `from` on and before `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportFilter {
    pub from: UnixMicros,
    pub until: UnixMicros,
    pub advertiser: Option<AdvertiserId>,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub link: Option<LinkId>,
}

/// One link in one hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkHour {
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub link: LinkId,
    /// Counted clicks: allowed and flagged.
    pub clicks: u64,
    /// The flagged ones among `clicks`.
    pub flagged: u64,
    /// Not counted, but visible.
    pub blocked: u64,
    /// Attributed conversions that happened in this hour.
    pub conversions: u64,
    /// Their amounts, one per currency.
    pub sales: Vec<Amount>,
    /// Their commissions that are pending or approved, one per currency.
    pub commissions: Vec<Amount>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleHits {
    pub rule_id: Option<String>,
    pub rule_set_version: u32,
    pub verdict: VerdictKind,
    pub clicks: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactHits {
    pub country: Country,
    pub device: DeviceClass,
    pub verdict: VerdictKind,
    pub clicks: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedHits {
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub reason: Reason,
    pub hits: u64,
}
impl Store {
    /// By hour and link, newest hour first; at most `limit` rows.
    pub async fn report_links(
        &self,
        tenant: TenantId,
        filter: &ReportFilter,
        limit: u32,
    ) -> Result<Vec<LinkHour>, StoreError> {
        let _ = (tenant, filter, limit);
        Err(StoreError::NotFound)
    }
    /// What each rule of each version did; `rule_id: None` = no rule matched.
    pub async fn report_rules(
        &self,
        tenant: TenantId,
        from: UnixMicros,
        until: UnixMicros,
    ) -> Result<Vec<RuleHits>, StoreError> {
        let _ = (tenant, from, until);
        Err(StoreError::NotFound)
    }
    pub async fn report_facts(
        &self,
        tenant: TenantId,
        from: UnixMicros,
        until: UnixMicros,
    ) -> Result<Vec<FactHits>, StoreError> {
        let _ = (tenant, from, until);
        Err(StoreError::NotFound)
    }
    pub async fn report_refused(
        &self,
        tenant: TenantId,
        from: UnixMicros,
        until: UnixMicros,
    ) -> Result<Vec<RefusedHits>, StoreError> {
        let _ = (tenant, from, until);
        Err(StoreError::NotFound)
    }
}
