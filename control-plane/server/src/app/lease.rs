//! Work that only one process may do at a time: held by a lease, proven by its fence.
//!
//! Expiry is set and judged by the database's clock, so that the clocks of two machines need not agree on it.
//! No process believes in its own lease: what it writes is checked against the fence in the same transaction.

use super::App;
use super::health::Status;
use crate::error::AppError;
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::leases::Lease;
use std::time::Duration;
use tokio::time::Instant;

/// How long the others wait for a process that has died.
pub const TTL: Duration = Duration::from_secs(6);
/// One that fails is tried again before it is too late.
pub const RENEW: Duration = Duration::from_secs(3);
/// How often one that wants a lease looks.
pub const RETRY: Duration = Duration::from_secs(1);

pub struct Held {
    pub lease: Lease,
    renew_at: Instant,
}

impl Held {
    /// Waits for its turn; `None` when the process was asked to stop first. Waiting is healthy: another
    /// node does the work.
    pub async fn acquire(app: &App, name: &'static str, stop: &mut Stop) -> Result<Option<Self>, AppError> {
        loop {
            let now = app.store.database_time().await?;
            match app.store.acquire_lease(name, &app.node, TTL, now).await {
                Ok(lease) => return Ok(Some(Self { lease, renew_at: Instant::now() + RENEW })),
                Err(StoreError::Conflict(_)) => app.health.set(name, Status::Ok),
                Err(error) => return Err(error.into()),
            }
            if !stop.sleep(RETRY).await {
                return Ok(None);
            }
        }
    }

    /// To be called between transactions; touches the database only now and then.
    pub async fn keep(&mut self, app: &App) -> Result<(), AppError> {
        let now = Instant::now();
        if now >= self.renew_at {
            self.lease = app.store.renew_lease(&self.lease, TTL, app.store.database_time().await?).await?;
            self.renew_at = now + RENEW;
        }
        Ok(())
    }

    pub async fn release(self, app: &App) -> Result<(), AppError> {
        Ok(app.store.release_lease(&self.lease).await?)
    }
}

/// `result` of work under a lease; `None` when the lease was lost meanwhile, which is no failure: another
/// process goes on, and this one waits for its turn.
pub fn unless_lost(name: &str, result: Result<(), AppError>) -> Result<Option<()>, AppError> {
    match result {
        Err(AppError::Store(StoreError::Fenced)) => {
            tracing::warn!("another process has taken `{name}` over");
            Ok(None)
        }
        result => result.map(Some),
    }
}
