//! Erasing a person: the values go, the commitments stay, so chain and replay still verify.

use super::App;
use super::orders::checked_text;
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::erase::ErasedCounts;
use control_plane_store::projection::Who;
use proto_model::TenantId;
use std::time::Duration;

/// How long an erasure waits for the projector.
const WAIT: Duration = Duration::from_secs(20);
/// Another process may be the projector, and then nobody tells us.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Deletes what ties somebody to a pseudonym, and the personal values of their events.
pub async fn erase(app: &App, tenant: TenantId, who: Who) -> Result<ErasedCounts, AppError> {
    match &who {
        Who::Customer(id) => checked_text("customer_id", id)?,
        Who::Visitor(id) => checked_text("visitor_id", id)?,
    }
    app.store.get_tenant(tenant).await.map_err(AppError::of("tenant"))?;
    projected(app, WAIT).await?;
    Ok(app.store.erase_customer(tenant, &who).await?)
}

/// Ends what an older version has erased while it was at work beside this one.
pub async fn scrub(app: &App) -> Result<(), StoreError> {
    let values = app.store.scrub_erased().await?;
    if values > 0 {
        tracing::info!(values, "personal values that an older version erased are gone from their blobs, too");
    }
    Ok(())
}

/// Waits until everything that was taken before now is projected: what a batch says about a customer is only
/// known from then on, and an erasure must hold for all that was here when it was asked for.
pub async fn projected(app: &App, wait: Duration) -> Result<(), AppError> {
    let head = app.store.given_through().await?;
    let mut progress = app.store.signals().projection.subscribe();
    let deadline = tokio::time::Instant::now() + wait;
    while app.store.projected_through().await? < head {
        if tokio::time::Instant::now() >= deadline {
            return Err(AppError::Unavailable("batches are still being projected; nothing was erased"));
        }
        let _ = tokio::time::timeout(LOOK_AGAIN, progress.changed()).await;
    }
    Ok(())
}
