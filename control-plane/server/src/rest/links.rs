//! Links.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{Id, LinkRef, OfferRef, PartnerRef, PathId, Time};
use super::page::List;
use super::{Api, Created, Reply};
use crate::app::catalog;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::{Link, LinkFilter};
use proto_model::LinkId;
use utoipa::{IntoParams, ToSchema};

/// Partner x offer: what a shopper clicks.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkView {
    pub id: LinkRef,
    pub offer_id: OfferRef,
    pub partner_id: PartnerRef,
    /// `active` or `paused`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// The path on every edge.
    #[schema(example = "/c/lnk_04hmasw9")]
    pub path: String,
    pub created_at: Time,
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        Self {
            id: Id(link.id),
            offer_id: Id(link.offer),
            partner_id: Id(link.partner),
            status: if link.active { "active" } else { "paused" },
            path: format!("/c/{}", link.id),
            created_at: Time(link.created_at),
        }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    offer_id: OfferRef,
    partner_id: PartnerRef,
}

/// JSON Merge Patch.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkPatch {
    /// `active` or `paused`.
    status: Option<Switch>,
}

#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ActiveOrPaused)]
pub enum Switch {
    Active,
    Paused,
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinkQuery {
    offer_id: Option<OfferRef>,
    partner_id: Option<PartnerRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List links
#[utoipa::path(get, path = "/v1/links", tag = "catalog", params(LinkQuery),
    responses((status = 200, description = "A page, newest first", body = List<LinkView>)))]
pub async fn list_links(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<LinkQuery>,
) -> Reply<Json<List<LinkView>>> {
    let filter =
        LinkFilter { offer: query.offer_id.map(|id| id.0), partner: query.partner_id.map(|id| id.0) };
    let slice = api.slice(format!("{tenant} links {filter:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_links(tenant, &filter, slice.after, slice.limit).await?.map(LinkView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create a link
#[utoipa::path(post, path = "/v1/links", tag = "catalog", request_body = NewLink,
    responses((status = 201, description = "The link", body = LinkView)))]
pub async fn create_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewLink>,
) -> Reply<Created<LinkView>> {
    let link = catalog::create_link(api.app(), tenant, new.offer_id.0, new.partner_id.0).await?;
    Ok(Created(format!("/v1/links/{}", link.id), link.into()))
}

/// Get a link
#[utoipa::path(get, path = "/v1/links/{link_id}", tag = "catalog", params(("link_id" = LinkRef, Path)),
    responses((status = 200, description = "The link", body = LinkView)))]
pub async fn get_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<LinkId>,
) -> Reply<Json<LinkView>> {
    let link = api.store().get_link(tenant, id).await.map_err(crate::AppError::of("link"))?;
    Ok(Json(link.into()))
}

/// Pause or resume a link
#[utoipa::path(patch, path = "/v1/links/{link_id}", tag = "catalog", params(("link_id" = LinkRef, Path)),
    request_body = LinkPatch, responses((status = 200, description = "The link as it is now", body = LinkView)))]
pub async fn patch_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<LinkId>,
    Body(patch): Body<LinkPatch>,
) -> Reply<Json<LinkView>> {
    let link = match patch.status {
        Some(status) => catalog::set_link_active(api.app(), tenant, id, status == Switch::Active).await?,
        None => api.store().get_link(tenant, id).await.map_err(crate::AppError::of("link"))?,
    };
    Ok(Json(link.into()))
}
