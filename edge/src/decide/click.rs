//! A click: which offer it goes to, whether it may, and what is written down.

use super::params::SubIds;
use super::{Recorded, Subject, judge};
use crate::enrich::Client;
use crate::snapshot::{LinkEntry, OfferEntry, Snapshot, TenantEntry};
use proto_model::event::{Body, Click, Network, Personal, RecordedVerdict, TrackingEvent};
use proto_model::{Address, ClickFacts, ClickFlags, LinkId, UnixMicros, VerdictKind};
use proto_rules::HitKind;

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

pub struct Decision {
    pub way: Way,
    pub verdict: RecordedVerdict,
    at: UnixMicros,
}

pub fn decide(live: Live<'_>, client: &Client, now: UnixMicros) -> Decision {
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

impl Decision {
    /// A blocked click is recorded as well: mark, never drop.
    pub fn record(&self, live: Live<'_>, client: &Client, network: Network, sub_ids: SubIds) -> Recorded {
        let click = Click {
            link: live.id,
            offer: live.link.offer,
            partner: live.link.partner,
            program: live.offer.program,
            advertiser: live.offer.advertiser,
            flags: ClickFlags::default(),
        };
        Recorded {
            event: TrackingEvent {
                tenant: live.link.tenant,
                occurred_at: self.at,
                facts: client.recorded(),
                verdict: self.verdict.clone(),
                body: Body::Click(click),
            },
            personal: Personal { network: Some(network), customer_id: None, sub_ids: sub_ids.tags },
        }
    }

    /// What goes into the click id, so that a conversion needs nothing else.
    pub fn facts(&self, live: Live<'_>, client: &Client, address: Address, flags: ClickFlags) -> ClickFacts {
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
