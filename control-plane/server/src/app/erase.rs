//! Erasing a person: the values go, the commitments stay, so chain and replay still verify.

use super::App;
use super::orders::checked_text;
use crate::error::AppError;
use control_plane_store::erase::ErasedCounts;
use proto_model::TenantId;

/// Deletes what ties `customer_id` to a pseudonym, and the personal values of its events.
pub async fn erase_customer(
    app: &App,
    tenant: TenantId,
    customer_id: &str,
) -> Result<ErasedCounts, AppError> {
    checked_text("customer_id", customer_id)?;
    app.store.get_tenant(tenant).await.map_err(AppError::of("tenant"))?;
    Ok(app.store.erase_customer(tenant, customer_id).await?)
}
