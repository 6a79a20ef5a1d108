//! Customers and visitors: erasing one.

use super::auth::Tenant;
use super::ids::PathText;
use super::{Api, Reply};
use crate::app::erase;
use axum::Json;
use axum::extract::State;
use control_plane_store::projection::Who;
use proto_model::TenantId;
use utoipa::ToSchema;

/// What was erased.
#[derive(serde::Serialize, ToSchema)]
pub struct Erased {
    /// 1 when the customer or visitor was known, else 0.
    pub customers: u64,
    /// Personal values of the customer's events and of the clicks that these name.
    pub sidecar_values: u64,
    pub events: u64,
}

/// Erase a customer
///
/// Deletes every personal value; what was signed and posted stays, and still verifies, since it holds only
/// salted commitments. Erasing a customer who is not known is no error.
#[utoipa::path(delete, path = "/v1/customers/{customer_id}", tag = "tracking",
    params(("customer_id" = String, Path, description = "As you sent it, percent-encoded")),
    responses((status = 200, description = "How much was erased", body = Erased)))]
pub async fn erase_customer(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(customer_id): PathText,
) -> Reply<Json<Erased>> {
    erased(&api, tenant, Who::Customer(customer_id)).await
}

/// Erase a visitor
///
/// As for a customer, by the number that the shop's page gave to its visitor (`visitor_id` of `/t.js`).
#[utoipa::path(delete, path = "/v1/visitors/{visitor_id}", tag = "tracking",
    params(("visitor_id" = String, Path, description = "As the page sent it, percent-encoded")),
    responses((status = 200, description = "How much was erased", body = Erased)))]
pub async fn erase_visitor(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(visitor_id): PathText,
) -> Reply<Json<Erased>> {
    erased(&api, tenant, Who::Visitor(visitor_id)).await
}

async fn erased(api: &Api, tenant: TenantId, who: Who) -> Reply<Json<Erased>> {
    let counts = erase::erase(api.app(), tenant, who).await?;
    Ok(Json(Erased { customers: counts.customers, sidecar_values: counts.values, events: counts.events }))
}
