//! Reads of the outbox: what partners and operators are to be told.

use crate::{Page, Store, StoreError};
use proto_model::{AdvertiserId, Amount, DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// The receiver's dedupe key.
    pub id: DerivedId,
    /// `None` = from the settlement shard.
    pub advertiser: Option<AdvertiserId>,
    /// `noun.verb`.
    pub kind: String,
    pub partner: PartnerId,
    pub subject: DerivedId,
    pub amount: Amount,
    pub order_id: String,
    pub created_at: UnixMicros,
}
impl Store {
    pub async fn list_outbox(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<OutboxRow>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
}
