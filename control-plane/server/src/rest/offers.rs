//! Offers.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::click_caps::CapView;
use super::ids::{AdvertiserRef, Id, OfferRef, PathId, ProgramRef, Time};
use super::links::Switch;
use super::page::List;
use super::problem::{Problem, stored};
use super::terms::{NewTerms, TermsView, draft};
use super::{Api, Created, Reply};
use crate::app::settings::{KeptRouting, RoutingBody};
use crate::app::{catalog, click_caps};
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Offer;
use proto_model::{Capped, OfferId, PauseReason};
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
    /// Why it is paused, as far as anybody has said: `by_hand`, `conversion_cap` or `spend_cap`.
    pub pause_reason: Option<&'static str>,
    /// How its clicks go on.
    pub routing: RoutingBody,
    /// The newest version of the offer's terms.
    pub terms_version: u32,
    pub created_at: Time,
}

impl TryFrom<Offer> for OfferView {
    type Error = Problem;

    fn try_from(offer: Offer) -> Result<Self, Problem> {
        let KeptRouting(routing) = stored(&offer.routing_json)?;
        Ok(Self {
            id: Id(offer.id),
            program_id: Id(offer.program),
            advertiser_id: Id(offer.advertiser),
            name: offer.name,
            destination: offer.destination,
            click_id_parameter: offer.click_id_parameter,
            status: if offer.active { "active" } else { "paused" },
            pause_reason: offer.pause_reason.map(PauseReason::as_str),
            routing,
            terms_version: offer.terms_version,
            created_at: Time(offer.created_at),
        })
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
    /// Why it is paused: `by_hand` when it is absent, `conversion_cap` or `spend_cap`. Only with status `paused`.
    #[schema(example = "spend_cap")]
    pause_reason: Option<String>,
    /// Takes the place of the whole routing.
    routing: Option<RoutingBody>,
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
    let page = api.store().list_offers(tenant, program, slice.after, slice.limit).await?;
    let views = page.items.into_iter().map(OfferView::try_from).collect::<Result<_, _>>()?;
    Ok(Json(slice.list(views, page.next)))
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
    Ok(Created(format!("/v1/offers/{}", offer.id), offer.try_into()?))
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
    Ok(Json(offer.try_into()?))
}

/// Change an offer's destination or routing, or pause it
#[utoipa::path(patch, path = "/v1/offers/{offer_id}", tag = "catalog", params(("offer_id" = OfferRef, Path)),
    request_body = OfferPatch,
    responses((status = 200, description = "The offer as it is now", body = OfferView)))]
pub async fn patch_offer(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
    Body(patch): Body<OfferPatch>,
) -> Reply<Json<OfferView>> {
    let pause_reason = patch.pause_reason.as_deref().map(checked_reason).transpose()?;
    let patch = catalog::OfferPatch {
        pause_reason,
        destination: patch.destination,
        active: patch.status.map(|status| status == Switch::Active),
        routing: patch.routing,
    };
    let offer = catalog::change_offer(api.app(), tenant, id, patch).await?;
    Ok(Json(offer.try_into()?))
}

fn checked_reason(word: &str) -> Result<PauseReason, crate::AppError> {
    let message = "use one of by_hand, conversion_cap and spend_cap";
    PauseReason::parse(word).ok_or_else(|| crate::AppError::invalid("pause_reason", message))
}

/// Get how much of an offer's click cap is gone
#[utoipa::path(get, path = "/v1/offers/{offer_id}/click-cap", tag = "catalog",
    params(("offer_id" = OfferRef, Path)),
    responses((status = 200, description = "The window of now", body = CapView)))]
pub async fn get_offer_click_cap(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<OfferId>,
) -> Reply<Json<CapView>> {
    Ok(Json(CapView::from(click_caps::state(api.app(), tenant, Capped::Offer(id)).await?)))
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
