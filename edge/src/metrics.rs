//! What the HTTP side counts. Each worker writes counters of its own, so that no cache line is fought
//! over; a scrape adds them up.

use proto_model::Reason;
use std::fmt::Write;
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
    Route { Click "click", Pixel "pixel", Postback "postback", Other "other" }
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

/// Room for reasons to come; 0 is "no reason".
const REASONS: usize = 64;
const CELLS: usize = Route::ALL.len() * Outcome::ALL.len() * REASONS;

/// The counters of one worker.
pub struct Counters {
    replies: Box<[AtomicU64]>,
    pub accepted: AtomicU64,
    pub closed: AtomicU64,
    /// Closed at once: as many connections as allowed were open.
    pub turned_away: AtomicU64,
    /// Ended by a time limit or by something that is not HTTP.
    pub broken: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            replies: std::iter::repeat_with(AtomicU64::default).take(CELLS).collect(),
            accepted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }
    }
}

impl Counters {
    pub fn reply(&self, route: Route, outcome: Outcome, reason: Option<Reason>) {
        if let Some(cell) = self.replies.get(index(route, outcome, reason)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn replies(&self, route: Route, outcome: Outcome, reason: Option<Reason>) -> u64 {
        self.replies.get(index(route, outcome, reason)).map_or(0, |cell| cell.load(Ordering::Relaxed))
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

    /// Writes everything in the text format of Prometheus.
    pub fn write(&self, out: &mut String) {
        declare(out, "tributary_edge_replies_total", "counter", "Replies by route, outcome and reason.");
        for route in Route::ALL {
            for outcome in Outcome::ALL {
                let reasons = std::iter::once(None).chain(Reason::ALL.iter().copied().map(Some));
                for reason in reasons {
                    self.write_replies(out, *route, *outcome, reason);
                }
            }
        }
        let (accepted, closed) = (self.sum(|w| &w.accepted), self.sum(|w| &w.closed));
        let open = accepted.saturating_sub(closed);
        sample(out, "tributary_edge_connections_open", "gauge", "Connections open now.", open);
        sample(out, "tributary_edge_connections_total", "counter", "Connections served.", accepted);
        let turned_away = self.sum(|w| &w.turned_away);
        let help = "Connections closed at once, since as many as allowed were open.";
        sample(out, "tributary_edge_connections_turned_away_total", "counter", help, turned_away);
        let help = "Connections ended by a time limit or by something that is not HTTP.";
        sample(out, "tributary_edge_connections_broken_total", "counter", help, self.sum(|w| &w.broken));
    }

    fn write_replies(&self, out: &mut String, route: Route, outcome: Outcome, reason: Option<Reason>) {
        let count = self.replies(route, outcome, reason);
        if count == 0 {
            return;
        }
        let (route, outcome) = (route.as_str(), outcome.as_str());
        let reason = reason.map_or("", Reason::as_str);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "tributary_edge_replies_total{{route=\"{route}\",outcome=\"{outcome}\",reason=\"{reason}\"}} {count}"
        );
    }
}

fn declare(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One metric with one value.
pub fn sample(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    declare(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// One metric with a value for each lane.
pub fn sample_lanes(out: &mut String, name: &str, kind: &str, help: &str, money: u64, traffic: u64) {
    declare(out, name, kind, help);
    let _ = writeln!(out, "{name}{{lane=\"money\"}} {money}\n{name}{{lane=\"traffic\"}} {traffic}");
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
        metrics.worker(9).accepted.fetch_add(3, Ordering::Relaxed);
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            "# TYPE tributary_edge_replies_total counter",
            "tributary_edge_replies_total{route=\"click\",outcome=\"recorded\",reason=\"\"} 2",
            "tributary_edge_replies_total{route=\"postback\",outcome=\"refused\",reason=\"bad_token\"} 1",
            "tributary_edge_connections_open 3",
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
