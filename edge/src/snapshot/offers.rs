//! Offers, as clicks meet them.

use super::Snapshot;
use super::build::{expiry, page};
use super::destination::Destination;
use super::zones::{TimeZone, Zones};
use proto_model::{
    AdvertiserId, CapWindow, ClickCap, HostList, OfferId, PauseReason, Preview, ProgramId, RedirectKind,
    TenantId, UnixMicros,
};
use proto_rules::{Facts, RouteTable, Stop, follow};
use proto_wire::convert::route_table_from_wire;
use proto_wire::edge_v1;
use std::cell::RefCell;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferEntry {
    pub advertiser: AdvertiserId,
    pub program: ProgramId,
    pub destination: Destination,
    /// The parameter that carries the click id to the landing page.
    pub click_id_parameter: Box<str>,
    pub active: bool,
    /// Why it is not active, as far as anybody has said.
    pub pause_reason: Option<PauseReason>,
    pub routing: Routing,
}

/// How an offer's clicks go on. The default: to its destination, by a 302.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub redirect: RedirectKind,
    /// Hosts that a deep link or a link's own destination may lead to.
    deep_link_hosts: HostList,
    /// And to the host of the offer's destination, even if it is an address.
    deep_links_to_own_host: bool,
    /// Parameters of the click that nobody knows go on to the landing page.
    pub pass_through: bool,
    pub time_zone: Arc<TimeZone>,
    /// A second click of the same visitor within it is not unique; 0 = every click is.
    pub unique_window_secs: u32,
    /// How long a click is kept in a cookie; 0 = not at all.
    pub cookie_days: u32,
    pub expires_at: Option<UnixMicros>,
    pub click_cap: Option<ClickCap>,
    pub preview: Option<Preview>,
    /// Beside the offer's own destination; routes name them by number.
    pages: Vec<Destination>,
    table: Option<RouteTable>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            redirect: RedirectKind::Found,
            deep_link_hosts: HostList::default(),
            deep_links_to_own_host: false,
            pass_through: false,
            time_zone: Arc::default(),
            unique_window_secs: 0,
            cookie_days: 0,
            expires_at: None,
            click_cap: None,
            preview: None,
            pages: Vec::new(),
            table: None,
        }
    }
}

impl OfferEntry {
    pub(super) fn read(
        offer: &edge_v1::Offer,
        zones: &Zones<'_>,
        left_out: &mut usize,
    ) -> Option<(OfferId, Self)> {
        let id = OfferId::new(offer.id)?;
        let parameter = match offer.click_id_parameter.as_str() {
            "" => "click_id",
            parameter => parameter,
        };
        let destination = Destination::new(&offer.destination, parameter)?;
        let routing = match &offer.routing {
            Some(routing) => Routing::read(id, &destination, parameter, routing, zones, left_out)?,
            None => Routing::default(),
        };
        let entry = Self {
            advertiser: AdvertiserId::new(offer.advertiser)?,
            program: ProgramId::new(offer.program)?,
            destination,
            click_id_parameter: parameter.into(),
            active: offer.active,
            pause_reason: u8::try_from(offer.pause_reason).ok().and_then(PauseReason::from_code),
            routing,
        };
        Some((id, entry))
    }

    /// The page that a request asks for, when this offer's clicks may go there: by https to one of its hosts, or,
    /// `signed` by the control plane, anywhere. Its text comes from outside: no macros are replaced in it.
    pub fn deep_link(&self, page: &str, signed: bool) -> Option<Destination> {
        let page = Destination::asked_for(page, &self.click_id_parameter)?;
        (page.is_https() && signed || self.may_land_on(&page)).then_some(page)
    }

    /// Whether links and deep links of this offer may lead to this page.
    pub(super) fn may_land_on(&self, page: &Destination) -> bool {
        let own = self.routing.deep_links_to_own_host && page.host() == self.destination.host();
        if page.is_https() {
            own || self.routing.deep_link_hosts.allows(page.host())
        } else {
            own && !self.destination.is_https()
        }
    }

    /// Whether a page on this origin is one of the offer's own.
    pub fn owns(&self, origin: &str) -> bool {
        let page = Destination::asked_for(origin, &self.click_id_parameter);
        page.is_some_and(|page| {
            let is_on = |own: &Destination| page.host() == own.host() && (page.is_https() || !own.is_https());
            is_on(&self.destination) || self.routing.pages.iter().any(is_on) || self.may_land_on(&page)
        })
    }

    /// Whether it takes clicks at this time, its cap aside.
    pub fn is_open(&self, now: UnixMicros) -> bool {
        self.active && self.routing.expires_at.is_none_or(|end| now < end)
    }

    /// The landing page with this number; the offer's own for `None`.
    fn page(&self, number: Option<u32>) -> &Destination {
        let pages =
            number.and_then(|number| usize::try_from(number).ok()).and_then(|at| self.routing.pages.get(at));
        pages.unwrap_or(&self.destination)
    }
}

impl Routing {
    /// `None` when a landing page is unusable: the routes to it would lead elsewhere.
    fn read(
        offer: OfferId,
        destination: &Destination,
        parameter: &str,
        wire: &edge_v1::OfferRouting,
        zones: &Zones<'_>,
        left_out: &mut usize,
    ) -> Option<Self> {
        let pages: Vec<_> =
            wire.pages.iter().map(|text| Destination::new(text, parameter)).collect::<Option<_>>()?;
        let (table, unusable) = match &wire.table {
            Some(table) => {
                let count = u32::try_from(pages.len()).ok()?;
                let (table, unusable) = route_table_from_wire(offer, count, table);
                (Some(table), unusable)
            }
            None => (None, 0),
        };
        *left_out += unusable;
        let (own, others): (Vec<&str>, Vec<&str>) =
            wire.deep_link_hosts.iter().map(String::as_str).partition(|host| *host == destination.host());
        Some(Self {
            redirect: redirect(wire.redirect, left_out),
            deep_link_hosts: hosts(others, left_out),
            deep_links_to_own_host: !own.is_empty(),
            pass_through: wire.pass_through,
            time_zone: time_zone(&wire.time_zone, zones, left_out),
            unique_window_secs: wire.unique_window_secs,
            cookie_days: wire.cookie_days,
            expires_at: expiry(wire.expires_at_secs),
            click_cap: wire.click_cap.as_ref().and_then(|cap| click_cap(cap, left_out)),
            preview: wire.preview.as_ref().map(|wire| preview(wire, left_out)),
            pages,
            table,
        })
    }
}

/// One of the future becomes the default.
fn redirect(code: u32, left_out: &mut usize) -> RedirectKind {
    if code == 0 {
        return RedirectKind::Found;
    }
    let kind = u8::try_from(code).ok().and_then(RedirectKind::from_code);
    *left_out += usize::from(kind.is_none());
    kind.unwrap_or(RedirectKind::Found)
}

fn hosts(mut texts: Vec<&str>, left_out: &mut usize) -> HostList {
    let given = texts.len();
    texts.retain(|text| HostList::try_new([*text]).is_ok());
    *left_out += given - texts.len();
    HostList::try_new(texts).unwrap_or_default()
}

fn time_zone(name: &str, zones: &Zones<'_>, left_out: &mut usize) -> Arc<TimeZone> {
    let zone = zones.get(name).cloned();
    *left_out += usize::from(zone.is_none() && !name.is_empty());
    zone.unwrap_or_default()
}

/// A cap that cannot be read lets nobody in: a window that we do not know may be the narrowest.
fn click_cap(wire: &edge_v1::ClickCap, left_out: &mut usize) -> Option<ClickCap> {
    let window = u8::try_from(wire.window).ok().and_then(CapWindow::from_code);
    *left_out += usize::from(window.is_none());
    let limit = if window.is_some() { wire.limit } else { 0 };
    Some(ClickCap { limit, window: window.unwrap_or(CapWindow::Total) })
}

fn preview(wire: &edge_v1::Preview, left_out: &mut usize) -> Preview {
    let image = page(&wire.image, left_out).unwrap_or_default();
    Preview { title: wire.title.clone(), description: wire.description.clone(), image }
}

/// Where a click ends.
#[derive(Clone, Copy)]
pub struct Landing<'s> {
    pub offer: OfferId,
    pub entry: &'s OfferEntry,
    pub page: &'s Destination,
    /// Id of the last route that was taken; `None` = the link's own offer, on its own page.
    pub route: Option<&'s str>,
    /// It is the offer's own page, which a link's destination or a deep link may take the place of.
    pub own_page: bool,
    /// The offer takes clicks. One that does not may have a page among its fallbacks: what goes there is within no cap.
    pub open: bool,
}

impl Snapshot {
    /// Follows the routes of `start`, and of the offers they lead to, for one click; `None` when no offer takes it.
    /// `has_room` answers for click caps. `facts.offer` and its local time are those of the offer that is asked.
    pub fn land(
        &self,
        tenant: TenantId,
        start: OfferId,
        facts: &Facts<'_>,
        draw: u64,
        has_room: impl Fn(OfferId, &OfferEntry) -> bool,
    ) -> Option<Landing<'_>> {
        // As it was seen then: asked again, a cap may say something else.
        let closed = RefCell::new(Vec::new());
        let arrival = follow(start, facts, draw, |id| {
            let offer = self.offer(tenant, id)?;
            let open = offer.is_open(facts.at) && has_room(id, offer);
            if !open {
                closed.borrow_mut().push(id);
            }
            Some(Stop {
                open,
                table: offer.routing.table.as_ref(),
                utc_offset_secs: offer.routing.time_zone.offset_secs(facts.at),
            })
        })?;
        let entry = self.offer(tenant, arrival.offer)?;
        Some(Landing {
            offer: arrival.offer,
            entry,
            page: entry.page(arrival.page),
            route: arrival.route,
            own_page: arrival.page.is_none(),
            open: !closed.borrow().contains(&arrival.offer),
        })
    }
}
