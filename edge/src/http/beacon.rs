//! `GET /t.js`, and `POST /e`, which it talks to. Whatever page asks is answered: who may report what does not hang on
//! a browser's rules.

use super::body::{self, Kind};
use super::reply::{self, Reply};
use super::request::is_message;
use super::worker::{Answer, Hit, Worker, durable};
use crate::decide::beacon::{Beacon, Conversion, DirectClick, MAX_BODY, Touch};
use crate::decide::click::{Resolved, Takers, Way, resolve};
use crate::decide::conversion::{self, Channel, Receiver};
use crate::decide::params::SubIds;
use crate::decide::privacy::{Privacy, least};
use crate::decide::touch::{self, Unborn};
use crate::metrics::Outcome;
use crate::snapshot::{OfferEntry, Snapshot};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH,
    ORIGIN,
};
use http::{HeaderName, Method, StatusCode};
use hyper::body::Body;
use proto_model::{ClickFlags, Lane, LinkId, Reason, VerdictKind};

const MESSAGE: Kind = Kind { takes: is_message, max: MAX_BODY };

const SCRIPT: &str = include_str!("../../assets/t.js");
/// Long enough that a visit loads it once, short enough that a new version is out within the hour.
const SCRIPT_CACHE: &str = "public, max-age=3600";

/// The script as it is served, and the tag by which a browser asks whether it has changed.
pub(super) struct Script {
    etag: HeaderValue,
}

impl Default for Script {
    fn default() -> Self {
        let hash = proto_wire::keys::sha256(SCRIPT.as_bytes());
        let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { etag }
    }
}

impl Worker {
    pub(super) fn script(&self, hit: &Hit<'_>) -> Answer {
        let etag = &self.script.etag;
        let known = hit.parts.headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == etag);
        let mut reply = if known {
            reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            reply::script(Bytes::from_static(SCRIPT.as_bytes()))
        };
        let headers = reply.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(SCRIPT_CACHE));
        headers.insert(ETAG, etag.clone());
        Answer::new(reply, Outcome::Uncounted, None)
    }

    pub(super) async fn beacon<B>(&self, hit: &Hit<'_>, body: B) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if hit.parts.method == Method::OPTIONS {
            return may_be_asked();
        }
        match body::read(hit, body, MESSAGE, self.shared.timeouts.body).await {
            Ok(message) => self.message(hit, &message).await,
            Err((status, reason)) => refused(status, reason),
        }
    }

    async fn message(&self, hit: &Hit<'_>, message: &[u8]) -> Answer {
        match Beacon::read(message) {
            Ok(Beacon::Click(click)) => self.direct_click(hit, &click).await,
            Ok(Beacon::Touch(touch)) => self.touch(hit, &touch).await,
            Ok(Beacon::Conversion(report)) => self.page_conversion(hit, *report).await,
            Err(reason) => refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
        }
    }

    /// A click without a redirect: the visitor is on the landing page already.
    async fn direct_click(&self, hit: &Hit<'_>, click: &DirectClick) -> Answer {
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else { return not_yet() };
        let link = click.link.parse::<LinkId>().ok();
        let mut client = self.client(hit);
        client.privacy = least([client.privacy, agreed(click.consent)]);
        if client.agent.previews {
            let answer = refused(StatusCode::UNPROCESSABLE_ENTITY, Reason::Preview);
            return Answer { outcome: Outcome::Uncounted, ..answer };
        }
        client.came_from(&click.referrer);
        let live = match link.map(|link| resolve(&snapshot, link, hit.now)) {
            Some(Resolved::Live(live)) => live,
            Some(Resolved::Dead(_, reason, live)) => {
                live.into_iter().for_each(|live| self.note_refused(hit, live, &client, reason));
                return refused(StatusCode::UNPROCESSABLE_ENTITY, reason);
            }
            Some(Resolved::Unknown) | None => return refused(StatusCode::NOT_FOUND, Reason::UnknownLink),
        };
        // Before it is decided: a click that is none takes nothing of a cap.
        if !may_register(hit, live.offer) {
            self.note_refused(hit, live, &client, Reason::ForeignPage);
            return refused(StatusCode::UNPROCESSABLE_ENTITY, Reason::ForeignPage);
        }
        let draw = u64::from_be_bytes(self.random());
        let decision = self.decided(hit, live, &client, (draw, Takers::Own)).await;
        if let Way::Nowhere(reason) = decision.way {
            self.note_refused(hit, live, &client, reason);
            return refused(StatusCode::UNPROCESSABLE_ENTITY, reason);
        }
        let sub_ids = SubIds::of(&click.sub_ids);
        let direct = ClickFlags(ClickFlags::DIRECT);
        let queued = self.record_click(hit, live, &client, &decision, &sub_ids, direct);
        let spooled = durable(queued).await.ok();
        if matches!(decision.way, Way::Blocked) {
            let outcome = if spooled.is_some() { Outcome::Blocked } else { Outcome::Unspooled };
            return Answer { outcome, ..refused(StatusCode::FORBIDDEN, Reason::BlockedByRule) };
        }
        let click_id = self.seal_click(live, &client, &decision, spooled, direct);
        let body = format!("{{\"status\":\"accepted\",\"click_id\":\"{}\"}}\n", &*click_id);
        match spooled {
            Some(_) => to_page(StatusCode::OK, body, Outcome::Recorded, None),
            None => to_page(StatusCode::OK, body, Outcome::Unspooled, Some(Reason::SpoolUnavailable)),
        }
    }

    /// Durable before it is answered, and in the lane of the conversions that rest on it; but for one that is refused.
    async fn touch(&self, hit: &Hit<'_>, touch: &Touch) -> Answer {
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else { return not_yet() };
        let Some(to) = receiver(&snapshot, &touch.advertiser) else {
            return refused(StatusCode::NOT_FOUND, Reason::UnknownAdvertiser);
        };
        let client = self.client(hit);
        let origin = client.origin(&self.shared.hasher, hit.now);
        let bound = match touch::check(to, client.privacy, touch, page_of(hit)) {
            Ok(bound) => bound,
            Err(Unborn::NoConsent) => return refused(StatusCode::FORBIDDEN, Reason::NoConsent),
            Err(Unborn::Refused(unborn)) => {
                // As a refused click: no money rests on it, and a page may say it with every view.
                let record = conversion::record_refused(to, unborn, &client, &origin, hit.now);
                let _ = self.spool(Lane::Traffic, &record);
                return refused(StatusCode::UNPROCESSABLE_ENTITY, unborn.reason);
            }
        };
        let verdict = touch::judge_touch(to, &bound, &client, hit.now);
        let blocked = verdict.kind == VerdictKind::Block;
        let recorded = touch::record(to, bound, touch, verdict, &client, &origin, hit.now);
        if durable(self.spool(Lane::Money, &recorded)).await.is_err() {
            return not_durable();
        }
        let body = "{\"status\":\"accepted\"}\n".to_owned();
        if blocked {
            to_page(StatusCode::ACCEPTED, body, Outcome::Blocked, Some(Reason::BlockedByRule))
        } else {
            to_page(StatusCode::ACCEPTED, body, Outcome::Recorded, None)
        }
    }

    async fn page_conversion(&self, hit: &Hit<'_>, report: Conversion) -> Answer {
        let Conversion { advertiser, mut params, consent } = report;
        if agreed(consent) != Privacy::Full {
            // Not even a hash of them is kept.
            (params.customer_id, params.visitor_id) = (None, None);
        }
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else { return not_yet() };
        let Some(to) = receiver(&snapshot, &advertiser) else {
            return refused(StatusCode::NOT_FOUND, Reason::UnknownAdvertiser);
        };
        self.report(hit, Channel::Page, to, &params, agreed(consent)).await
    }
}

fn receiver<'s>(snapshot: &'s Snapshot, id: &str) -> Option<Receiver<'s>> {
    conversion::resolve(snapshot, id.parse().ok()?)
}

/// A page that says nothing leaves it to what the browser says.
fn agreed(consent: Option<bool>) -> Privacy {
    if consent == Some(false) { Privacy::Reduced } else { Privacy::Full }
}

/// Where the page stands that asks, which a browser always tells; something else that cannot be a page's is none.
fn page_of<'h>(hit: &Hit<'h>) -> Option<&'h str> {
    hit.parts.headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default())
}

/// What is no browser can claim to be any page, and gains nothing: a click id comes with any click.
fn may_register(hit: &Hit<'_>, offer: &OfferEntry) -> bool {
    page_of(hit).is_none_or(|origin| offer.owns(origin))
}

/// A page may read the answer, wherever it stands: it holds nothing that was not the page's own.
pub(super) fn open_to_pages(reply: &mut Reply) {
    const ANY: HeaderValue = HeaderValue::from_static("*");
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-tributary-reason"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
}

fn may_be_asked() -> Answer {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    Answer::new(reply, Outcome::Uncounted, None)
}

fn to_page(status: StatusCode, body: String, outcome: Outcome, reason: Option<Reason>) -> Answer {
    Answer::new(reply::json(status, body), outcome, reason)
}

fn refused(status: StatusCode, reason: Reason) -> Answer {
    Answer::new(reply::json_refusal(status, reason), Outcome::Refused, reason)
}

fn not_yet() -> Answer {
    Answer { outcome: Outcome::Failed, ..refused(StatusCode::SERVICE_UNAVAILABLE, Reason::NoSnapshot) }
        .retry_after(1)
}

fn not_durable() -> Answer {
    let answer = refused(StatusCode::SERVICE_UNAVAILABLE, Reason::SpoolUnavailable);
    Answer { outcome: Outcome::Failed, ..answer }.retry_after(1)
}
