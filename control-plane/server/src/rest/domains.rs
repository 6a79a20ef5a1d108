//! The tenant's own hosts.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{PathText, Time};
use super::page::List;
use super::{Api, Created, PageQuery, Reply, present};
use crate::app::domains::{self, Pages, PagesPatch};
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Domain;
use http::StatusCode;
use utoipa::ToSchema;

/// A host under which links have names: point its DNS at the edges.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Domain)]
pub struct DomainView {
    #[schema(example = "go.example")]
    pub host: String,
    /// Where the bare host goes; null = the tenant's fallback. Likewise the others.
    pub home_url: Option<String>,
    /// Where a name goes that no link has.
    pub not_found_url: Option<String>,
    /// Where a link goes whose time is over.
    pub expired_url: Option<String>,
    pub created_at: Time,
}

impl From<Domain> for DomainView {
    fn from(domain: Domain) -> Self {
        Self {
            host: domain.host,
            home_url: domain.home_url,
            not_found_url: domain.not_found_url,
            expired_url: domain.expired_url,
            created_at: Time(domain.created_at),
        }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Lower case, without a port; other scripts in their `xn--` form.
    #[schema(example = "go.example")]
    host: String,
    home_url: Option<String>,
    not_found_url: Option<String>,
    expired_url: Option<String>,
}

/// JSON Merge Patch: a member that is absent stays as it is, null clears it.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    home_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    not_found_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    expired_url: Option<Option<String>>,
}

/// List domains
#[utoipa::path(get, path = "/v1/domains", tag = "catalog", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<DomainView>)))]
pub async fn list_domains(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<DomainView>>> {
    let slice = api.slice(format!("{tenant} domains"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_domains(tenant, slice.after, slice.limit).await?.map(DomainView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Add a domain
#[utoipa::path(post, path = "/v1/domains", tag = "catalog", request_body = NewDomain,
    responses((status = 201, description = "The domain", body = DomainView),
        (status = 409, description = "The host is somebody's already", body = super::problem::ProblemBody,
            content_type = "application/problem+json")))]
pub async fn create_domain(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewDomain>,
) -> Reply<Created<DomainView>> {
    let NewDomain { host, home_url, not_found_url, expired_url } = new;
    let pages = Pages { home_url, not_found_url, expired_url };
    let domain = domains::create_domain(api.app(), tenant, &host, pages).await?;
    Ok(Created(format!("/v1/domains/{host}"), domain.into()))
}

/// Get a domain
#[utoipa::path(get, path = "/v1/domains/{host}", tag = "catalog", params(("host" = String, Path)),
    responses((status = 200, description = "The domain", body = DomainView)))]
pub async fn get_domain(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(host): PathText,
) -> Reply<Json<DomainView>> {
    let domain = api.store().get_domain(tenant, &host).await.map_err(crate::AppError::of("domain"))?;
    Ok(Json(domain.into()))
}

/// Change where a domain sends those whom no link takes along
#[utoipa::path(patch, path = "/v1/domains/{host}", tag = "catalog", params(("host" = String, Path)),
    request_body = DomainPatch,
    responses((status = 200, description = "The domain as it is now", body = DomainView)))]
pub async fn patch_domain(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(host): PathText,
    Body(patch): Body<DomainPatch>,
) -> Reply<Json<DomainView>> {
    let DomainPatch { home_url, not_found_url, expired_url } = patch;
    let patch = PagesPatch { home_url, not_found_url, expired_url };
    Ok(Json(domains::change_domain(api.app(), tenant, &host, patch).await?.into()))
}

/// Take a domain away
///
/// Links that have names on it keep it: take their names away first.
#[utoipa::path(delete, path = "/v1/domains/{host}", tag = "catalog", params(("host" = String, Path)),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "Links have names on it", body = super::problem::ProblemBody,
            content_type = "application/problem+json")))]
pub async fn delete_domain(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(host): PathText,
) -> Reply<StatusCode> {
    domains::delete_domain(api.app(), tenant, &host).await?;
    Ok(StatusCode::NO_CONTENT)
}
