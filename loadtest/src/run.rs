//! What is to be sent, and what came of it.

mod engine;

use crate::schedule::Schedule;
use engine::Engine;
use hdrhistogram::Histogram;
use http::Uri;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Latencies above one minute count as one minute.
const MAX_LATENCY_US: u64 = 60_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// By the clock.
    Open(Schedule),
    /// Every connection asks again as soon as it has its answer.
    Peak { seconds: u32 },
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port/path`; `{n}` in it becomes another number for each request.
    pub url: Uri,
    pub load: Load,
    /// Each carries one request at a time; what is due while all are busy waits, and its wait counts.
    pub connections: u32,
    pub timeout: Duration,
    /// Each request claims another client address in `X-Forwarded-For`.
    pub forwarded: bool,
}

impl Plan {
    fn length(&self) -> Duration {
        match self.load {
            Load::Open(schedule) => schedule.length(),
            Load::Peak { seconds } => Duration::from_secs(u64::from(seconds)),
        }
    }

    fn is_empty(&self) -> bool {
        let nothing = match self.load {
            Load::Open(schedule) => schedule.total() == 0,
            Load::Peak { seconds } => seconds == 0,
        };
        nothing || self.connections == 0
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("`{0}` is not an http:// address with a host; TLS is not measured here")]
    Url(Uri),
    #[error("the host of `{url}` was not found")]
    Host {
        url: Uri,
        #[source]
        source: std::io::Error,
    },
    #[error("rate, seconds and connections must be at least 1")]
    Nothing,
    #[error("cannot make a histogram")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("cannot wait for sockets")]
    Poll(#[source] std::io::Error),
}

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From due to the last byte of the answer, of answered requests.
    pub latency: Histogram<u64>,
    /// From due to sent: what of the latency is waiting for a free connection or for this generator.
    pub delay: Histogram<u64>,
    pub statuses: BTreeMap<u16, u64>,
    /// By kind: `connect`, `closed` (by the server, before the answer), `garbled`, `timeout`, `unsent` (still
    /// waiting when the run was over), `refused` (answered, with an `X-Tributary-Reason`).
    pub errors: BTreeMap<&'static str, u64>,
    pub elapsed: Duration,
}

impl Outcome {
    fn new() -> Result<Self, LoadError> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?;
        let delay = latency.clone();
        let (statuses, errors) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { latency, delay, statuses, errors, elapsed: Duration::ZERO })
    }

    fn failed(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.errors.entry(kind).or_default() += times;
        }
    }

    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// One thread, which spins while requests are due within the millisecond: give it a core of its own.
pub fn run(plan: &Plan) -> Result<Outcome, LoadError> {
    let address = resolve(&plan.url)?;
    if plan.is_empty() {
        return Err(LoadError::Nothing);
    }
    Engine::new(plan, address)?.run()
}

fn resolve(url: &Uri) -> Result<SocketAddr, LoadError> {
    let (Some("http"), Some(host)) = (url.scheme_str(), url.host()) else {
        return Err(LoadError::Url(url.clone()));
    };
    let host = host.trim_matches(['[', ']']);
    let found = (host, url.port_u16().unwrap_or(80)).to_socket_addrs();
    let mut found = found.map_err(|source| LoadError::Host { url: url.clone(), source })?;
    found.next().ok_or_else(|| LoadError::Url(url.clone()))
}

#[cfg(test)]
mod tests;
