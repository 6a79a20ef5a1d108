//! Several servers on one machine, measured in turn: forth and back (ABBA), so that what drifts or disturbs
//! meets all of them, and compared round by round.

pub(crate) mod cpu;
mod doubts;
pub(crate) mod memory;
mod peer;
mod report;
pub mod stats;
pub(crate) mod sync;

pub use peer::{Peer, PeerError};
pub use report::{json, table};

use crate::answer::Expect;
use crate::requests::Crowd;
use crate::run::{Load, LoadError, Outcome, Plan, run};
use crate::schedule::Schedule;
use cpu::{CpuError, Machine};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Comparison {
    /// The first is the one that is compared with each of the others.
    pub peers: Vec<Peer>,
    pub rounds: u32,
    pub seconds: u32,
    pub connections: u32,
    /// Requests at once on a connection that can carry several.
    pub streams: u32,
    /// Parts of the slowest peer's peak at which latency is measured, for all at the same rate.
    pub loads: Vec<f64>,
    pub timeout: Duration,
    pub crowd: Crowd,
    pub expect: Expect,
    pub ca: Option<PathBuf>,
    /// Where plain writes with `fdatasync` are timed, too.
    pub sync_dir: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("at least two --peer are needed, and at least one round")]
    Nothing,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Cpu(#[from] CpuError),
    #[error("cannot time fdatasync in {}", dir.display())]
    Sync {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{0}` answered nothing")]
    Silent(String),
}

/// One run against one peer.
#[derive(Clone, Debug)]
pub struct Sample {
    pub outcome: Outcome,
    /// Of the server's process, for each answer.
    pub cpu_us: f64,
    /// Of everything that is neither server nor generator, for each answer: kernel threads and neighbours.
    pub other_us: f64,
    /// Of the time of all cores, in percent.
    pub steal: f64,
    /// Of one core, in percent, that the server took.
    pub server_share: f64,
    /// Of the server after the run, in KiB.
    pub resident: u64,
}

/// At one rate.
pub struct Open {
    /// Part of the slowest peer's peak.
    pub load: f64,
    pub rate: u32,
    pub samples: Vec<Vec<Sample>>,
}

pub struct Measured {
    pub comparison: Comparison,
    /// For each peer its samples, in the order of the rounds.
    pub peak: Vec<Vec<Sample>>,
    pub open: Vec<Open>,
    pub sync: Option<Histogram<u64>>,
}

impl Measured {
    /// By one peer, in all runs.
    pub fn answered(&self, peer: usize) -> u64 {
        let rounds = std::iter::once(&self.peak).chain(self.open.iter().map(|open| &open.samples));
        rounds.filter_map(|samples| samples.get(peer)).flatten().map(|sample| sample.outcome.answered()).sum()
    }

    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let mut sum = BTreeMap::new();
        let open = self.open.iter().flat_map(|open| &open.samples);
        for sample in self.peak.iter().chain(open).flatten() {
            for (kind, count) in &sample.outcome.errors {
                *sum.entry(*kind).or_default() += count;
            }
        }
        sum
    }
}

/// `tell` hears of each run as it ends.
pub fn compare(comparison: Comparison, mut tell: impl FnMut(&str)) -> Result<Measured, CompareError> {
    if comparison.peers.len() < 2 || comparison.rounds == 0 {
        return Err(CompareError::Nothing);
    }
    for peer in &comparison.peers {
        // Caches fill, files grow to where they stay: nothing of it is counted.
        measure(&comparison, peer, Load::Peak { seconds: 1 })?;
    }
    let sync = comparison.sync_dir.is_some().then(sync::histogram);
    let mut sync = sync.transpose().map_err(LoadError::from)?;
    let load = Load::Peak { seconds: comparison.seconds };
    let peak = all_rounds(&comparison, load, "peak", &mut sync, &mut tell)?;
    let slowest = peak.iter().map(|samples| stats::median(rates(samples))).fold(f64::INFINITY, f64::min);
    let mut open = Vec::new();
    for load in comparison.loads.iter().copied() {
        let rate = ((slowest * load) as u32).max(1);
        let schedule = Load::Open(Schedule { rate, seconds: comparison.seconds });
        let what = format!("{:.0} %", load * 100.0);
        open.push(Open {
            load,
            rate,
            samples: all_rounds(&comparison, schedule, &what, &mut sync, &mut tell)?,
        });
    }
    Ok(Measured { comparison, peak, open, sync })
}

pub(crate) fn rates(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|sample| sample.outcome.rate())
}

fn all_rounds(
    comparison: &Comparison,
    load: Load,
    what: &str,
    sync: &mut Option<Histogram<u64>>,
    tell: &mut impl FnMut(&str),
) -> Result<Vec<Vec<Sample>>, CompareError> {
    let mut samples = vec![Vec::new(); comparison.peers.len()];
    for round in 0..comparison.rounds {
        if let (Some(sync), Some(dir)) = (sync.as_mut(), &comparison.sync_dir) {
            sync::probe(dir, sync).map_err(|source| CompareError::Sync { dir: dir.clone(), source })?;
        }
        for number in stats::order(comparison.peers.len(), round) {
            let (Some(peer), Some(samples)) = (comparison.peers.get(number), samples.get_mut(number)) else {
                continue;
            };
            let sample = measure(comparison, peer, load)?;
            tell(&format!(
                "{what} {}/{} {:<16}{:>9.0}/s {:>7.2} CPU-us  p99 {:>6} us  steal {:.1} %",
                round + 1,
                comparison.rounds,
                peer.name,
                sample.outcome.rate(),
                sample.cpu_us,
                sample.outcome.latency.value_at_quantile(0.99),
                sample.steal
            ));
            samples.push(sample);
        }
    }
    Ok(samples)
}

fn measure(comparison: &Comparison, peer: &Peer, load: Load) -> Result<Sample, CompareError> {
    let plan = Plan {
        url: peer.url.clone(),
        transport: peer.transport,
        load,
        connections: comparison.connections,
        streams: comparison.streams,
        timeout: comparison.timeout,
        crowd: peer.crowd.unwrap_or(comparison.crowd),
        expect: comparison.expect,
        ca: comparison.ca.clone(),
    };
    let own = [std::process::id()];
    let (server, generator) = (cpu::of(&peer.pids)?, cpu::of(&own)?);
    let machine = Machine::now()?;
    let outcome = run(&plan)?;
    let machine = Machine::now()?.since(machine);
    let (server, generator) = (cpu::of(&peer.pids)? - server, cpu::of(&own)? - generator);
    if outcome.answered() == 0 {
        return Err(CompareError::Silent(peer.name.clone()));
    }
    let each = |seconds: f64| seconds * 1e6 / outcome.answered() as f64;
    Ok(Sample {
        cpu_us: each(server),
        other_us: each((machine.busy - server - generator).max(0.0)),
        steal: 100.0 * machine.steal / machine.total.max(f64::MIN_POSITIVE),
        server_share: 100.0 * server / outcome.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        resident: memory::resident(&peer.pids)?,
        outcome,
    })
}

#[cfg(test)]
mod tests;
