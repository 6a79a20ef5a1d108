//! Leases with fence numbers, for what only one process may do at a time.

use crate::dialect::Scope;
use crate::row::{Columns, big};
use crate::sql::{Connection, Row, query, sharing};
use crate::{Store, StoreError};
use proto_model::UnixMicros;
use std::time::Duration;

/// Proof of having been the last to acquire `name`. Checkpoints are written only while its fence is the
/// newest, so a holder that slept through its expiry changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    pub fence: u64,
    pub expires_at: UnixMicros,
}

fn read(row: &Row) -> Result<Lease, StoreError> {
    Ok(Lease {
        name: row.col("name")?,
        holder: row.col("holder")?,
        fence: row.number("fence")?,
        expires_at: row.time("expires_at")?,
    })
}

fn expiry(now: UnixMicros, ttl: Duration) -> i64 {
    now.0.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
}

/// `Fenced` unless the lease is still the newest. Called inside the transaction that it guards, and until
/// that ends nobody takes the lease over.
pub(crate) async fn check_fence(conn: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
    let held = query(sharing!("SELECT 1 FROM leases WHERE name = $1 AND fence = $2"))
        .bind(&lease.name)
        .bind(big(lease.fence))
        .fetch_optional(conn)
        .await?;
    held.map(|_| ()).ok_or(StoreError::Fenced)
}

impl Store {
    /// `Conflict("lease_held")` while another holder's lease has not expired. Each success raises the fence.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: UnixMicros,
    ) -> Result<Lease, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let sql = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) \
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = leases.fence + 1, \
            expires_at = excluded.expires_at \
            WHERE leases.holder = excluded.holder OR leases.expires_at <= $4 RETURNING *";
        let row = query(sql)
            .bind(name)
            .bind(holder)
            .bind(expiry(now, ttl))
            .bind(now.0)
            .fetch_optional(&mut tx)
            .await?;
        let lease = read(&row.ok_or(StoreError::Conflict("lease_held"))?)?;
        tx.commit().await?;
        Ok(lease)
    }

    /// The same lease with a later expiry; `Fenced` when it is somebody else's by now.
    pub async fn renew_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
        now: UnixMicros,
    ) -> Result<Lease, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let sql = "UPDATE leases SET expires_at = $3 WHERE name = $1 AND fence = $2 RETURNING *";
        let row = query(sql)
            .bind(&lease.name)
            .bind(big(lease.fence))
            .bind(expiry(now, ttl))
            .fetch_optional(&mut tx)
            .await?;
        let lease = read(&row.ok_or(StoreError::Fenced)?)?;
        tx.commit().await?;
        Ok(lease)
    }

    /// Lets others in at once. Nothing happens when the lease was lost before.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        // The row stays: fences must never start again.
        query("UPDATE leases SET fence = fence + 1, expires_at = 0 WHERE name = $1 AND fence = $2")
            .bind(&lease.name)
            .bind(big(lease.fence))
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}
