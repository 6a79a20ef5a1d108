//! Tenants: for operators all of them, for a tenant itself.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{Id, PathId, TenantRef, Time};
use super::page::List;
use super::{Api, Created, PageQuery, Reply, present};
use crate::app::catalog;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Tenant as Record;
use proto_model::TenantId;
use utoipa::ToSchema;

/// An isolated network.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantView {
    pub id: TenantRef,
    pub name: String,
    /// Where shoppers go whose link is dead or who are blocked; null = a plain page.
    pub fallback_url: Option<String>,
    pub created_at: Time,
}

impl From<Record> for TenantView {
    fn from(tenant: Record) -> Self {
        Self {
            id: Id(tenant.id),
            name: tenant.name,
            fallback_url: tenant.fallback_url,
            created_at: Time(tenant.created_at),
        }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    #[schema(max_length = 200, min_length = 1)]
    name: String,
    fallback_url: Option<String>,
}

/// JSON Merge Patch: a member that is absent stays as it is, null clears it.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    fallback_url: Option<Option<String>>,
}

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page of tenants, newest first", body = List<TenantView>)))]
pub async fn list_tenants(
    State(api): State<Api>,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<TenantView>>> {
    let slice = api.slice("tenants".to_owned(), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_tenants(slice.after, slice.limit).await?.map(TenantView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "operator", request_body = NewTenant,
    responses((status = 201, description = "The tenant", body = TenantView)))]
pub async fn create_tenant(State(api): State<Api>, Body(new): Body<NewTenant>) -> Reply<Created<TenantView>> {
    let tenant = catalog::create_tenant(api.app(), &new.name, new.fallback_url.as_deref()).await?;
    Ok(Created(format!("/v1/tenants/{}", tenant.id), tenant.into()))
}

/// Get a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}", tag = "operator",
    params(("tenant_id" = TenantRef, Path)),
    responses((status = 200, description = "The tenant", body = TenantView)))]
pub async fn get_tenant(State(api): State<Api>, PathId(id): PathId<TenantId>) -> Reply<Json<TenantView>> {
    Ok(Json(api.store().get_tenant(id).await?.into()))
}

/// Change a tenant
#[utoipa::path(patch, path = "/v1/tenants/{tenant_id}", tag = "operator",
    params(("tenant_id" = TenantRef, Path)), request_body = TenantPatch,
    responses((status = 200, description = "The tenant as it is now", body = TenantView)))]
pub async fn patch_tenant(
    State(api): State<Api>,
    PathId(id): PathId<TenantId>,
    Body(patch): Body<TenantPatch>,
) -> Reply<Json<TenantView>> {
    apply(&api, id, patch).await
}

/// Get your own tenant
#[utoipa::path(get, path = "/v1/tenant", tag = "catalog",
    responses((status = 200, description = "The tenant of the API key", body = TenantView)))]
pub async fn get_own_tenant(State(api): State<Api>, Tenant(tenant): Tenant) -> Reply<Json<TenantView>> {
    Ok(Json(api.store().get_tenant(tenant).await?.into()))
}

/// Change your own tenant
#[utoipa::path(patch, path = "/v1/tenant", tag = "catalog", request_body = TenantPatch,
    responses((status = 200, description = "The tenant as it is now", body = TenantView)))]
pub async fn patch_own_tenant(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(patch): Body<TenantPatch>,
) -> Reply<Json<TenantView>> {
    apply(&api, tenant, patch).await
}

async fn apply(api: &Api, id: TenantId, patch: TenantPatch) -> Reply<Json<TenantView>> {
    let tenant = match patch.fallback_url {
        Some(url) => catalog::set_fallback_url(api.app(), id, url.as_deref()).await?,
        None => api.store().get_tenant(id).await?,
    };
    Ok(Json(tenant.into()))
}
