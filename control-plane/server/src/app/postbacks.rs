//! How an advertiser's server reports, and its secrets.

use super::settings::{self, PostbackBody};
use super::{App, clock, keys};
use crate::error::AppError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control_plane_store::catalog::{Advertiser, PostbackKeyRecord};
use proto_model::{AdvertiserId, PostbackAuth, TenantId};
use proto_wire::keys::sha256;

/// An advertiser with its settings and its keys, newest first.
pub struct Postback {
    pub advertiser: Advertiser,
    pub settings: PostbackBody,
    pub keys: Vec<PostbackKeyRecord>,
}

pub async fn get_postback(app: &App, tenant: TenantId, id: AdvertiserId) -> Result<Postback, AppError> {
    let advertiser = app.store.get_advertiser(tenant, id).await.map_err(AppError::of("advertiser"))?;
    let settings = settings::read(&advertiser.postback_json)
        .map_err(|error| AppError::internal("stored postback settings cannot be read", error))?;
    let keys = app.store.postback_keys(tenant, id).await?;
    Ok(Postback { advertiser, settings, keys })
}

pub async fn set_postback(
    app: &App,
    tenant: TenantId,
    id: AdvertiserId,
    settings: PostbackBody,
) -> Result<Postback, AppError> {
    settings.lower().map_err(settings::within(""))?;
    let keys = app.store.postback_keys(tenant, id).await?;
    let signed = settings.auth().map_err(settings::within(""))? == PostbackAuth::Hmac;
    // Whose advertiser it is comes first.
    app.store.get_advertiser(tenant, id).await.map_err(AppError::of("advertiser"))?;
    if signed && keys.is_empty() {
        return Err(AppError::invalid("auth", "make a key for signed postbacks first"));
    }
    let json = settings::written(&settings)?;
    let advertiser = app.store.set_postback(tenant, id, &json).await.map_err(AppError::of("advertiser"))?;
    Ok(Postback { advertiser, settings, keys })
}

/// A new key, and its secret as it is shown once: `tbh_` and the 32 bytes in base64url.
pub async fn rotate_key(
    app: &App,
    tenant: TenantId,
    id: AdvertiserId,
) -> Result<(PostbackKeyRecord, String), AppError> {
    let key = clock::random::<32>();
    let record = app
        .store
        .rotate_postback_key(tenant, id, key, clock::now())
        .await
        .map_err(AppError::of("advertiser"))?;
    Ok((record, format!("tbh_{}", URL_SAFE_NO_PAD.encode(key))))
}

/// A new test token: shown once, stored as a hash.
pub async fn rotate_test_token(app: &App, tenant: TenantId, id: AdvertiserId) -> Result<String, AppError> {
    let token = keys::secret_text("tbt_");
    let hash = sha256(token.as_bytes());
    app.store.set_test_token(tenant, id, Some(hash)).await.map_err(AppError::of("advertiser"))?;
    Ok(token)
}
