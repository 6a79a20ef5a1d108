//! Partners.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{Id, PartnerRef, PathId, Time};
use super::page::List;
use super::{Api, Created, PageQuery, Reply};
use crate::app::catalog;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Partner;
use proto_model::PartnerId;
use utoipa::ToSchema;

/// Who sends traffic and is paid for it.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Partner)]
pub struct PartnerView {
    pub id: PartnerRef,
    pub name: String,
    pub created_at: Time,
}

impl From<Partner> for PartnerView {
    fn from(partner: Partner) -> Self {
        Self { id: Id(partner.id), name: partner.name, created_at: Time(partner.created_at) }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPartner {
    #[schema(max_length = 200, min_length = 1)]
    name: String,
}

/// List partners
#[utoipa::path(get, path = "/v1/partners", tag = "catalog", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<PartnerView>)))]
pub async fn list_partners(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<PartnerView>>> {
    let slice = api.slice(format!("{tenant} partners"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_partners(tenant, slice.after, slice.limit).await?.map(PartnerView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create a partner
#[utoipa::path(post, path = "/v1/partners", tag = "catalog", request_body = NewPartner,
    responses((status = 201, description = "The partner", body = PartnerView)))]
pub async fn create_partner(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewPartner>,
) -> Reply<Created<PartnerView>> {
    let partner = catalog::create_partner(api.app(), tenant, &new.name).await?;
    Ok(Created(format!("/v1/partners/{}", partner.id), partner.into()))
}

/// Get a partner
#[utoipa::path(get, path = "/v1/partners/{partner_id}", tag = "catalog",
    params(("partner_id" = PartnerRef, Path)),
    responses((status = 200, description = "The partner", body = PartnerView)))]
pub async fn get_partner(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<PartnerId>,
) -> Reply<Json<PartnerView>> {
    let partner = api.store().get_partner(tenant, id).await.map_err(crate::AppError::of("partner"))?;
    Ok(Json(partner.into()))
}
