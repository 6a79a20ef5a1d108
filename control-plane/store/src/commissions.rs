//! Reads of commissions, and which of them wait for time alone.

use crate::{Page, Store, StoreError};
use control_plane_domain::intake::ShardKey;
use control_plane_domain::order::{Commission, CommissionStatus};
use proto_model::{AdvertiserId, DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommissionRow {
    pub advertiser: AdvertiserId,
    pub conversion: DerivedId,
    pub order_id: String,
    pub commission: Commission,
    pub recorded_at: UnixMicros,
    pub updated_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommissionFilter {
    pub advertiser: Option<AdvertiserId>,
    pub partner: Option<PartnerId>,
    pub order_id: Option<String>,
    pub status: Option<CommissionStatus>,
}
impl Store {
    pub async fn get_commission(&self, tenant: TenantId, id: DerivedId) -> Result<CommissionRow, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_commissions(
        &self,
        tenant: TenantId,
        filter: &CommissionFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<CommissionRow>, StoreError> {
        let _ = (tenant, filter, after, limit);
        Err(StoreError::NotFound)
    }
    /// Orders with a pending commission whose hold has run out and for which nobody has said so since the
    /// order last changed.
    pub async fn due_holds(
        &self,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<(ShardKey, String)>, StoreError> {
        let _ = (now, limit);
        Err(StoreError::NotFound)
    }
}
