//! Work that only one process may do at a time: held by a lease, proven by its fence.

use super::health::Status;
use super::{App, clock};
use crate::error::AppError;
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::leases::Lease;
use proto_model::UnixMicros;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);
const HALF_TTL_SECS: i64 = 5;
const RETRY: Duration = Duration::from_secs(1);

pub struct Held {
    pub lease: Lease,
    renew_at: UnixMicros,
}

impl Held {
    /// Waits for its turn; `None` when the process was asked to stop first. Waiting is healthy: another
    /// node does the work.
    pub async fn acquire(app: &App, name: &'static str, stop: &mut Stop) -> Result<Option<Self>, AppError> {
        loop {
            let now = clock::now();
            match app.store.acquire_lease(name, &app.node, TTL, now).await {
                Ok(lease) => return Ok(Some(Self { lease, renew_at: now.plus_secs(HALF_TTL_SECS) })),
                Err(StoreError::Conflict(_)) => app.health.set(name, Status::Ok),
                Err(error) => return Err(error.into()),
            }
            if !stop.sleep(RETRY).await {
                return Ok(None);
            }
        }
    }

    /// To be called often; touches the database only when half of the time is over.
    pub async fn keep(&mut self, app: &App) -> Result<(), AppError> {
        let now = clock::now();
        if now >= self.renew_at {
            self.lease = app.store.renew_lease(&self.lease, TTL, now).await?;
            self.renew_at = now.plus_secs(HALF_TTL_SECS);
        }
        Ok(())
    }

    pub async fn release(self, app: &App) -> Result<(), AppError> {
        Ok(app.store.release_lease(&self.lease).await?)
    }
}
