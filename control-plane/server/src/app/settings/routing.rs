//! How an offer's clicks go on, as JSON.

use super::page::{checked_host, checked_page, host_of};
use super::routes::{self, Lists, RouteBody};
use super::zones;
use crate::app::rules_json::{BodyError, SetBody, refuse};
use crate::rest::ids::Time;
use proto_model::routing::{PREVIEW_DESCRIPTION_MAX, PREVIEW_TITLE_MAX};
use proto_model::{CapWindow, OfferId, RedirectKind, UnixMicros};
use proto_wire::convert::route_table_to_wire;
use proto_wire::edge_v1;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAX_HOSTS: usize = 64;
/// Thirty days: edges keep visitors no longer.
const MAX_UNIQUE_SECS: u32 = 30 * 86_400;
/// What most networks count by.
pub(super) const UNIQUE_SECS: u32 = 86_400;
const MAX_COOKIE_DAYS: u32 = 400;

/// Written as a whole: what is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = OfferRouting)]
pub struct RoutingBody {
    /// `found` (302), `moved` (301), `temporary` (307), `meta`, `js` or `no_referrer`.
    #[schema(example = "found")]
    pub redirect: String,
    /// Hosts that deep links and links' own destinations may lead to; `*.shop.example` is everything below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["shop.example", "*.shop.example"]))]
    pub deep_link_hosts: Vec<String>,
    /// Parameters of the click that Tributary does not know go on to the landing page.
    pub pass_through: bool,
    /// IANA name; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
    /// A second click of the same visitor within it is not unique; 0 = every click is. A day when absent.
    #[schema(maximum = 2_592_000)]
    pub unique_window_secs: u32,
    /// How long the edge keeps a click in a cookie of its own, for pixels on pages that do not know the click id;
    /// 0, the default, = no cookie.
    #[schema(maximum = 400)]
    #[serde(skip_serializing_if = "is_zero")]
    pub cookie_days: u32,
    /// From then on the offer takes no clicks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click_cap: Option<CapBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewBody>,
    /// A click that no route matches is not for this offer.
    pub strict: bool,
    /// Asked first; a click that none matches goes to the offer's destination.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteBody>,
    /// Asked when the offer is paused, expired, over its cap, or strict and unmatched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<RouteBody>,
    /// Lists that routes share by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetBody>,
}

impl Default for RoutingBody {
    fn default() -> Self {
        Self {
            redirect: RedirectKind::Found.as_str().to_owned(),
            deep_link_hosts: Vec::new(),
            pass_through: false,
            timezone: None,
            unique_window_secs: UNIQUE_SECS,
            cookie_days: 0,
            expires_at: None,
            click_cap: None,
            preview: None,
            strict: false,
            routes: Vec::new(),
            fallbacks: Vec::new(),
            sets: Vec::new(),
        }
    }
}

/// So many clicks in a window; what comes over it goes to the fallbacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClickCap)]
pub struct CapBody {
    #[schema(minimum = 1)]
    pub limit: u64,
    /// `total`, `day` (in the offer's time zone) or `hour`.
    #[schema(example = "day")]
    pub window: String,
}

/// What messengers and social networks show of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LinkPreview)]
pub struct PreviewBody {
    #[schema(max_length = 120, min_length = 1)]
    pub title: String,
    #[serde(default)]
    #[schema(max_length = 300)]
    pub description: String,
    /// An https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Serde hands over a reference.
fn is_zero(days: &u32) -> bool {
    *days == 0
}

impl RoutingBody {
    /// What only holds at the moment of writing, beside this destination of the offer; [`RoutingBody::lower`]
    /// checks the rest.
    pub fn check(&self, destination: &str, now: UnixMicros) -> Result<(), BodyError> {
        match self.expires_at {
            Some(end) if end.0 <= now => Err(refuse("/expires_at", "use a time in the future")),
            _ => self.check_hosts(destination),
        }
    }

    /// Offers that clicks may be sent on to, each with its place.
    pub fn offers(&self) -> impl Iterator<Item = (String, OfferId)> + '_ {
        let lists = [("routes", &self.routes), ("fallbacks", &self.fallbacks)];
        lists.into_iter().flat_map(|(name, list)| {
            list.iter().enumerate().filter_map(move |(index, route)| {
                route.offer_id.map(|offer| (format!("/{name}/{index}/offer_id"), offer.0))
            })
        })
    }

    /// What edges read.
    pub fn lower(&self, offer: OfferId) -> Result<edge_v1::OfferRouting, BodyError> {
        let redirect = RedirectKind::parse(&self.redirect).ok_or_else(|| {
            refuse("/redirect", "use one of found, moved, temporary, meta, js and no_referrer")
        })?;
        if self.unique_window_secs > MAX_UNIQUE_SECS {
            return Err(refuse("/unique_window_secs", "use at most 2592000 seconds, which is 30 days"));
        }
        if self.cookie_days > MAX_COOKIE_DAYS {
            return Err(refuse("/cookie_days", "use at most 400 days: no browser keeps a cookie for longer"));
        }
        if self.timezone.as_deref().is_some_and(|name| zones::zone(name).is_none()) {
            return Err(refuse(
                "/timezone",
                "use a name of the IANA time zone database such as Europe/Berlin",
            ));
        }
        let Self { strict, routes, fallbacks, sets, .. } = self;
        let lowered = routes::lower(offer, &Lists { strict: *strict, routes, fallbacks, sets })?;
        let plain = !strict && routes.is_empty() && fallbacks.is_empty();
        Ok(edge_v1::OfferRouting {
            redirect: if redirect == RedirectKind::Found { 0 } else { redirect.code().into() },
            deep_link_hosts: self.deep_link_hosts.clone(),
            pass_through: self.pass_through,
            time_zone: self.timezone.clone().unwrap_or_default(),
            unique_window_secs: self.unique_window_secs,
            expires_at_secs: self.expires_at.map_or(0, |end| end.0.secs()),
            click_cap: self.click_cap.as_ref().map(CapBody::lower).transpose()?,
            preview: self.preview.as_ref().map(PreviewBody::lower).transpose()?,
            pages: lowered.pages,
            cookie_days: self.cookie_days,
            table: (!plain).then(|| route_table_to_wire(&lowered.table)),
        })
    }

    /// Names of the public DNS, or the host that the offer's destination has anyway.
    fn check_hosts(&self, destination: &str) -> Result<(), BodyError> {
        if self.deep_link_hosts.len() > MAX_HOSTS {
            return Err(refuse("/deep_link_hosts", "name at most 64 hosts"));
        }
        let own = host_of(destination);
        for (index, host) in self.deep_link_hosts.iter().enumerate() {
            if own.as_ref() != Some(host) {
                checked_host(&format!("/deep_link_hosts/{index}"), host.strip_prefix("*.").unwrap_or(host))?;
            }
        }
        Ok(())
    }
}

impl CapBody {
    fn lower(&self) -> Result<edge_v1::ClickCap, BodyError> {
        let window = CapWindow::parse(&self.window)
            .ok_or_else(|| refuse("/click_cap/window", "use one of total, day and hour"))?;
        if self.limit == 0 {
            return Err(refuse(
                "/click_cap/limit",
                "use at least 1; pause the offer if it shall get no clicks",
            ));
        }
        Ok(edge_v1::ClickCap { limit: self.limit, window: window.code().into() })
    }
}

impl PreviewBody {
    fn lower(&self) -> Result<edge_v1::Preview, BodyError> {
        let fits =
            |text: &str, max: usize| text.chars().count() <= max && !text.chars().any(char::is_control);
        if self.title.trim().is_empty() || !fits(&self.title, PREVIEW_TITLE_MAX) {
            return Err(refuse("/preview/title", "use 1 to 120 printable characters"));
        }
        if !fits(&self.description, PREVIEW_DESCRIPTION_MAX) {
            return Err(refuse("/preview/description", "use at most 300 printable characters"));
        }
        let image = match &self.image {
            None => String::new(),
            Some(image) if image.starts_with("https://") => checked_page("/preview/image", image)?,
            Some(_) => return Err(refuse("/preview/image", "use a URL that starts with https://")),
        };
        Ok(edge_v1::Preview { title: self.title.clone(), description: self.description.clone(), image })
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
