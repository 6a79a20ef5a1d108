//! What came of a run.

use super::LoadError;
use crate::answer::{Answer, Expect};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Latencies above one minute count as one minute.
const MAX_LATENCY_US: u64 = 60_000_000;
/// With a generator that lags more, a latency is no longer the server's.
const MAX_LAG_US: u64 = 1_000;

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From due to the last byte of the answer, of answered requests.
    pub latency: Histogram<u64>,
    /// From due to sent: what of the latency is waiting for a free connection or for this generator.
    pub delay: Histogram<u64>,
    /// What of `delay` is this generator's own: the request was due, and a connection was free.
    pub lag: Histogram<u64>,
    pub statuses: BTreeMap<u16, u64>,
    /// By kind: `connect`, `tls`, `closed` (by the server, before the answer), `garbled`, `timeout`, `unsent`
    /// (still waiting when the run was over), `refused` (answered, with an `X-Tributary-Reason`), `wrong`
    /// (answered with something else than was expected).
    pub errors: BTreeMap<&'static str, u64>,
    pub connections: Connections,
    pub elapsed: Duration,
    /// CPU time of this process, where the system tells.
    pub cpu: Option<Duration>,
}

/// That were made and got an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Connections {
    pub made: u64,
    /// With a TLS session of an earlier one.
    pub resumed: u64,
}

impl Outcome {
    pub(super) fn new() -> Result<Self, LoadError> {
        let empty = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?;
        Ok(Self {
            latency: empty.clone(),
            delay: empty.clone(),
            lag: empty,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            connections: Connections::default(),
            elapsed: Duration::ZERO,
            cpu: None,
        })
    }

    pub(super) fn failed(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.errors.entry(kind).or_default() += times;
        }
    }

    /// `since` = the request was due.
    pub(super) fn sent(&mut self, since: Duration, lag: Duration) {
        self.delay.saturating_record(micros(since));
        self.lag.saturating_record(micros(lag));
    }

    /// Without a latency where that does not count.
    pub(super) fn answer(&mut self, answer: &Answer, expect: Expect, latency: Option<Duration>) {
        if let Some(latency) = latency {
            self.latency.saturating_record(micros(latency));
        }
        *self.statuses.entry(answer.status).or_default() += 1;
        self.failed("refused", u64::from(answer.refused));
        self.failed("wrong", u64::from(!answer.refused && !expect.met_by(answer)));
    }

    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The generator was too late too often for its latencies to be believed.
    pub fn lagged(&self) -> bool {
        self.lag.value_at_quantile(0.99) > MAX_LAG_US
    }

    /// Of one core, in percent, that the generator took.
    pub fn own_share(&self) -> f64 {
        let cpu = self.cpu.unwrap_or_default().as_secs_f64();
        100.0 * cpu / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
