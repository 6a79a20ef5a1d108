//! `GET /c/{link}` and `GET /{slug}`.

use super::cookie;
use super::onward::onward;
use super::reply::{self, Page, Reply};
use super::worker::{Answer, Hit, Queued, Worker, address, durable, prefetch};
use crate::budget;
use crate::decide::asked::{Asked, pass_through};
use crate::decide::click::{Decision, Live, Marks, Resolved, Takers, Way, decide, record_refused, resolve};
use crate::decide::macros::Values;
use crate::decide::params::SubIds;
use crate::decide::preview;
use crate::decide::privacy::Privacy;
use crate::decide::template::MAX_URL;
use crate::enrich::Client;
use crate::metrics::Outcome;
use crate::snapshot::{Destination, Domain, Landing, Snapshot, TenantEntry};
use http::StatusCode;
use http::header::SET_COOKIE;
use proto_model::event::{ORDINAL_MAX, Uniqueness};
use proto_model::{Address, ClickFlags, Lane, LinkId, Reason};

/// How often a click looks again for room after others have taken what it saw.
const TRIES: u32 = 8;

/// A click on its way onward.
#[derive(Clone, Copy)]
struct Passing<'a> {
    live: Live<'a>,
    client: &'a Client<'a>,
    asked: &'a Asked<'a>,
    landing: Landing<'a>,
    query: &'a str,
    draw: u64,
}

impl Worker {
    pub(super) async fn click(&self, hit: &Hit<'_>, id: &str) -> Answer {
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else { return not_yet() };
        match id.parse::<LinkId>() {
            Ok(link) => self.click_on(hit, &snapshot, link, None).await,
            Err(_) if prefetch(hit) => come_again(),
            Err(_) => unknown(),
        }
    }

    /// A link by its name on one of a tenant's own hosts; the empty name is the host itself.
    pub(super) async fn named_click(&self, hit: &Hit<'_>, slug: &str) -> Answer {
        let not_found = || Answer::page(Page::NotFound, Outcome::Refused, Reason::NotFound);
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else { return not_found() };
        let Some(domain) = hit.host().and_then(|host| snapshot.domain(host)) else { return not_found() };
        let Some(tenant) = snapshot.tenant(domain.tenant) else { return not_found() };
        if slug.is_empty() {
            return match &domain.home_url {
                Some(home) => sent_to(Some(home), Page::NotFound, Outcome::Uncounted, None),
                None => elsewhere(tenant, Page::NotFound, Outcome::Refused, Reason::NotFound),
            };
        }
        match domain.link(slug) {
            Some(link) => self.click_on(hit, &snapshot, link, Some(domain)).await,
            None => {
                let url = domain.not_found_url.as_ref().or(tenant.fallback_url.as_ref());
                sent_to(url, Page::NotFound, Outcome::Refused, Reason::UnknownLink)
            }
        }
    }

    async fn click_on(
        &self,
        hit: &Hit<'_>,
        snapshot: &Snapshot,
        link: LinkId,
        domain: Option<&Domain>,
    ) -> Answer {
        if prefetch(hit) {
            return come_again();
        }
        match resolve(snapshot, link, hit.now) {
            Resolved::Live(live) => self.live_click(hit, live, domain).await,
            Resolved::Dead(tenant, reason, live) => {
                let client = self.client(hit);
                let looks = hit.is_head() || client.agent.previews;
                if let Some(live) = live.filter(|_| !looks) {
                    self.note_refused(hit, live, &client, reason);
                }
                closed(looks, tenant, domain, reason)
            }
            Resolved::Unknown => unknown(),
        }
    }

    async fn live_click(&self, hit: &Hit<'_>, live: Live<'_>, domain: Option<&Domain>) -> Answer {
        let client = self.client(hit);
        if client.agent.previews {
            return preview_of(hit, live);
        }
        let draw = u64::from_be_bytes(self.random());
        let decision = self.decided(hit, live, &client, (draw, Takers::Any)).await;
        let asked = Asked::read(hit.query());
        let landing = match decision.way {
            Way::Nowhere(reason) => {
                if !hit.is_head() {
                    self.note_refused(hit, live, &client, reason);
                }
                return closed(hit.is_head(), live.tenant, domain, reason);
            }
            Way::Blocked if hit.is_head() => {
                return elsewhere(live.tenant, Page::Forbidden, Outcome::Uncounted, Reason::BlockedByRule);
            }
            Way::Blocked => None,
            Way::Onward(landing) => Some(landing),
        };
        let passing = landing.map(|landing| Passing {
            live,
            client: &client,
            asked: &asked,
            landing,
            query: hit.query(),
            draw,
        });
        if let Some(passing) = passing.filter(|_| hit.is_head()) {
            return self.look(hit, passing);
        }
        let flags = ClickFlags::default();
        let queued = self.record_click(hit, live, &client, &decision, &asked.sub_ids, flags);
        let Some(passing) = passing else {
            let outcome = if durable(queued).await.is_ok() { Outcome::Blocked } else { Outcome::Unspooled };
            return elsewhere(live.tenant, Page::Forbidden, outcome, Reason::BlockedByRule);
        };
        // Made while the record is on its way to the disk: its address is known, and all else is at hand.
        let address = address(&queued);
        let answer = self.on(hit, passing, &decision, address);
        match durable(queued).await {
            Err(_) if address.is_some() => self.on(hit, passing, &decision, None),
            _ => answer,
        }
    }

    /// Queues the click to be written.
    pub(super) fn record_click(
        &self,
        hit: &Hit<'_>,
        live: Live<'_>,
        client: &Client<'_>,
        decision: &Decision<'_>,
        sub_ids: &SubIds<'_>,
        flags: ClickFlags,
    ) -> Queued {
        let origin = client.origin(&self.shared.hasher, hit.now);
        let marks = Marks { flags, uniqueness: self.uniqueness(hit, live, client, decision) };
        self.spool(Lane::Traffic, &decision.record(live, client, &origin, sub_ids, marks))
    }

    /// Of those alone who are let on.
    fn uniqueness(
        &self,
        hit: &Hit<'_>,
        live: Live<'_>,
        client: &Client<'_>,
        decision: &Decision<'_>,
    ) -> Uniqueness {
        let Way::Onward(landing) = decision.way else { return Uniqueness::Undecided };
        // Whoever tries a link out is still to come for the first time.
        if live.link.is_test() {
            return Uniqueness::Undecided;
        }
        let window = landing.entry.routing.unique_window_secs;
        let visitor = (client.ip, &*client.user_agent);
        let keep = client.privacy == Privacy::Full;
        let state = &self.shared.parts.state;
        match window == 0 || state.is_unique_visit(landing.offer, visitor, hit.now, window, keep) {
            true => Uniqueness::Unique,
            false => Uniqueness::Repeated,
        }
    }

    /// A click that nobody takes is written down, and nobody waits for it: no answer rests on it.
    pub(super) fn note_refused(&self, hit: &Hit<'_>, live: Live<'_>, client: &Client<'_>, reason: Reason) {
        let origin = client.origin(&self.shared.hasher, hit.now);
        // A spool that takes nothing says so itself.
        let _ = self.spool(Lane::Traffic, &record_refused(live, reason, client, &origin, hit.now));
    }

    /// The id of a click. Without a place in the journal it carries the facts alone.
    pub(super) fn seal_click(
        &self,
        live: Live<'_>,
        client: &Client<'_>,
        decision: &Decision<'_>,
        spooled: Option<Address>,
        flags: ClickFlags,
    ) -> impl std::ops::Deref<Target = str> {
        let (address, unspooled) = match spooled {
            Some(address) => (address, 0),
            None => (self.unspooled_address(), ClickFlags::UNSPOOLED),
        };
        let facts = decision.facts(live, client, address, ClickFlags(flags.0 | unspooled));
        live.tenant.keys.seal(&facts, self.random())
    }

    /// Decides, and takes the click of what has a cap: a click that goes onward counts once, whatever becomes of it
    /// then. Who only looks takes nothing and waits for nobody.
    pub(super) async fn decided<'s>(
        &self,
        hit: &Hit<'_>,
        live: Live<'s>,
        client: &Client<'_>,
        (draw, takers): (u64, Takers),
    ) -> Decision<'s> {
        let budgets = &self.shared.parts.budgets;
        let (tenant, how) = (live.link.tenant, (draw, takers));
        if hit.is_head() {
            let glance = budgets.glance(tenant, hit.now);
            return decide(live, client, how, hit.now, |subject| glance.has_room(subject));
        }
        let (mut until, mut patient, mut tries) = (None, true, 0);
        while tries < TRIES {
            let look = budgets.look(tenant, hit.now);
            let decision = decide(live, client, how, hit.now, |subject| look.has_room(subject));
            // What has no lease may get one in a moment. When that is over, what counts is what there is then.
            if patient && look.is_lacking() {
                patient = look.wait(*until.get_or_insert_with(budget::patience)).await;
                continue;
            }
            let taken = match &decision.way {
                Way::Onward(landing) => budgets.take(tenant, [live.uses(), landing.capped()], hit.now),
                Way::Blocked | Way::Nowhere(_) => true,
            };
            if taken {
                look.count();
                return decision;
            }
            // Another click was faster.
            tries += 1;
        }
        budgets.count_full();
        decide(live, client, how, hit.now, |_| false)
    }

    /// Without a place in the journal the shopper goes on all the same.
    fn on(
        &self,
        hit: &Hit<'_>,
        passing: Passing<'_>,
        decision: &Decision<'_>,
        spooled: Option<Address>,
    ) -> Answer {
        let flags = ClickFlags::default();
        let click_id = self.seal_click(passing.live, passing.client, decision, spooled, flags);
        let entry = passing.landing.entry;
        let (reply, problem) = self.to_landing_page(hit, passing, &click_id);
        let Some(mut reply) = reply else { return unknown() };
        let days = entry.routing.cookie_days;
        if days > 0 && passing.client.privacy == Privacy::Full {
            let cookie = cookie::set(&hit.parts.headers, entry.advertiser, &click_id, days);
            cookie.into_iter().for_each(|cookie| drop(reply.headers_mut().insert(SET_COOKIE, cookie)));
        }
        match spooled {
            Some(_) => Answer::new(reply, Outcome::Recorded, problem.or(passing.asked.sub_ids.problem)),
            None => Answer::new(reply, Outcome::Unspooled, Reason::SpoolUnavailable),
        }
    }

    /// HEAD sees where a click would go, gets no id and is no click.
    fn look(&self, hit: &Hit<'_>, passing: Passing<'_>) -> Answer {
        let (reply, problem) = self.to_landing_page(hit, passing, "");
        match reply {
            Some(reply) => Answer::new(reply, Outcome::Uncounted, problem),
            None => unknown(),
        }
    }

    /// On to the landing page for this click, and what of the request could not be followed.
    fn to_landing_page(
        &self,
        hit: &Hit<'_>,
        passing: Passing<'_>,
        click_id: &str,
    ) -> (Option<Reply>, Option<Reason>) {
        let Passing { live, asked, landing, query, .. } = passing;
        // Another offer, which the link's own has led to, has its own page.
        let settings = live.link.settings.as_ref().filter(|_| landing.offer == live.link.offer);
        let own = settings.and_then(|settings| settings.destination.as_ref()).unwrap_or(landing.page);
        // A route's page is not for the partner to choose.
        let asked_page = asked.page.as_ref().filter(|_| landing.own_page);
        let asked_page = asked_page.map(|page| page.allowed(live.tenant, live.id, landing.entry, hit.now));
        let (page, problem) = match &asked_page {
            Some(Ok(page)) => (page, None),
            Some(Err(reason)) => (own, Some(*reason)),
            None if landing.own_page => (own, None),
            None => (landing.page, None),
        };
        let mut url = self.url.borrow_mut();
        let cut = fill(hit, passing, page, click_id, &mut url);
        if landing.entry.routing.pass_through {
            pass_through(query, &landing.entry.click_id_parameter, &mut url, MAX_URL);
        }
        (onward(landing.entry.routing.redirect, &url), problem.or(cut))
    }

    fn unspooled_address(&self) -> Address {
        let ordinal = u64::from_be_bytes(self.random()) & ORDINAL_MAX;
        Address { stream: self.shared.parts.spool.streams().traffic, ordinal: ordinal.max(1) }
    }
}

/// Makes `url` that of the page with all values, or, when those are too long together, without the ones that somebody
/// else has chosen.
fn fill(
    hit: &Hit<'_>,
    Passing { live, client, asked, landing, draw, .. }: Passing<'_>,
    page: &Destination,
    click_id: &str,
    url: &mut String,
) -> Option<Reason> {
    // Whoever asks that nothing be kept asks that nothing be handed on, too.
    let open = client.privacy == Privacy::Full;
    let fine = client.fine();
    let values = Values {
        click_id,
        offer: landing.offer,
        partner: live.link.partner,
        advertiser: landing.entry.advertiser,
        link: live.id,
        sub_ids: &asked.sub_ids.texts(),
        source: &asked.source,
        country: client.place.country,
        region: fine.region,
        city: fine.city,
        asn: fine.asn,
        ip: open.then_some(client.ip),
        device: client.device,
        os: &client.agent.os,
        browser: &client.agent.browser,
        language: fine.language,
        referrer: if open { &client.referrer } else { "" },
        user_agent: if open { &client.user_agent } else { "" },
        at: hit.now,
        random: draw,
    };
    url.clear();
    if page.fill(&values, url).is_ok() {
        return None;
    }
    url.clear();
    let short = Values { sub_ids: &[], source: "", referrer: "", user_agent: "", ..values };
    if page.fill(&short, url).is_err() {
        url.clear();
        url.push_str(page.origin());
    }
    Some(Reason::FieldTooLong)
}

/// What a chat or a timeline shows of the link. Whoever opens it there comes as a shopper.
fn preview_of(hit: &Hit<'_>, live: Live<'_>) -> Answer {
    let (title, description, image) = match &live.offer.routing.preview {
        Some(preview) => (preview.title.as_str(), preview.description.as_str(), preview.image.as_str()),
        None => (live.offer.destination.host(), "", ""),
    };
    let image = Some(image).filter(|image| !image.is_empty());
    let html = preview::page(title, description, image, hit.parts.uri.path());
    Answer::new(reply::html(StatusCode::OK, html), Outcome::Uncounted, Reason::Preview)
}

/// A link or an offer that takes no clicks: the host's page for that, the tenant's, or ours.
fn closed(looks: bool, tenant: &TenantEntry, domain: Option<&Domain>, reason: Reason) -> Answer {
    let outcome = if looks { Outcome::Uncounted } else { Outcome::Refused };
    let over = domain.and_then(|domain| domain.expired_url.as_ref());
    sent_to(over.or(tenant.fallback_url.as_ref()), Page::NotFound, outcome, reason)
}

/// The tenant's fallback page, else a plain one.
fn elsewhere(tenant: &TenantEntry, page: Page, outcome: Outcome, reason: Reason) -> Answer {
    sent_to(tenant.fallback_url.as_ref(), page, outcome, reason)
}

fn sent_to(url: Option<&String>, page: Page, outcome: Outcome, reason: impl Into<Option<Reason>>) -> Answer {
    let sent = url.and_then(|url| reply::redirect(url));
    Answer::new(sent.unwrap_or_else(|| reply::page(page)), outcome, reason)
}

/// The browser asks again when somebody clicks.
fn come_again() -> Answer {
    Answer::new(reply::empty(StatusCode::SERVICE_UNAVAILABLE), Outcome::Uncounted, Reason::Prefetch)
}

fn not_yet() -> Answer {
    Answer::page(Page::Unavailable, Outcome::Failed, Reason::NoSnapshot).retry_after(1)
}

fn unknown() -> Answer {
    Answer::page(Page::NotFound, Outcome::Refused, Reason::UnknownLink)
}
