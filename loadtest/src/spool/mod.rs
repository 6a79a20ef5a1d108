//! The edge's spool beside the least that a durable log can do, and beside a database: so many who wait at a time, each
//! for a record of its own, in turn in one run on one disk.

mod peers;
mod report;

use crate::compare::stats::order;
use hdrhistogram::Histogram;
use peers::Peer;
pub use report::Measured;
use std::path::{Path, PathBuf};

/// Waiting at once.
const SIZES: [usize; 3] = [1, 64, 4096];

pub struct Plan {
    /// On the disk that is measured; what is written there goes.
    pub dir: PathBuf,
    pub rounds: u32,
    /// Of each run.
    pub millis: u64,
    pub tell: fn(&str),
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("cannot write to {dir} (is there space? may this user?)", dir = dir.display())]
    Io {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the spool does not open")]
    Open(#[from] edge::spool::OpenError),
    #[error("the spool took no more (has the disk room for some gigabytes?)")]
    Append(#[from] edge::spool::SpoolError),
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Cpu(#[from] crate::compare::cpu::CpuError),
    #[error("a histogram cannot be made")]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// One peer in one round.
pub struct Run {
    pub records: u64,
    pub seconds: f64,
    /// CPU seconds of this process, all threads.
    pub cpu: f64,
    /// From a record's beginning to its `fdatasync`, in microseconds.
    pub waits: Histogram<u64>,
}

/// All peers with so many waiting.
pub struct Section {
    pub waiting: usize,
    /// By [`Peer::ALL`], then round.
    pub runs: Vec<Vec<Run>>,
}

/// Takes some seconds for each round.
pub fn run(plan: &Plan) -> Result<Measured, SpoolError> {
    let record = peers::Record::of_a_click();
    let mut sections = Vec::new();
    for waiting in SIZES {
        let mut section = Section { waiting, runs: Peer::ALL.iter().map(|_| Vec::new()).collect() };
        for round in 0..plan.rounds {
            for index in order(Peer::ALL.len(), round) {
                let peer = Peer::ALL[index];
                let run = in_a_directory(&plan.dir, |dir| peer.run(dir, &record, waiting, plan.millis))?;
                let rate = run.records as f64 / run.seconds;
                (plan.tell)(&format!("spool, {waiting} waiting: {:<16}{rate:>9.0}/s", peer.name()));
                section.runs[index].push(run);
            }
        }
        sections.push(section);
    }
    Ok(Measured { record_bytes: record.framed(), sections })
}

fn in_a_directory<T>(
    parent: &Path,
    work: impl FnOnce(&Path) -> Result<T, SpoolError>,
) -> Result<T, SpoolError> {
    let failed = |source| SpoolError::Io { dir: parent.to_owned(), source };
    let dir = tempfile::tempdir_in(parent).map_err(failed)?;
    let done = work(dir.path())?;
    dir.close().map_err(failed)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_makes_records_durable_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan { dir: dir.path().to_owned(), rounds: 1, millis: 1, tell: |_| {} };
        let measured = run(&plan).unwrap();
        assert_eq!(measured.sections.len(), SIZES.len());
        for section in &measured.sections {
            for runs in &section.runs {
                let run = &runs[0];
                assert!(run.records >= section.waiting as u64 && run.waits.len() == run.records);
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let missing = Plan { dir: dir.path().join("missing"), ..plan };
        assert!(matches!(run(&missing), Err(SpoolError::Io { .. })));
    }
}
