//! The intake: per shard, one ordered log of what the business must decide, insert-only.

use crate::{Store, StoreError};
use control_plane_domain::intake::{Input, IntakeItem, ShardKey};
use control_plane_domain::terms::OfferTerms;
use proto_model::{AdvertiserId, OfferId, TenantId, UnixMicros};
impl Store {
    /// Appends to the shard's log and returns the ordinal. `NotFound` when there is no such shard.
    pub async fn append_intake(
        &self,
        shard: ShardKey,
        input: &Input,
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        let _ = (shard, input, now);
        Err(StoreError::NotFound)
    }
    /// Items after `after`, in order.
    pub async fn intake_items(
        &self,
        shard: ShardKey,
        after: u64,
        limit: u32,
    ) -> Result<Vec<IntakeItem>, StoreError> {
        let _ = (shard, after, limit);
        Err(StoreError::NotFound)
    }
    /// Shards whose intake is ahead of the money engine.
    pub async fn shards_with_work(&self, limit: u32) -> Result<Vec<ShardKey>, StoreError> {
        let _ = limit;
        Err(StoreError::NotFound)
    }
    /// Every shard of a tenant, the settlement shard first.
    pub async fn shards(&self, tenant: TenantId) -> Result<Vec<ShardKey>, StoreError> {
        let _ = tenant;
        Err(StoreError::NotFound)
    }
    /// Every version of an offer's terms as written to the intake, oldest first: there as soon as they are
    /// accepted, before the money engine has read them.
    pub async fn offer_terms(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        offer: OfferId,
    ) -> Result<Vec<OfferTerms>, StoreError> {
        let _ = (tenant, advertiser, offer);
        Err(StoreError::NotFound)
    }
}
