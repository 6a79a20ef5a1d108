//! What the HTTP side counts. Each worker writes counters of its own, so that no cache line is fought
//! over; a scrape adds them up.

mod scrape;

pub use scrape::{Scrape, text};

use proto_model::Reason;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

labels!(
    /// What was asked for.
    Route {
        Click "click",
        Impression "impression",
        Pixel "pixel",
        Postback "postback",
        Beacon "beacon",
        Other "other",
    }
);

labels!(
    Outcome {
        /// On disk, and it went its way.
        Recorded "recorded",
        /// On disk, and a rule blocked it.
        Blocked "blocked",
        /// The same was said before.
        Duplicate "duplicate",
        /// Not valid; recorded as refused where the advertiser is known.
        Refused "refused",
        /// Redirected although it could not be written down.
        Unspooled "unspooled",
        /// Answered but no hit: HEAD, prefetch.
        Uncounted "uncounted",
        /// Too many requests from one address.
        Shed "shed",
        /// Asked to come again.
        Failed "failed",
    }
);

labels!(
    /// What a connection speaks.
    Transport { Http1 "http1", Http2 "http2", Http3 "http3" }
);

labels!(
    /// Why a connection was closed before it could ask anything.
    TurnedAway {
        /// As many connections as allowed were open.
        Full "full",
        /// As many of this client as allowed were open.
        ClientFull "client_full",
        /// Not from a trusted proxy, where only those may connect.
        UntrustedProxy "untrusted_proxy",
        /// No PROXY header, or a broken one.
        ProxyHeader "proxy_header",
    }
);

labels!(
    /// How a TLS or QUIC handshake ended.
    Handshake { Full "full", Resumed "resumed", Quic "quic", Failed "failed", Late "late" }
);

labels!(
    /// What became of the first packet of a QUIC connection.
    Incoming {
        Accepted "accepted",
        /// Asked to prove its address first.
        Retried "retried",
        /// Told to go away: full, or switched off.
        Refused "refused",
        /// Not even answered: too many handshakes are under way.
        Ignored "ignored",
    }
);

/// Room for reasons to come; 0 is "no reason".
const REASONS: usize = 64;
const CELLS: usize = Route::ALL.len() * Outcome::ALL.len() * REASONS;

/// A number for each value of a label.
type Tally<const N: usize> = [AtomicU64; N];

/// The counters of one worker.
pub struct Counters {
    replies: Box<[AtomicU64]>,
    connections: Tally<{ Transport::ALL.len() }>,
    requests: Tally<{ Transport::ALL.len() }>,
    turned_away: Tally<{ TurnedAway::ALL.len() }>,
    handshakes: Tally<{ Handshake::ALL.len() }>,
    incoming: Tally<{ Incoming::ALL.len() }>,
    /// Ended by a time limit or by something that is not HTTP.
    broken: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            replies: std::iter::repeat_with(AtomicU64::default).take(CELLS).collect(),
            connections: Default::default(),
            requests: Default::default(),
            turned_away: Default::default(),
            handshakes: Default::default(),
            incoming: Default::default(),
            broken: AtomicU64::new(0),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub fn reply(&self, route: Route, outcome: Outcome, reason: Option<Reason>) {
        if let Some(cell) = self.replies.get(index(route, outcome, reason)) {
            add(cell);
        }
    }

    pub fn replies(&self, route: Route, outcome: Outcome, reason: Option<Reason>) -> u64 {
        self.replies.get(index(route, outcome, reason)).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    pub fn connection(&self, transport: Transport) {
        add(&self.connections[transport as usize]);
    }

    pub fn request(&self, transport: Transport) {
        add(&self.requests[transport as usize]);
    }

    pub fn turned_away(&self, why: TurnedAway) {
        add(&self.turned_away[why as usize]);
    }

    pub fn handshake(&self, how: Handshake) {
        add(&self.handshakes[how as usize]);
    }

    pub fn incoming(&self, what: Incoming) {
        add(&self.incoming[what as usize]);
    }

    pub fn broken(&self) {
        add(&self.broken);
    }
}

fn index(route: Route, outcome: Outcome, reason: Option<Reason>) -> usize {
    let reason = reason.map_or(0, |reason| usize::from(reason.code()));
    (route as usize * Outcome::ALL.len() + outcome as usize) * REASONS + reason
}

/// The counters of all workers.
pub struct Metrics {
    workers: Vec<Counters>,
}

impl Metrics {
    pub fn new(workers: usize) -> Self {
        Self { workers: std::iter::repeat_with(Counters::default).take(workers.max(1)).collect() }
    }

    /// Of a worker that does not exist: the first one's.
    pub fn worker(&self, index: usize) -> &Counters {
        self.workers.get(index).unwrap_or(&self.workers[0])
    }

    pub fn replies(&self, route: Route, outcome: Outcome, reason: Option<Reason>) -> u64 {
        self.workers.iter().map(|worker| worker.replies(route, outcome, reason)).sum()
    }

    fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|worker| of(worker).load(Ordering::Relaxed)).sum()
    }

    pub fn write(&self, scrape: &mut Scrape<'_>) -> std::fmt::Result {
        scrape.counters("replies", "Replies by route, outcome and reason", self.all_replies())?;
        let each = |of: fn(&Counters) -> &[AtomicU64], at: usize| self.sum(|worker| &of(worker)[at]);
        let transports = |of: fn(&Counters) -> &[AtomicU64]| {
            Transport::ALL.iter().map(move |one| ([("transport", one.as_str())], each(of, *one as usize)))
        };
        let help = "Connections that came to speak HTTP";
        scrape.counters("connections", help, transports(|worker| &worker.connections))?;
        scrape.counters("requests", "Requests that could be read", transports(|worker| &worker.requests))?;
        let turned_away = TurnedAway::ALL
            .iter()
            .map(|why| ([("reason", why.as_str())], each(|worker| &worker.turned_away, *why as usize)));
        let help = "Connections closed before they could ask anything";
        scrape.counters("connections_turned_away", help, turned_away)?;
        let handshakes = Handshake::ALL
            .iter()
            .map(|how| ([("outcome", how.as_str())], each(|worker| &worker.handshakes, *how as usize)));
        scrape.counters("handshakes", "TLS and QUIC handshakes", handshakes)?;
        let incoming = Incoming::ALL
            .iter()
            .map(|what| ([("outcome", what.as_str())], each(|worker| &worker.incoming, *what as usize)));
        scrape.counters("quic_incoming", "QUIC connections that were asked for", incoming)?;
        let help = "Connections ended by a time limit or by something that is not HTTP";
        scrape.counter("connections_broken", help, self.sum(|worker| &worker.broken))
    }

    /// What has happened at all: most combinations never do.
    fn all_replies(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 3], u64)> {
        let reasons = || std::iter::once(None).chain(Reason::ALL.iter().copied().map(Some));
        let outcomes = Outcome::ALL.iter().flat_map(move |outcome| reasons().map(move |why| (*outcome, why)));
        let all = Route::ALL
            .iter()
            .flat_map(move |route| outcomes.clone().map(move |(outcome, reason)| (*route, outcome, reason)));
        all.filter_map(|(route, outcome, reason)| {
            let count = self.replies(route, outcome, reason);
            let reason = reason.map_or("", Reason::as_str);
            let labels = [("route", route.as_str()), ("outcome", outcome.as_str()), ("reason", reason)];
            (count > 0).then_some((labels, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_workers() {
        let metrics = Metrics::new(2);
        metrics.worker(0).reply(Route::Click, Outcome::Recorded, None);
        metrics.worker(1).reply(Route::Click, Outcome::Recorded, None);
        metrics.worker(1).reply(Route::Postback, Outcome::Refused, Some(Reason::BadToken));
        metrics.worker(9).turned_away(TurnedAway::ClientFull);
        metrics.worker(0).request(Transport::Http3);
        let text = text(move |scrape| metrics.write(scrape));
        for line in [
            "# TYPE tributary_edge_replies counter",
            "tributary_edge_replies_total{route=\"click\",outcome=\"recorded\",reason=\"\"} 2",
            "tributary_edge_replies_total{route=\"postback\",outcome=\"refused\",reason=\"bad_token\"} 1",
            "tributary_edge_requests_total{transport=\"http3\"} 1",
            "tributary_edge_connections_turned_away_total{reason=\"client_full\"} 1",
            "tributary_edge_connections_broken_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_reason_has_its_cell() {
        assert!(Reason::ALL.iter().all(|reason| usize::from(reason.code()) < REASONS));
        let last = index(Route::Other, Outcome::Failed, Reason::ALL.last().copied());
        assert!(last < CELLS);
    }
}
