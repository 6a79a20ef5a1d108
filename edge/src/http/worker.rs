//! Takes one request through: method and path ▸ rate limit ▸ the hit itself ▸ reply.

use super::Shared;
use super::beacon::{Script, open_to_pages};
use super::reply::{self, Page, Reply};
use super::request::{Target, client_ip, is_prefetch, may_ask_for_health, names_one_host};
use crate::decide::privacy;
use crate::enrich::{AgentCache, Client, Headers, hints};
use crate::metrics::{Counters, Outcome, Route};
use crate::spool::{Durable, LocalSpool, SpoolError};
use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CONNECTION, DNT, HOST, HeaderValue, REFERER, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderName, Method, Request, StatusCode, request};
use hyper::body::Body;
use proto_model::{Address, Lane, Reason, UnixMicros};
use proto_wire::convert::{HitRef, Unplaced};
use proto_wire::keys::random;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const CH_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
const CH_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
const ECT: HeaderName = HeaderName::from_static("ect");
const GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// User agents a worker remembers.
const AGENTS: usize = 4096;

/// What a thread needs to answer. Its caches are its own.
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    index: usize,
    agents: RefCell<AgentCache>,
    random: RefCell<RandomPool>,
    spool: LocalSpool,
    unplaced: RefCell<Unplaced>,
    pub(super) script: Script,
    /// Where the URL of a landing page is put together.
    pub(super) url: RefCell<String>,
}

/// A reply, and what it stands for in the counters.
pub(super) struct Answer {
    pub reply: Reply,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
}

impl Answer {
    pub fn new(reply: Reply, outcome: Outcome, reason: impl Into<Option<Reason>>) -> Self {
        Self { reply, outcome, reason: reason.into() }
    }

    pub fn page(page: Page, outcome: Outcome, reason: Reason) -> Self {
        Self::new(reply::page(page), outcome, reason)
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        reply::retry_after(&mut self.reply, seconds);
        self
    }

    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.reply.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }
}

/// A request that was let in.
pub(super) struct Hit<'r> {
    pub parts: &'r request::Parts,
    pub ip: IpAddr,
    pub now: UnixMicros,
}

impl Hit<'_> {
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The host that was asked for, without its port.
    pub fn host(&self) -> Option<&str> {
        let header = || self.parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = self.parts.uri.host().or_else(header)?;
        let bracket = host.rfind(']').unwrap_or(0);
        Some(
            host.get(bracket..)
                .and_then(|rest| rest.find(':'))
                .map_or(host, |colon| host.get(..bracket + colon).unwrap_or(host)),
        )
    }

    /// Somebody looks, nobody clicks.
    pub fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }
}

impl Worker {
    pub fn new(shared: Arc<Shared>, index: usize, spool: LocalSpool) -> Self {
        let agents = RefCell::new(AgentCache::new(AGENTS));
        let (random, unplaced) = (RefCell::default(), RefCell::default());
        let (script, url) = (Script::default(), RefCell::default());
        Self { shared, index, agents, random, spool, unplaced, script, url }
    }

    pub fn counters(&self) -> &Counters {
        self.shared.metrics.worker(self.index)
    }

    /// Counts a request that could not even be read.
    pub(super) fn refused_unread(&self, reason: Reason) {
        self.counters().reply(Route::Other, Outcome::Refused, Some(reason));
    }

    pub async fn handle<B>(&self, peer: IpAddr, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let target = Target::of(parts.uri.path());
        // A body that nobody reads, or one of a length two readers may disagree on: the next request on
        // this connection could be made of it.
        let reads_body =
            matches!(target, Target::Postback(_) | Target::Beacon) && parts.method == Method::POST;
        let unclear = parts.headers.contains_key(TRANSFER_ENCODING) || (!reads_body && !body.is_end_stream());
        let answer = self.answer(peer, target, &parts, body).await;
        let Answer { mut reply, outcome, reason } = answer;
        if let Some(reason) = reason {
            reply::set_reason(&mut reply, reason);
        }
        if matches!(target, Target::Beacon | Target::Script) {
            open_to_pages(&mut reply);
        }
        let broken = [Reason::BodyTooLarge, Reason::RequestTimeout, Reason::MalformedRequest];
        if unclear || reason.is_some_and(|reason| broken.contains(&reason)) {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.counters().reply(target.route(), outcome, reason);
        reply::recycle(parts.headers);
        reply
    }

    async fn answer<B>(&self, peer: IpAddr, target: Target<'_>, parts: &request::Parts, body: B) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !names_one_host(parts) {
            return Answer::page(Page::BadRequest, Outcome::Refused, Reason::MalformedRequest);
        }
        let health = matches!(target, Target::Live | Target::Ready);
        let trusted = &self.shared.trusted_proxies;
        if target == Target::Nothing || (health && !may_ask_for_health(peer, trusted, &parts.headers)) {
            return Answer::page(Page::NotFound, Outcome::Refused, Reason::NotFound);
        }
        if !target.takes(&parts.method) {
            return Answer::page(Page::MethodNotAllowed, Outcome::Refused, Reason::MethodNotAllowed)
                .with_header(ALLOW, target.methods());
        }
        if health {
            return self.shared.health(target);
        }
        let ip = client_ip(peer, trusted, &parts.headers);
        if let Err(seconds) = self.shared.admission.admit(ip) {
            return shed(target.route(), seconds);
        }
        let hit = Hit { parts, ip, now: now() };
        match target {
            Target::Click(id) => self.click(&hit, id).await,
            Target::Named(slug) => self.named_click(&hit, slug).await,
            Target::Pixel(id) => self.pixel(&hit, id).await,
            Target::Frame(id) => self.frame(&hit, id).await,
            Target::Impression(id) => self.impression(&hit, id).await,
            // Those that read a body are rare and large: in a box they do not make every other request carry their size.
            Target::Beacon => Box::pin(self.beacon(&hit, body)).await,
            Target::Script => self.script(&hit),
            Target::Postback(id) => Box::pin(self.postback(&hit, id, body)).await,
            Target::Live | Target::Ready | Target::Nothing => {
                Answer::page(Page::NotFound, Outcome::Refused, Reason::NotFound)
            }
        }
    }

    /// Facts are made of the request once, after the cheap checks.
    pub(super) fn client<'r>(&self, hit: &Hit<'r>) -> Client<'r> {
        let parts: &'r request::Parts = hit.parts;
        let header = |name: &HeaderName| parts.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
        let headers = Headers {
            user_agent: header(&USER_AGENT),
            referrer: header(&REFERER),
            hints: hints::Headers {
                mobile: header(&CH_MOBILE),
                platform: header(&CH_PLATFORM),
                accept_language: header(&ACCEPT_LANGUAGE),
                ect: header(&ECT),
            },
        };
        let said = |name: &HeaderName| parts.headers.get(name).map(HeaderValue::as_bytes);
        let mut client = Client::describe(hit.ip, &headers, &self.shared.geo, &mut self.agents.borrow_mut());
        client.privacy = privacy::asked_for(said(&GPC), said(&DNT), hit.query());
        client
    }

    /// Queues the hit: it will be written, whether or not anybody waits for that.
    pub(super) fn spool(&self, lane: Lane, hit: &HitRef<'_>) -> Queued {
        let mut unplaced = self.unplaced.borrow_mut();
        // Made before the address is drawn: that happens under a lock which all workers share.
        unplaced.write(hit, || self.random());
        self.spool.append(lane, |address, out| unplaced.place(address, out))
    }

    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        self.random.borrow_mut().take()
    }
}

/// A hit that will be written, or why it will not.
pub(super) type Queued = Result<(Address, Durable), SpoolError>;

/// Where it will stand in the journal.
pub(super) fn address(queued: &Queued) -> Option<Address> {
    queued.as_ref().ok().map(|(address, _)| *address)
}

/// Resolves once a queued hit is on disk.
pub(super) async fn durable(queued: Queued) -> Result<Address, SpoolError> {
    let (address, durable) = queued?;
    durable.await.map(|()| address)
}

fn shed(route: Route, seconds: u64) -> Answer {
    let reply = match route {
        // A page with a broken image helps nobody.
        Route::Pixel | Route::Impression => reply::gif(),
        Route::Postback | Route::Beacon => {
            reply::json_refusal(StatusCode::TOO_MANY_REQUESTS, Reason::RateLimited)
        }
        Route::Click | Route::Other => reply::page(Page::TooMany),
    };
    Answer::new(reply, Outcome::Shed, Reason::RateLimited).retry_after(seconds)
}

pub(super) fn prefetch(hit: &Hit<'_>) -> bool {
    is_prefetch(&hit.parts.headers)
}

fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Random bytes by the page: asking the system's generator for each salt costs more than the salt.
struct RandomPool {
    bytes: [u8; 1024],
    used: usize,
}

impl Default for RandomPool {
    fn default() -> Self {
        Self { bytes: [0; 1024], used: 1024 }
    }
}

impl RandomPool {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.bytes.len() {
            self.bytes = random();
            self.used = 0;
        }
        let mut taken = [0; N];
        match self.bytes.get_mut(self.used..self.used + N) {
            Some(fresh) => {
                taken.copy_from_slice(fresh);
                // What was given out is not kept.
                fresh.fill(0);
                self.used += N;
                taken
            }
            None => random(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn random_bytes_never_repeat() {
        let mut pool = RandomPool::default();
        let taken: HashSet<[u8; 16]> = (0..1000).map(|_| pool.take()).collect();
        assert_eq!(taken.len(), 1000);
        assert_ne!(pool.take::<2048>(), [0; 2048], "larger than the pool");
    }
}
