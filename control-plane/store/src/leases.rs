//! Leases with fence numbers, for what only one process may do at a time.

use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::{Columns, big};
use crate::sql::{Connection, Row, Sql, query, sharing};
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

/// A lease under which a transaction is open, of a process that hangs perhaps, is passed over and not waited
/// for: it would keep who asks from all the others.
const TAKE: Sql = Sql {
    sqlite: "
    UPDATE leases SET holder = $2, fence = fence + 1, expires_at = $3
    WHERE name = $1 AND (holder = $2 OR expires_at <= $4) RETURNING *",
    postgres: "
    UPDATE leases SET holder = $2, fence = fence + 1, expires_at = $3
    WHERE name = (SELECT name FROM leases WHERE name = $1 AND (holder = $2 OR expires_at <= $4)
        FOR NO KEY UPDATE SKIP LOCKED) RETURNING *",
};

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
        let mut taken = self.acquire_leases(&[name.to_owned()], 1, holder, ttl, now).await?;
        taken.pop().ok_or(StoreError::Conflict("lease_held"))
    }

    /// As many of these as are to be had, up to `at_most`, in the order given.
    pub async fn acquire_leases(
        &self,
        names: &[String],
        at_most: usize,
        holder: &str,
        ttl: Duration,
        now: UnixMicros,
    ) -> Result<Vec<Lease>, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let mut taken = Vec::new();
            for name in names {
                if taken.len() == at_most {
                    break;
                }
                taken.extend(acquire(&mut tx, name, holder, expiry(now, ttl), now).await?);
            }
            tx.commit().await?;
            Ok(taken)
        })
    }

    /// The same lease with a later expiry; `Fenced` when it is somebody else's by now.
    pub async fn renew_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
        now: UnixMicros,
    ) -> Result<Lease, StoreError> {
        let mut renewed = self.renew_leases(std::slice::from_ref(lease), ttl, now).await?;
        renewed.pop().ok_or(StoreError::Fenced)
    }

    /// Those that still stand, with a later expiry.
    pub async fn renew_leases(
        &self,
        leases: &[Lease],
        ttl: Duration,
        now: UnixMicros,
    ) -> Result<Vec<Lease>, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let mut renewed = Vec::new();
            for lease in leases {
                let sql = "UPDATE leases SET expires_at = $3 WHERE name = $1 AND fence = $2 RETURNING *";
                let row = query(sql)
                    .bind(&lease.name)
                    .bind(big(lease.fence))
                    .bind(expiry(now, ttl))
                    .fetch_optional(&mut tx)
                    .await?;
                renewed.extend(row.as_ref().map(read).transpose()?);
            }
            tx.commit().await?;
            Ok(renewed)
        })
    }

    /// Lets others in at once. Nothing happens to those that were lost before.
    pub async fn release_leases(&self, leases: &[Lease]) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            for lease in leases {
                // The row stays: fences must never start again.
                query("UPDATE leases SET fence = fence + 1, expires_at = 0 WHERE name = $1 AND fence = $2")
                    .bind(&lease.name)
                    .bind(big(lease.fence))
                    .execute(&mut tx)
                    .await?;
            }
            tx.commit().await
        })
    }

    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.release_leases(std::slice::from_ref(lease)).await
    }

    /// Every lease that was ever taken, by name; some have expired.
    pub async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        let rows = query("SELECT * FROM leases ORDER BY name").fetch_all(&mut conn).await?;
        rows.iter().map(read).collect()
    }
}

async fn acquire(
    conn: &mut Connection,
    name: &str,
    holder: &str,
    expires_at: i64,
    now: UnixMicros,
) -> Result<Option<Lease>, StoreError> {
    let taken =
        query(TAKE).bind(name).bind(holder).bind(expires_at).bind(now.0).fetch_optional(&mut *conn).await?;
    if let Some(row) = taken {
        return read(&row).map(Some);
    }
    // Somebody has it, or nobody ever had.
    let sql = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) \
        ON CONFLICT (name) DO NOTHING RETURNING *";
    let first = query(sql).bind(name).bind(holder).bind(expires_at).fetch_optional(conn).await?;
    first.as_ref().map(read).transpose()
}
