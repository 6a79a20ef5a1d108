//! Links.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::click_caps::CapView;
use super::ids::{Id, LinkRef, OfferRef, PartnerRef, PathId, Time};
use super::page::List;
use super::problem::{Problem, stored};
use super::{Api, Created, Reply, present};
use crate::app::settings::LinkSettingsBody;
use crate::app::{click_caps, links};
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::{Link, LinkFilter, Vanity};
use proto_model::{Capped, LinkId};
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
    /// Its name on one of your domains.
    pub vanity: Option<VanityBody>,
    pub settings: LinkSettingsBody,
    pub created_at: Time,
}

/// `https://{domain}/{slug}`; a name is one link's.
#[derive(serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Vanity)]
pub struct VanityBody {
    /// One of `/v1/domains`.
    #[schema(example = "go.example")]
    domain: String,
    /// 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`.
    #[schema(example = "spring-sale")]
    slug: String,
}

impl From<VanityBody> for Vanity {
    fn from(VanityBody { domain, slug }: VanityBody) -> Self {
        Self { host: domain, slug }
    }
}

impl TryFrom<Link> for LinkView {
    type Error = Problem;

    fn try_from(link: Link) -> Result<Self, Problem> {
        let settings = stored(&link.settings_json)?;
        Ok(Self {
            id: Id(link.id),
            offer_id: Id(link.offer),
            partner_id: Id(link.partner),
            status: if link.active { "active" } else { "paused" },
            path: format!("/c/{}", link.id),
            vanity: link.vanity.map(|Vanity { host, slug }| VanityBody { domain: host, slug }),
            settings,
            created_at: Time(link.created_at),
        })
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    offer_id: OfferRef,
    partner_id: PartnerRef,
    vanity: Option<VanityBody>,
}

/// JSON Merge Patch: a member that is absent stays as it is.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkPatch {
    /// `active` or `paused`.
    status: Option<Switch>,
    /// Takes the place of all settings.
    settings: Option<LinkSettingsBody>,
    /// Another name; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<VanityBody>)]
    vanity: Option<Option<VanityBody>>,
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
    let page = api.store().list_links(tenant, &filter, slice.after, slice.limit).await?;
    let views = page.items.into_iter().map(LinkView::try_from).collect::<Result<_, _>>()?;
    Ok(Json(slice.list(views, page.next)))
}

/// Create a link
#[utoipa::path(post, path = "/v1/links", tag = "catalog", request_body = NewLink,
    responses((status = 201, description = "The link", body = LinkView)))]
pub async fn create_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewLink>,
) -> Reply<Created<LinkView>> {
    let vanity = new.vanity.map(Vanity::from);
    let link = links::create_link(api.app(), tenant, new.offer_id.0, new.partner_id.0, vanity).await?;
    Ok(Created(format!("/v1/links/{}", link.id), link.try_into()?))
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
    Ok(Json(link.try_into()?))
}

/// Change a link's settings or name, pause or resume it
#[utoipa::path(patch, path = "/v1/links/{link_id}", tag = "catalog", params(("link_id" = LinkRef, Path)),
    request_body = LinkPatch, responses((status = 200, description = "The link as it is now", body = LinkView)))]
pub async fn patch_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<LinkId>,
    Body(patch): Body<LinkPatch>,
) -> Reply<Json<LinkView>> {
    let patch = links::LinkPatch {
        active: patch.status.map(|status| status == Switch::Active),
        settings: patch.settings,
        vanity: patch.vanity.map(|vanity| vanity.map(Vanity::from)),
    };
    Ok(Json(links::change_link(api.app(), tenant, id, patch).await?.try_into()?))
}

/// Get how many of a link's clicks are gone
#[utoipa::path(get, path = "/v1/links/{link_id}/click-cap", tag = "catalog",
    params(("link_id" = LinkRef, Path)),
    responses((status = 200, description = "Of its `max_clicks`", body = CapView)))]
pub async fn get_link_click_cap(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<LinkId>,
) -> Reply<Json<CapView>> {
    Ok(Json(CapView::from(click_caps::state(api.app(), tenant, Capped::Link(id)).await?)))
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeepLink {
    /// A page anywhere, by https.
    #[schema(example = "https://anywhere.example/mowers/7")]
    url: String,
    /// Within a year.
    expires_at: Time,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = DeepLink)]
pub struct DeepLinkView {
    /// The path on every edge, with the page and its signature.
    #[schema(example = "/c/lnk_04hmasw9?url=https%3A%2F%2Fanywhere.example%2F&exp=1798761600&sig=AtJE...")]
    pub path: String,
    pub expires_at: Time,
}

/// Sign a deep link
///
/// Pages on the offer's `deep_link_hosts` need no signature: add `?url=` to the link.
#[utoipa::path(post, path = "/v1/links/{link_id}/deep-links", tag = "catalog",
    params(("link_id" = LinkRef, Path)), request_body = NewDeepLink,
    responses((status = 201, description = "The deep link; it is not kept", body = DeepLinkView)))]
pub async fn sign_deep_link(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<LinkId>,
    Body(new): Body<NewDeepLink>,
) -> Reply<Created<DeepLinkView>> {
    let expires_at = new.expires_at.0;
    let signed = links::sign_deep_link(api.app(), tenant, id, &new.url, expires_at).await?;
    let page: String = url::form_urlencoded::byte_serialize(signed.page.as_bytes()).collect();
    let path = format!("/c/{id}?url={page}&exp={}&sig={}", expires_at.secs(), signed.signature);
    let expires_at = Time(proto_model::UnixMicros::from_secs(expires_at.secs()));
    Ok(Created(path.clone(), DeepLinkView { path, expires_at }))
}
