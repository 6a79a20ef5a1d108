//! Idempotency keys: a retry with the same key acts once. The key stands in the effect's transaction, so
//! that there is no moment in which one is there without the other.

use crate::intake::{advertiser_column, append_inputs};
use crate::retry::retrying;
use crate::row::{Columns, Id};
use crate::sql::{locking, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::{Input, ShardKey};
use proto_model::UnixMicros;
use proto_model::time::DAY_US;

/// Longer than anybody retries.
const KEPT_DAYS: i64 = 30;

/// The key came for another shard at the same time.
fn reused(error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Conflict(_) => StoreError::Conflict("idempotency_key_reused"),
        other => other,
    }
}

impl Store {
    /// Appends to the shard's log unless this key of the tenant has done so before; gives the ordinal either
    /// way. `Conflict("idempotency_key_reused")` when the key came with another request.
    pub async fn append_intake_once(
        &self,
        shard: ShardKey,
        input: &Input,
        key: &str,
        request_sha256: [u8; 32],
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        retrying!(self.append_once(shard, input, key, request_sha256, now))
    }

    async fn append_once(
        &self,
        shard: ShardKey,
        input: &Input,
        key: &str,
        request_sha256: [u8; 32],
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        let mut tx = self.write(shard).await?;
        // The same call at the same time waits here, and then finds the key.
        let head = locking!("SELECT head FROM intake_heads WHERE tenant_id = $1 AND advertiser_id = $2");
        query(head)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .fetch_optional(&mut tx)
            .await?;
        query("DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2")
            .bind(shard.tenant.column())
            .bind(now.0.saturating_sub(KEPT_DAYS * DAY_US))
            .execute(&mut tx)
            .await?;
        let sql = "SELECT advertiser_id, ordinal, request_sha256 FROM idempotency_keys \
            WHERE tenant_id = $1 AND key = $2";
        let known = query(sql).bind(shard.tenant.column()).bind(key).fetch_optional(&mut tx).await?;
        if let Some(row) = known {
            let same = row.col::<i64>("advertiser_id")? == advertiser_column(shard)
                && row.bytes::<32>("request_sha256")? == request_sha256;
            return if same {
                row.number("ordinal")
            } else {
                Err(StoreError::Conflict("idempotency_key_reused"))
            };
        }
        let ordinals = append_inputs(&mut tx, &[(shard, input)], now).await?;
        let ordinal = ordinals.first().copied().ok_or(StoreError::NotFound)?;
        let sql = "INSERT INTO idempotency_keys \
            (tenant_id, key, advertiser_id, ordinal, request_sha256, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        query(sql)
            .bind(shard.tenant.column())
            .bind(key)
            .bind(advertiser_column(shard))
            .bind(i64::try_from(ordinal).unwrap_or(i64::MAX))
            .bind(&request_sha256[..])
            .bind(now.0)
            .execute(&mut tx)
            .await
            .map_err(reused)?;
        tx.owed.intake = true;
        tx.commit().await?;
        Ok(ordinal)
    }
}
