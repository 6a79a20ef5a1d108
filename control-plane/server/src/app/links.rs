//! Links, their names on the tenant's hosts, and signed deep links.

use super::settings::{self, KeptRouting, LinkSettingsBody};
use super::{App, clock};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::catalog::{Link, LinkChange, Vanity};
use proto_model::{LinkId, OfferId, PartnerId, TenantId, UnixMicros, is_slug};
use proto_wire::click_id::ClickKey;
use proto_wire::deep_link::DeepLinkKeys;

/// A signed deep link is good for a year at most: nobody can take it back but by rotating the tenant's keys.
const MAX_DEEP_LINK_SECS: i64 = 366 * 86_400;

/// What changes on a link; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct LinkPatch {
    pub active: Option<bool>,
    /// As a whole.
    pub settings: Option<LinkSettingsBody>,
    pub vanity: Option<Option<Vanity>>,
}

pub async fn create_link(
    app: &App,
    tenant: TenantId,
    offer: OfferId,
    partner: PartnerId,
    vanity: Option<Vanity>,
) -> Result<Link, AppError> {
    app.store.get_offer(tenant, offer).await.map_err(AppError::of("offer"))?;
    app.store.get_partner(tenant, partner).await.map_err(AppError::of("partner"))?;
    if let Some(vanity) = &vanity {
        check_vanity(app, tenant, vanity).await?;
    }
    let link = Link {
        tenant,
        id: LinkId::from_random(clock::random_u64()),
        offer,
        partner,
        active: true,
        settings_json: "{}".to_owned(),
        vanity,
        created_at: clock::now(),
    };
    app.store.create_link(&link).await.map_err(AppError::of("offer"))?;
    Ok(link)
}

pub async fn change_link(
    app: &App,
    tenant: TenantId,
    id: LinkId,
    patch: LinkPatch,
) -> Result<Link, AppError> {
    let settings_json = match &patch.settings {
        Some(settings) => {
            check_settings(app, tenant, id, settings).await?;
            Some(settings::written(settings)?)
        }
        None => None,
    };
    if let Some(Some(vanity)) = &patch.vanity {
        check_vanity(app, tenant, vanity).await?;
    }
    let change = LinkChange { active: patch.active, settings_json, vanity: patch.vanity };
    app.store.update_link(tenant, id, &change).await.map_err(AppError::of("link"))
}

/// Whether its hits move no money. What cannot be read any more is no test.
pub fn is_test(link: &Link) -> bool {
    settings::read::<LinkSettingsBody>(&link.settings_json).is_ok_and(|settings| settings.test)
}

pub async fn set_link_active(
    app: &App,
    tenant: TenantId,
    link: LinkId,
    active: bool,
) -> Result<Link, AppError> {
    change_link(app, tenant, link, LinkPatch { active: Some(active), ..LinkPatch::default() }).await
}

async fn check_settings(
    app: &App,
    tenant: TenantId,
    id: LinkId,
    settings: &LinkSettingsBody,
) -> Result<(), AppError> {
    let link = app.store.get_link(tenant, id).await.map_err(AppError::of("link"))?;
    let offer = app.store.get_offer(tenant, link.offer).await.map_err(AppError::of("offer"))?;
    let KeptRouting(routing) = settings::read(&offer.routing_json)
        .map_err(|error| AppError::internal("a stored routing cannot be read", error))?;
    settings.check(&routing, &offer.destination, clock::now()).map_err(settings::within("/settings"))
}

async fn check_vanity(app: &App, tenant: TenantId, vanity: &Vanity) -> Result<(), AppError> {
    let refused = |pointer: &str, message: String| {
        Err(AppError::InvalidAt { pointer: format!("/vanity/{pointer}"), message })
    };
    if !is_slug(&vanity.slug) {
        let message = "use 1 to 64 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit; some names \
            that edges use themselves are taken";
        return refused("slug", message.to_owned());
    }
    match app.store.get_domain(tenant, &vanity.host).await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound) => {
            refused("domain", format!("`{}` is not one of your domains", vanity.host))
        }
        Err(other) => Err(other.into()),
    }
}

/// A page anywhere, and the signature that lets the link lead there until then.
pub struct DeepLink {
    pub page: String,
    pub signature: String,
}

/// The page comes back as it must stand in the URL, percent-encoded once more.
pub async fn sign_deep_link(
    app: &App,
    tenant: TenantId,
    link: LinkId,
    page: &str,
    expires_at: UnixMicros,
) -> Result<DeepLink, AppError> {
    app.store.get_link(tenant, link).await.map_err(AppError::of("link"))?;
    let page = settings::checked_page("/url", page).map_err(settings::within(""))?;
    if !page.starts_with("https://") {
        return Err(AppError::invalid("url", "use a URL that starts with https://"));
    }
    let now = clock::now();
    if expires_at <= now || expires_at > now.plus_secs(MAX_DEEP_LINK_SECS) {
        return Err(AppError::invalid("expires_at", "use a time in the future, within a year"));
    }
    let keys = app.store.click_keys(tenant).await?;
    let keys: Vec<_> =
        keys.into_iter().map(|key| (ClickKey { key_id: key.key_id, key: key.key }, key.active)).collect();
    let signature = DeepLinkKeys::new(tenant, &keys).sign(link, &page, expires_at.secs());
    let signature = signature.ok_or(AppError::Unavailable("the tenant has no key"))?;
    Ok(DeepLink { page, signature })
}
