//! A click: where it goes, whether it may, and what is written down.

use super::params::SubIds;
use super::{Subject, allowed, facts, judge};
use crate::enrich::{Client, Origin};
use crate::snapshot::{Landing, LinkEntry, OfferEntry, Snapshot, TenantEntry};
use proto_model::event::{Authority, Click, Uniqueness};
use proto_model::{
    Address, Capped, ClickFacts, ClickFlags, LinkId, OfferId, PauseReason, Reason, UnixMicros, VerdictKind,
};
use proto_rules::{Facts, HitKind, Verdict};
use proto_wire::convert::{BodyRef, HitRef, PersonalRef, RefusedRef};

/// A link that takes clicks, with all it stands for.
#[derive(Clone, Copy)]
pub struct Live<'s> {
    pub id: LinkId,
    pub link: &'s LinkEntry,
    pub tenant: &'s TenantEntry,
    /// The link's own, which may be closed and have others to fall back on.
    pub offer: &'s OfferEntry,
    snapshot: &'s Snapshot,
}

pub enum Resolved<'s> {
    Live(Live<'s>),
    /// The link is switched off or over; its tenant may have a page for that. What it stands for is known as long as
    /// its offer is.
    Dead(&'s TenantEntry, Reason, Option<Live<'s>>),
    Unknown,
}

pub fn resolve(snapshot: &Snapshot, id: LinkId, now: UnixMicros) -> Resolved<'_> {
    let Some(link) = snapshot.link(id) else { return Resolved::Unknown };
    let Some(tenant) = snapshot.tenant(link.tenant) else { return Resolved::Unknown };
    let offer = snapshot.offer(link.tenant, link.offer);
    let live = offer.map(|offer| Live { id, link, tenant, offer, snapshot });
    match live {
        _ if link.is_expired(now) => Resolved::Dead(tenant, Reason::Expired, live),
        Some(live) if link.active => Resolved::Live(live),
        _ => Resolved::Dead(tenant, Reason::InactiveLink, live),
    }
}

/// Where the shopper goes.
#[derive(Clone, Copy)]
pub enum Way<'s> {
    /// To a landing page, with a click id.
    Onward(Landing<'s>),
    /// A rule blocked the click: to the tenant's fallback page, or to a plain page of ours.
    Blocked,
    /// No offer takes it.
    Nowhere(Reason),
}

pub struct Decision<'s> {
    pub way: Way<'s>,
    pub verdict: Verdict<'s>,
    at: UnixMicros,
}

/// Which offers may take a click.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takers {
    /// The link's own, and those that it sends clicks on to.
    Any,
    /// The link's own alone: the visitor is on its page already, and sees no other one.
    Own,
}

/// Rules judge the click on the link's own offer; only then is it seen which offer takes it. `draw` decides between
/// routes that share their clicks.
///
/// `has_room` says whether what has a click cap, offer or link, may take one more.
pub fn decide<'s>(
    live: Live<'s>,
    client: &Client<'_>,
    (draw, takers): (u64, Takers),
    now: UnixMicros,
    has_room: impl Fn(Capped) -> bool,
) -> Decision<'s> {
    let subject = Subject {
        link: Some(live.id),
        offer: Some(live.link.offer),
        partner: Some(live.link.partner),
        advertiser: Some(live.offer.advertiser),
    };
    let verdict = judge(live.tenant.rules.as_ref(), client, subject, HitKind::Click, now);
    let way = if verdict.kind == VerdictKind::Block {
        Way::Blocked
    } else if live.uses().is_some_and(|link| !has_room(link)) {
        Way::Nowhere(Reason::UsedUp)
    } else {
        let asked = facts(client, subject, HitKind::Click, now);
        onward(live, &asked, (draw, takers), has_room)
    };
    Decision { way, verdict, at: now }
}

fn onward<'s>(
    live: Live<'s>,
    asked: &Facts<'_>,
    (draw, takers): (u64, Takers),
    has_room: impl Fn(Capped) -> bool,
) -> Way<'s> {
    let below_cap = |id, offer: &OfferEntry| offer.routing.click_cap.is_none() || has_room(Capped::Offer(id));
    let (own, only_own) = (live.link.offer, takers == Takers::Own);
    // Whom a closed offer sends its clicks to is not even asked.
    if only_own && !(live.offer.is_open(asked.at) && below_cap(own, live.offer)) {
        return Way::Nowhere(closed(live, asked.at, below_cap));
    }
    match live.snapshot.land(live.link.tenant, own, asked, draw, below_cap) {
        Some(landing) if only_own && landing.offer != own => Way::Nowhere(Reason::NotTargeted),
        Some(landing) => Way::Onward(landing),
        None => Way::Nowhere(closed(live, asked.at, below_cap)),
    }
}

fn closed(live: Live<'_>, now: UnixMicros, below_cap: impl Fn(OfferId, &OfferEntry) -> bool) -> Reason {
    if !live.offer.active {
        match live.offer.pause_reason {
            Some(PauseReason::ConversionCap | PauseReason::SpendCap) => Reason::CapReached,
            Some(PauseReason::ByHand) | None => Reason::InactiveLink,
        }
    } else if !live.offer.is_open(now) {
        Reason::Expired
    } else if !below_cap(live.link.offer, live.offer) {
        Reason::CapReached
    } else {
        Reason::NotTargeted
    }
}

impl<'s> Decision<'s> {
    /// The offer that the click counts for.
    fn offer(&self, live: Live<'s>) -> (OfferId, &'s OfferEntry) {
        match self.way {
            Way::Onward(landing) => (landing.offer, landing.entry),
            Way::Blocked | Way::Nowhere(_) => (live.link.offer, live.offer),
        }
    }

    /// A blocked click is recorded as well: mark, never drop.
    pub fn record<'a>(
        &'a self,
        live: Live<'s>,
        client: &'a Client<'_>,
        origin: &'a Origin,
        sub_ids: &'a SubIds<'_>,
        marks: Marks,
    ) -> HitRef<'a> {
        let (offer, entry) = self.offer(live);
        let click = Click {
            link: live.id,
            offer,
            partner: live.link.partner,
            program: entry.program,
            advertiser: entry.advertiser,
            flags: ClickFlags(marks.flags.0 | live.flags().0),
            uniqueness: marks.uniqueness,
        };
        let network = client.network(origin);
        HitRef {
            tenant: live.link.tenant,
            occurred_at: self.at,
            facts: client.recorded(),
            verdict: self.verdict,
            body: BodyRef::Click(click),
            personal: PersonalRef { network, sub_ids: sub_ids.texts(), ..PersonalRef::default() },
        }
    }

    /// What goes into the click id, so that a conversion needs nothing else.
    pub fn facts(
        &self,
        live: Live<'s>,
        client: &Client<'_>,
        address: Address,
        flags: ClickFlags,
    ) -> ClickFacts {
        ClickFacts {
            tenant: live.link.tenant,
            link: live.id,
            offer: self.offer(live).0,
            // A clock before 1970 or after 2106 is wrong either way; the event has the full time.
            at_secs: u32::try_from(self.at.secs()).unwrap_or_default(),
            address,
            country: client.place.country,
            device: client.device,
            verdict: self.verdict.kind,
            rule_set_version: self.verdict.rule_set_version,
            flags: ClickFlags(flags.0 | live.flags().0),
        }
    }
}

/// A click that nobody takes is recorded as refused, with the link that it came by.
pub fn record_refused<'a>(
    live: Live<'a>,
    reason: Reason,
    client: &'a Client<'_>,
    origin: &'a Origin,
    now: UnixMicros,
) -> HitRef<'a> {
    let refused = RefusedRef {
        advertiser: live.offer.advertiser,
        authority: Authority::Pixel,
        reason,
        order_id: None,
        link: Some(live.id),
    };
    HitRef {
        tenant: live.link.tenant,
        occurred_at: now,
        facts: client.recorded(),
        verdict: allowed(live.tenant.rules.as_ref()),
        body: BodyRef::Refused(refused),
        personal: PersonalRef { network: client.network(origin), ..PersonalRef::default() },
    }
}

/// What is found out about a click after it was decided where it goes.
#[derive(Clone, Copy)]
pub struct Marks {
    pub flags: ClickFlags,
    pub uniqueness: Uniqueness,
}

impl Landing<'_> {
    /// The offer, when its clicks are counted.
    pub fn capped(&self) -> Option<Capped> {
        self.entry.routing.click_cap.filter(|_| self.open).map(|_| Capped::Offer(self.offer))
    }
}

impl Live<'_> {
    /// The link, when its clicks are counted.
    pub fn uses(self) -> Option<Capped> {
        let settings = self.link.settings.as_ref()?;
        settings.max_clicks.map(|_| Capped::Link(self.id))
    }

    pub(super) fn flags(self) -> ClickFlags {
        ClickFlags(if self.link.is_test() { ClickFlags::TEST } else { 0 })
    }
}

#[cfg(test)]
mod tests;
