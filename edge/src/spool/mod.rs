//! The spool: a segment log that makes each hit durable before its reply leaves.
//!
//! A hit gets its address and its place in the log in one synchronous step ([`LocalSpool::append`]); a
//! thread of its own writes what has queued up and calls `fdatasync` once for all of it. Both lanes share
//! the log and the `fdatasync`, so conversions never wait behind clicks.

mod ahead;
mod boot;
mod bounded;
mod clean;
mod group;
mod log;
mod moving;
mod open;
mod queue;
mod reader;
mod recover;
mod room;
mod scan;
mod segment;
mod shut;
mod steps;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::wait as wait_for_test;

pub use group::Durable;
pub use log::LogEnd;
pub use open::{OpenAs, OpenError, Spool, SpoolLog};
pub use queue::{Idle, LocalSpool, SpoolHandle, SpoolStatus};
pub use reader::{LaneReader, Spooled};
pub use recover::Reading;
pub use shut::Shut;
pub use steps::Steps;

use crate::lanes::PerLane;
use proto_model::{EdgeId, Lane, StreamNo};
use serde::Deserialize;
use std::time::Duration;

/// Sizes of the spool. The defaults suit a node with a few spare gigabytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// A segment is closed when it has grown to this. The next one is prepared meanwhile: one or two segments
    /// more are on disk than hold events.
    pub segment_bytes: u64,
    /// Disk space for hits the control plane has not acknowledged, if the disk has it. Clicks may fill 80 %, the
    /// rest is kept for conversions.
    pub max_bytes: u64,
    /// Acknowledged batches are kept this long, so that a control plane restored from a backup can ask
    /// for them again...
    pub retain_secs: u64,
    /// ...as long as they take no more space than this.
    pub retain_bytes: u64,
    pub durability: Durability,
    /// What `durability = "bounded"` may lose.
    pub bounded: Window,
}

/// When a click is answered. Conversions and touches always wait until they are durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After `fdatasync`: nothing that was answered is ever lost.
    #[default]
    Strict,
    /// When it is written: if the power goes, the newest clicks are lost, and declared so.
    Bounded,
}

/// How much may be answered and not durable at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    pub window_ms: u64,
    /// Ordinals of the traffic lane.
    pub window_hits: u32,
}

impl Window {
    pub const MS_MAX: u64 = 1000;
    pub const HITS_MAX: u32 = 16_384;

    fn span(self) -> Duration {
        Duration::from_millis(self.window_ms)
    }
}

impl Default for Window {
    fn default() -> Self {
        Self { window_ms: 50, window_hits: 4096 }
    }
}

impl SpoolConfig {
    /// 0 = strict.
    fn window_hits(&self) -> u32 {
        self.window().map_or(0, |window| window.window_hits)
    }

    /// `None` = strict.
    pub fn window(&self) -> Option<Window> {
        match self.durability {
            Durability::Strict => None,
            Durability::Bounded => Some(self.bounded),
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            max_bytes: 4 << 30,
            retain_secs: 24 * 3600,
            retain_bytes: 1 << 30,
            durability: Durability::Strict,
            bounded: Window::default(),
        }
    }
}

/// Reads a file of the log as recovery does: the bytes of intact records, and those that are no records.
pub(crate) fn scan_segment(bytes: &[u8]) -> (usize, usize) {
    let sequence = segment::SegmentHeader::parse(bytes).map_or(1, |header| header.sequence);
    let mut intact = 0;
    let mut tally = scan::Tally::new(PerLane::build(|_| 1));
    let damaged = scan::scan(sequence, bytes, |piece| {
        tally.see(&piece);
        if let scan::Piece::Record(frame) = piece {
            let _ = frame.decode();
            intact += frame.len;
        }
    });
    (intact, damaged)
}

/// Whose events these are: what the control plane issued for this spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    pub edge: EdgeId,
    pub epoch: u32,
    pub money: StreamNo,
    pub traffic: StreamNo,
}

impl Streams {
    pub fn stream(&self, lane: Lane) -> StreamNo {
        match lane {
            Lane::Money => self.money,
            Lane::Traffic => self.traffic,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    #[error(
        "the spool has no room for this lane (is the control plane reachable? is the disk full, or max_bytes too small?)"
    )]
    Full,
    #[error("the disk failed to make events durable (replace it if that repeats)")]
    Poisoned,
    #[error("the spool could not be opened yet")]
    Absent,
    #[error("the spool is closing")]
    Closed,
    #[error("the lane takes no hits")]
    Shut(#[source] Shut),
    #[error("the event is too large to be sent, or not made for its address")]
    Unfit,
    #[error("this epoch has used up its ordinals")]
    Exhausted,
}
