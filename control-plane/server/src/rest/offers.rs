//! Offers.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{AdvertiserRef, Id, OfferRef, PathId, ProgramRef, Time};
use super::links::Switch;
use super::page::List;
use super::terms::{NewTerms, TermsView, draft};
use super::{Api, Created, Reply};
use crate::app::catalog;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::{Offer, OfferChange};
use proto_model::OfferId;
use utoipa::{IntoParams, ToSchema};

/// Destination, goals, commission plan.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Offer)]
pub struct OfferView {
    pub id: OfferRef,
    pub program_id: ProgramRef,
    pub advertiser_id: AdvertiserRef,
    pub name: String,
    /// Where the shopper lands.
    pub destination: String,
    /// The query parameter that carries the click id there.
    pub click_id_parameter: String,
    /// `active` or `paused`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// The newest version of the offer's terms.
    pub terms_version: u32,
    pub created_at: Time,
}

impl From<Offer> for OfferView {
    fn from(offer: Offer) -> Self {
        Self {
            id: Id(offer.id),
            program_id: Id(offer.program),
            advertiser_id: Id(offer.advertiser),
            name: offer.name,
            destination: offer.destination,
            click_id_parameter: offer.click_id_parameter,
            status: if offer.active { "active" } else { "paused" },
            terms_version: offer.terms_version,
            created_at: Time(offer.created_at),
        }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOffer {
    program_id: ProgramRef,
    #[schema(max_length = 200, min_length = 1)]
    name: String,
    #[schema(example = "https://shop.example/robots")]
    destination: String,
    /// `click_id` by default.
    click_id_parameter: Option<String>,
    terms: NewTerms,
}

/// JSON Merge Patch. Terms change by a new version: `POST /v1/offers/{offer_id}/terms`.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferPatch {
    destination: Option<String>,
    status: Option<Switch>,
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfferQuery {
    program_id: Option<ProgramRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List offers
#[utoipa::path(get, path = "/v1/offers", tag = "catalog", params(OfferQuery),
    responses((status = 200, description = "A page, newest first", body = List<OfferView>)))]
pub async fn list_offers(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<OfferQuery>,
) -> Reply<Json<List<OfferView>>> {
    let program = query.program_id.map(|id| id.0);
    let slice = api.slice(format!("{tenant} offers {program:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_offers(tenant, program, slice.after, slice.limit).await?.map(OfferView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create an offer with its first terms
#[utoipa::path(post, path = "/v1/offers", tag = "catalog", request_body = NewOffer,
    responses((status = 201, description = "The offer", body = OfferView)))]
pub async fn create_offer(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewOffer>,
) -> Reply<Created<OfferView>> {
    let new = catalog::NewOffer {
        program: new.program_id.0,
        terms: draft(&new.terms, "/terms")?,
        name: new.name,
        destination: new.destination,
        click_id_parameter: new.click_id_parameter,
    };
    let offer = catalog::create_offer(api.app(), tenant, new).await?;
    Ok(Created(format!("/v1/offers/{}", offer.id), offer.into()))
}

/// Get an offer
#[utoipa::path(get, path = "/v1/offers/{offer_id}", tag = "catalog", params(("offer_id" = OfferRef, Path)),
    responses((status = 200, description = "The offer", body = OfferView)))]
pub async fn get_offer(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
) -> Reply<Json<OfferView>> {
    let offer = api.store().get_offer(tenant, id).await.map_err(crate::AppError::of("offer"))?;
    Ok(Json(offer.into()))
}

/// Change an offer's destination, or pause it
#[utoipa::path(patch, path = "/v1/offers/{offer_id}", tag = "catalog", params(("offer_id" = OfferRef, Path)),
    request_body = OfferPatch,
    responses((status = 200, description = "The offer as it is now", body = OfferView)))]
pub async fn patch_offer(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
    Body(patch): Body<OfferPatch>,
) -> Reply<Json<OfferView>> {
    let change = OfferChange {
        destination: patch.destination,
        active: patch.status.map(|status| status == Switch::Active),
        ..OfferChange::default()
    };
    let offer = catalog::change_offer(api.app(), tenant, id, change).await?;
    Ok(Json(offer.into()))
}

/// List the versions of an offer's terms
#[utoipa::path(get, path = "/v1/offers/{offer_id}/terms", tag = "catalog",
    params(("offer_id" = OfferRef, Path)),
    responses((status = 200, description = "Every version, newest first", body = List<TermsView>)))]
pub async fn list_terms(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
) -> Reply<Json<List<TermsView>>> {
    let offer = api.store().get_offer(tenant, id).await.map_err(crate::AppError::of("offer"))?;
    let terms = api.store().offer_terms(tenant, offer.advertiser, id).await?;
    Ok(Json(super::page::whole(terms.iter().rev().map(TermsView::from).collect())))
}

/// Put new terms in force
#[utoipa::path(post, path = "/v1/offers/{offer_id}/terms", tag = "catalog",
    params(("offer_id" = OfferRef, Path)), request_body = NewTerms,
    responses((status = 201, description = "The new version", body = TermsView)))]
pub async fn put_terms(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
    Body(new): Body<NewTerms>,
) -> Reply<Created<TermsView>> {
    let terms = catalog::put_terms(api.app(), tenant, id, &draft(&new, "")?).await?;
    Ok(Created(format!("/v1/offers/{id}/terms"), TermsView::from(&terms)))
}
