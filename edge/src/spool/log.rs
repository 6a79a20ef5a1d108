//! What the writer, the readers and the sender share of the log: which segments there are, and how far
//! they are durable.

use super::queue::Shared;
use crate::disk::{Boot, SharedDisk};
use crate::lanes::PerLane;
use proto_model::Lane;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Everything before this is durable. A reader goes no further.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogEnd {
    pub sequence: u64,
    pub offset: u64,
    /// The next ordinal of each lane.
    pub next: PerLane<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub bytes: u64,
    /// The next ordinals behind this segment; `None` while it is written.
    pub next: Option<PerLane<u64>>,
}

impl Segment {
    /// Whether it holds nothing of `lane` from `ordinal` on, and never will.
    pub fn is_before(&self, lane: Lane, ordinal: u64) -> bool {
        self.next.is_some_and(|next| next[lane] <= ordinal)
    }
}

pub(super) struct Log {
    pub disk: SharedDisk,
    pub dir: PathBuf,
    pub boot: Option<Boot>,
    pub shared: Arc<Shared>,
    pub segments: Mutex<BTreeMap<u64, Segment>>,
    pub end: watch::Sender<LogEnd>,
}

pub(super) fn segment_name(sequence: u64) -> String {
    format!("segment-{sequence:020}.log")
}

pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

impl Log {
    pub fn path(&self, sequence: u64) -> PathBuf {
        self.dir.join(segment_name(sequence))
    }

    pub fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before `end` is durable.
    pub fn publish(&self, end: LogEnd) {
        self.segments().entry(end.sequence).and_modify(|segment| segment.bytes = end.offset);
        self.end.send_replace(end);
    }

    /// Deletes the segments whose every record stands in a sealed batch. One that cannot be deleted holds up no other.
    pub fn release(&self, sealed: PerLane<u64>) -> io::Result<()> {
        let covered = |segment: &Segment| {
            let is_done = |lane| segment.is_before(lane, sealed[lane].saturating_add(1));
            is_done(Lane::Money) && is_done(Lane::Traffic)
        };
        let all: Vec<(u64, Segment)> = self.segments().iter().map(|(at, segment)| (*at, *segment)).collect();
        let (mut removed, mut outcome) = (false, Ok(()));
        for (sequence, segment) in all.into_iter().filter(|(_, segment)| covered(segment)) {
            match self.disk.remove(&self.path(sequence)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => outcome = Err(error),
                _ => {
                    self.segments().remove(&sequence);
                    self.shared.segment_bytes.fetch_sub(segment.bytes, Ordering::Relaxed);
                    removed = true;
                }
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir)?;
        }
        outcome
    }
}
