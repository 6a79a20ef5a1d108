//! How an advertiser's server reports.

use super::auth::Tenant;
use super::body::Body;
use super::ids::{AdvertiserRef, PathId, Time};
use super::{Api, Created, Reply};
use crate::app::postbacks::{self, Postback};
use crate::app::settings::PostbackBody;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::PostbackKeyRecord;
use proto_model::AdvertiserId;
use utoipa::ToSchema;

/// Settings, and what there is of secrets.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Postback)]
pub struct PostbackView {
    #[serde(flatten)]
    pub settings: PostbackBody,
    /// Keys of signed postbacks, newest first; the older one is good until the next.
    pub keys: Vec<PostbackKeyView>,
    /// Whether there is a token that makes a postback a test.
    pub has_test_token: bool,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = PostbackKey)]
pub struct PostbackKeyView {
    pub key_id: u8,
    pub created_at: Time,
}

impl From<PostbackKeyRecord> for PostbackKeyView {
    fn from(key: PostbackKeyRecord) -> Self {
        Self { key_id: key.key_id, created_at: Time(key.created_at) }
    }
}

impl From<Postback> for PostbackView {
    fn from(postback: Postback) -> Self {
        Self {
            settings: postback.settings,
            keys: postback.keys.into_iter().map(PostbackKeyView::from).collect(),
            has_test_token: postback.advertiser.test_token_sha256.is_some(),
        }
    }
}

#[derive(serde::Serialize, ToSchema)]
pub struct NewPostbackKey {
    #[serde(flatten)]
    pub key: PostbackKeyView,
    /// `tbh_` and the 32 bytes of the key in base64url. Shown this once.
    #[schema(example = "tbh_...")]
    pub secret: String,
}

#[derive(serde::Serialize, ToSchema)]
pub struct TestToken {
    /// Sent instead of the token, it makes a postback a test: visible, never paid. Shown this once.
    #[schema(example = "tbt_...")]
    pub test_token: String,
}

/// Get how an advertiser's server reports
#[utoipa::path(get, path = "/v1/advertisers/{advertiser_id}/postback", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)),
    responses((status = 200, description = "The settings", body = PostbackView)))]
pub async fn get_postback(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
) -> Reply<Json<PostbackView>> {
    Ok(Json(postbacks::get_postback(api.app(), tenant, id).await?.into()))
}

/// Set how an advertiser's server reports
///
/// As a whole: what is absent has its default.
#[utoipa::path(put, path = "/v1/advertisers/{advertiser_id}/postback", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)), request_body = PostbackBody,
    responses((status = 200, description = "The settings as they are now", body = PostbackView)))]
pub async fn put_postback(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
    Body(settings): Body<PostbackBody>,
) -> Reply<Json<PostbackView>> {
    Ok(Json(postbacks::set_postback(api.app(), tenant, id, settings).await?.into()))
}

/// Make a new key for signed postbacks
///
/// The one before it stays good, so that the advertiser can change over; older ones end.
#[utoipa::path(post, path = "/v1/advertisers/{advertiser_id}/postback/keys", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)),
    responses((status = 201, description = "The key, shown once", body = NewPostbackKey)))]
pub async fn rotate_key(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
) -> Reply<Created<NewPostbackKey>> {
    let (key, secret) = postbacks::rotate_key(api.app(), tenant, id).await?;
    Ok(Created(format!("/v1/advertisers/{id}/postback"), NewPostbackKey { key: key.into(), secret }))
}

/// Make a new test token
#[utoipa::path(post, path = "/v1/advertisers/{advertiser_id}/postback/test-token", tag = "catalog",
    params(("advertiser_id" = AdvertiserRef, Path)),
    responses((status = 201, description = "The token, shown once; the one before it ends", body = TestToken)))]
pub async fn rotate_test_token(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<AdvertiserId>,
) -> Reply<Created<TestToken>> {
    let test_token = postbacks::rotate_test_token(api.app(), tenant, id).await?;
    Ok(Created(format!("/v1/advertisers/{id}/postback"), TestToken { test_token }))
}
