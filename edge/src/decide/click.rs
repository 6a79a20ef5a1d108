//! A click: which offer it goes to, whether it may, and what is written down.

use super::params::SubIds;
use super::{Subject, judge};
use crate::enrich::{Client, Origin};
use crate::snapshot::{LinkEntry, OfferEntry, Snapshot, TenantEntry};
use proto_model::event::Click;
use proto_model::{Address, ClickFacts, ClickFlags, LinkId, UnixMicros, VerdictKind};
use proto_rules::{HitKind, Verdict};
use proto_wire::convert::{BodyRef, HitRef, PersonalRef};

/// A link with all it stands for.
#[derive(Clone, Copy)]
pub struct Live<'s> {
    pub id: LinkId,
    pub link: &'s LinkEntry,
    pub tenant: &'s TenantEntry,
    pub offer: &'s OfferEntry,
}

pub enum Resolved<'s> {
    Live(Live<'s>),
    /// The link or its offer is switched off or gone; its tenant may have a page for that.
    Dead(&'s TenantEntry),
    Unknown,
}

pub fn resolve(snapshot: &Snapshot, id: LinkId) -> Resolved<'_> {
    let Some(link) = snapshot.link(id) else { return Resolved::Unknown };
    let Some(tenant) = snapshot.tenant(link.tenant) else { return Resolved::Unknown };
    match snapshot.offer(link.tenant, link.offer) {
        Some(offer) if link.active && offer.active => Resolved::Live(Live { id, link, tenant, offer }),
        _ => Resolved::Dead(tenant),
    }
}

/// Where the shopper goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the offer, with a click id.
    Offer,
    /// A rule blocked the click: to the tenant's fallback page, or to a plain page of ours.
    Blocked,
}

pub struct Decision<'s> {
    pub way: Way,
    pub verdict: Verdict<'s>,
    at: UnixMicros,
}

pub fn decide<'s>(live: Live<'s>, client: &Client<'_>, now: UnixMicros) -> Decision<'s> {
    let subject = Subject {
        link: Some(live.id),
        offer: Some(live.link.offer),
        partner: Some(live.link.partner),
        advertiser: Some(live.offer.advertiser),
    };
    let verdict = judge(live.tenant.rules.as_ref(), client, subject, HitKind::Click, now);
    let way = if verdict.kind == VerdictKind::Block { Way::Blocked } else { Way::Offer };
    Decision { way, verdict, at: now }
}

impl Decision<'_> {
    /// A blocked click is recorded as well: mark, never drop.
    pub fn record<'a>(
        &'a self,
        live: Live<'_>,
        client: &'a Client<'_>,
        origin: &'a Origin,
        sub_ids: &'a SubIds<'_>,
    ) -> HitRef<'a> {
        let click = Click {
            link: live.id,
            offer: live.link.offer,
            partner: live.link.partner,
            program: live.offer.program,
            advertiser: live.offer.advertiser,
            flags: ClickFlags::default(),
        };
        let network = Some(client.network(origin));
        HitRef {
            tenant: live.link.tenant,
            occurred_at: self.at,
            facts: client.recorded(),
            verdict: self.verdict,
            body: BodyRef::Click(click),
            personal: PersonalRef { network, customer_id: None, sub_ids: sub_ids.texts() },
        }
    }

    /// What goes into the click id, so that a conversion needs nothing else.
    pub fn facts(
        &self,
        live: Live<'_>,
        client: &Client<'_>,
        address: Address,
        flags: ClickFlags,
    ) -> ClickFacts {
        ClickFacts {
            tenant: live.link.tenant,
            link: live.id,
            offer: live.link.offer,
            // A clock before 1970 or after 2106 is wrong either way; the event has the full time.
            at_secs: u32::try_from(self.at.secs()).unwrap_or_default(),
            address,
            country: client.country,
            device: client.agent.device,
            verdict: self.verdict.kind,
            rule_set_version: self.verdict.rule_set_version,
            flags,
        }
    }
}

#[cfg(test)]
mod tests;
