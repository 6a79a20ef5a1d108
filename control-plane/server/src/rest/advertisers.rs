//! Advertisers and their postback tokens.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{AdvertiserRef, Id, PathId, Time};
use super::page::List;
use super::{Api, Created, PageQuery, Reply};
use crate::app::{catalog, keys};
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Advertiser;
use proto_model::AdvertiserId;
use proto_wire::keys::sha256;
use utoipa::ToSchema;

/// Who pays.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Advertiser)]
pub struct AdvertiserView {
    pub id: AdvertiserRef,
    pub name: String,
    pub created_at: Time,
}

impl From<Advertiser> for AdvertiserView {
    fn from(advertiser: Advertiser) -> Self {
        Self { id: Id(advertiser.id), name: advertiser.name, created_at: Time(advertiser.created_at) }
    }
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = AdvertiserCreated)]
pub struct NewAdvertiserView {
    #[serde(flatten)]
    pub advertiser: AdvertiserView,
    /// Sent as `token` with postbacks. Shown this once; only its hash is kept.
    #[schema(example = "tbp_...")]
    pub postback_token: String,
}

#[derive(serde::Serialize, ToSchema)]
pub struct PostbackToken {
    /// Shown this once; the token before it stops working when edges have the next snapshot.
    #[schema(example = "tbp_...")]
    pub postback_token: String,
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdvertiser {
    #[schema(max_length = 200, min_length = 1)]
    name: String,
}

/// List advertisers
#[utoipa::path(get, path = "/v1/advertisers", tag = "catalog", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<AdvertiserView>)))]
pub async fn list_advertisers(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<AdvertiserView>>> {
    let slice = api.slice(format!("{tenant} advertisers"), query.limit, query.cursor.as_deref())?;
    let page =
        api.store().list_advertisers(tenant, slice.after, slice.limit).await?.map(AdvertiserView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create an advertiser
#[utoipa::path(post, path = "/v1/advertisers", tag = "catalog", request_body = NewAdvertiser,
    responses((status = 201, description = "The advertiser with its postback token, shown once",
        body = NewAdvertiserView)))]
pub async fn create_advertiser(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewAdvertiser>,
) -> Reply<Created<NewAdvertiserView>> {
    let (advertiser, postback_token) = catalog::create_advertiser(api.app(), tenant, &new.name).await?;
    let view = NewAdvertiserView { advertiser: advertiser.into(), postback_token };
    Ok(Created(format!("/v1/advertisers/{}", view.advertiser.id.0), view))
}

/// Get an advertiser
#[utoipa::path(get, path = "/v1/advertisers/{advertiser_id}", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)),
    responses((status = 200, description = "The advertiser", body = AdvertiserView)))]
pub async fn get_advertiser(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
) -> Reply<Json<AdvertiserView>> {
    let advertiser =
        api.store().get_advertiser(tenant, id).await.map_err(crate::AppError::of("advertiser"))?;
    Ok(Json(advertiser.into()))
}

/// Give an advertiser a new postback token
#[utoipa::path(post, path = "/v1/advertisers/{advertiser_id}/postback-token", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)),
    responses((status = 201, description = "The new token, shown once", body = PostbackToken)))]
pub async fn rotate_postback_token(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
) -> Reply<Created<PostbackToken>> {
    let postback_token = keys::secret_text("tbp_");
    let hash = sha256(postback_token.as_bytes());
    api.store()
        .set_postback_token(tenant, id, Some(hash))
        .await
        .map_err(crate::AppError::of("advertiser"))?;
    Ok(Created(format!("/v1/advertisers/{id}"), PostbackToken { postback_token }))
}
