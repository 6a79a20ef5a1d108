//! `GET /c/{link}`.

use super::reply::{self, Page};
use super::worker::{Answer, Hit, Worker, durable, prefetch};
use crate::decide::click::{Decision, Live, Resolved, Way, decide, resolve};
use crate::decide::params::SubIds;
use crate::enrich::Client;
use crate::metrics::Outcome;
use crate::snapshot::TenantEntry;
use http::StatusCode;
use proto_model::event::ORDINAL_MAX;
use proto_model::{Address, ClickFlags, Lane, LinkId, Reason};

impl Worker {
    pub(super) async fn click(&self, hit: &Hit<'_>, id: &str) -> Answer {
        if prefetch(hit) {
            // The browser asks again when somebody clicks.
            let reply = reply::empty(StatusCode::SERVICE_UNAVAILABLE);
            return Answer::new(reply, Outcome::Uncounted, Reason::Prefetch);
        }
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else {
            return Answer::page(Page::Unavailable, Outcome::Failed, Reason::NoSnapshot).retry_after(1);
        };
        let Ok(link) = id.parse::<LinkId>() else { return unknown() };
        match resolve(&snapshot, link) {
            Resolved::Live(live) => self.live_click(hit, live).await,
            Resolved::Dead(tenant) => {
                let outcome = if hit.is_head() { Outcome::Uncounted } else { Outcome::Refused };
                elsewhere(tenant, Page::NotFound, outcome, Reason::InactiveLink)
            }
            Resolved::Unknown => unknown(),
        }
    }

    async fn live_click(&self, hit: &Hit<'_>, live: Live<'_>) -> Answer {
        let client = self.client(hit);
        let decision = decide(live, &client, hit.now);
        if hit.is_head() {
            return look(live, &decision);
        }
        let sub_ids = SubIds::read(hit.query());
        let problem = sub_ids.problem;
        let origin = client.origin(&self.shared.hasher, hit.now);
        let queued = self.spool(Lane::Traffic, &decision.record(live, &client, &origin, &sub_ids));
        let spooled = durable(queued).await.ok();
        match decision.way {
            Way::Offer => self.to_offer(live, &client, &decision, spooled, problem),
            Way::Blocked => {
                let outcome = if spooled.is_some() { Outcome::Blocked } else { Outcome::Unspooled };
                elsewhere(live.tenant, Page::Forbidden, outcome, Reason::BlockedByRule)
            }
        }
    }

    /// Without a place in the journal the shopper goes on all the same: the id carries the facts.
    fn to_offer(
        &self,
        live: Live<'_>,
        client: &Client<'_>,
        decision: &Decision<'_>,
        spooled: Option<Address>,
        problem: Option<Reason>,
    ) -> Answer {
        let (address, flags) = match spooled {
            Some(address) => (address, ClickFlags::default()),
            None => (self.unspooled_address(), ClickFlags(ClickFlags::UNSPOOLED)),
        };
        let facts = decision.facts(live, client, address, flags);
        let click_id = live.tenant.keys.seal(&facts, self.random());
        let Some(reply) = reply::redirect(live.offer.destination.with_click_id(&click_id)) else {
            return unknown();
        };
        match spooled {
            Some(_) => Answer::new(reply, Outcome::Recorded, problem),
            None => Answer::new(reply, Outcome::Unspooled, Reason::SpoolUnavailable),
        }
    }

    fn unspooled_address(&self) -> Address {
        let ordinal = u64::from_be_bytes(self.random()) & ORDINAL_MAX;
        Address { stream: self.shared.parts.spool.streams().traffic, ordinal: ordinal.max(1) }
    }
}

/// HEAD sees where a click would go, gets no id and is no click.
fn look(live: Live<'_>, decision: &Decision<'_>) -> Answer {
    match decision.way {
        Way::Blocked => elsewhere(live.tenant, Page::Forbidden, Outcome::Uncounted, Reason::BlockedByRule),
        Way::Offer => match reply::redirect(live.offer.destination.plain()) {
            Some(reply) => Answer::new(reply, Outcome::Uncounted, None),
            None => unknown(),
        },
    }
}

/// The tenant's fallback page, else a plain one.
fn elsewhere(tenant: &TenantEntry, page: Page, outcome: Outcome, reason: Reason) -> Answer {
    let fallback = tenant.fallback_url.clone().and_then(reply::redirect);
    Answer::new(fallback.unwrap_or_else(|| reply::page(page)), outcome, reason)
}

fn unknown() -> Answer {
    Answer::page(Page::NotFound, Outcome::Refused, Reason::UnknownLink)
}
