//! How far the money engine has come.

use crate::{Store, StoreError};
use control_plane_domain::intake::ShardKey;
use proto_model::AdvertiserId;

impl Store {
    /// The intake ordinal up to which everything in the shard has had its effect; 0 = nothing yet.
    pub async fn applied_through(&self, shard: ShardKey) -> Result<u64, StoreError> {
        let corrupt = |error| StoreError::corrupt("money checkpoint", error);
        let advertiser =
            i64::try_from(shard.advertiser.map_or(0, AdvertiserId::get)).map_err(corrupt)?;
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT ordinal FROM money_checkpoints WHERE tenant_id = $1 AND advertiser_id = $2")
                .bind(i64::from(shard.tenant.get()))
                .bind(advertiser)
                .fetch_optional(self.read())
                .await?;
        row.map_or(Ok(0), |(ordinal,)| u64::try_from(ordinal).map_err(corrupt))
    }
}
