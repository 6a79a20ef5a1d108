//! How much of its disk the spool may use.
//!
//! `max_bytes` is what it may take at most; the disk may have less, since it is small or since others use it. What
//! hits may fill ends where the spool could no longer empty itself: sealing needs room for new files before segments
//! can go, and a start after a crash needs room for a copy of the last segment.

use super::SpoolConfig;
use crate::disk::SharedDisk;
use proto_model::Lane;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// Two full batches of each lane, of a mebibyte before compression.
const SEALING: u64 = 4 << 20;
/// Directories, and what others write between two looks at the disk.
const SLACK: u64 = 1 << 20;
/// So many segments must fit, or they are smaller than they should be...
const SEGMENTS: u64 = 16;
/// ...but not smaller than this.
const SEGMENT_MIN: u64 = 1 << 20;
/// How much the log may grow between two looks at the disk.
pub(super) const LOOK_EVERY: u64 = 256 << 10;

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// By hits that wait for the control plane.
    pub used: u64,
    /// By the segment that is written, of these.
    pub last_segment: u64,
    pub free: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// What hits may take, in all.
    pub limit: u64,
    /// A segment is closed when it has grown to this.
    pub segment: u64,
    /// What is free beyond the reserve.
    pub spare: u64,
    /// What is kept for other reasons than need should go.
    pub tight: bool,
}

impl Room {
    pub fn of(config: &SpoolConfig, usage: Usage) -> Self {
        let Usage { used, last_segment, free } = usage;
        let total = used.saturating_add(free);
        let segment = config.segment_bytes.min((total / SEGMENTS).max(SEGMENT_MIN));
        let copy = segment.max(last_segment);
        // Of a very small disk one half is better than nothing.
        let reserve = copy.saturating_add(SEALING + SLACK).min(total / 2);
        let spare = free.saturating_sub(reserve);
        let limit = config.max_bytes.min(used.saturating_add(spare));
        // Early, since clicks may only take a part, and before the next segments are there.
        let tight = limit < config.max_bytes && spare < (used / 2).saturating_add(segment.saturating_mul(2));
        Self { limit, segment, spare, tight }
    }
}

/// Clicks leave a fifth to conversions.
pub(super) fn share(limit: u64, lane: Lane) -> u64 {
    match lane {
        Lane::Money => limit,
        Lane::Traffic => limit / 5 * 4,
    }
}

/// The room as it was found when somebody last looked.
pub(super) struct Gauge {
    pub disk: SharedDisk,
    pub dir: PathBuf,
    limit: AtomicU64,
    segment: AtomicU64,
    spare: AtomicU64,
    /// Bytes of the segment that is written.
    pub last_segment: AtomicU64,
    tight: watch::Sender<bool>,
    /// One at a time, so that an older look never takes the place of a newer one.
    looking: Mutex<()>,
    /// So that it is said once.
    blind: AtomicBool,
}

impl Gauge {
    pub fn new(disk: SharedDisk, dir: &Path, config: &SpoolConfig) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            limit: AtomicU64::new(config.max_bytes),
            segment: AtomicU64::new(config.segment_bytes),
            spare: AtomicU64::new(u64::MAX),
            last_segment: AtomicU64::new(0),
            tight: watch::channel(false).0,
            looking: Mutex::default(),
            blind: AtomicBool::new(false),
        }
    }

    /// Looks at the disk. `used` are bytes of hits that wait for the control plane.
    pub fn look(&self, config: &SpoolConfig, used: u64) {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.disk.free(&self.dir).unwrap_or_else(|error| {
            if !self.blind.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "the free space of the spool's disk cannot be found out");
            }
            u64::MAX
        });
        let usage = Usage { used, last_segment: self.last_segment.load(Ordering::Relaxed), free };
        let room = Room::of(config, usage);
        self.limit.store(room.limit, Ordering::Relaxed);
        self.segment.store(room.segment, Ordering::Relaxed);
        self.spare.store(room.spare, Ordering::Relaxed);
        self.tight.send_if_modified(|tight| std::mem::replace(tight, room.tight) != room.tight);
    }

    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn segment(&self) -> u64 {
        self.segment.load(Ordering::Relaxed)
    }

    pub fn spare(&self) -> u64 {
        self.spare.load(Ordering::Relaxed)
    }

    /// Changes when room becomes tight, or is no longer.
    pub fn tight(&self) -> watch::Receiver<bool> {
        self.tight.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_is_kept_free_and_small_disks_get_small_segments() {
        let config = SpoolConfig::default();
        let usage = |used, last_segment, free| Usage { used, last_segment, free };
        let cases = [
            // What, the limit, a segment, what is spare, tight.
            ("much", usage(0, 0, u64::MAX), config.max_bytes, 16, u64::MAX - 21 * MIB, false),
            ("a gigabyte", usage(0, 0, 1024 * MIB), 1003 * MIB, 16, 1003 * MIB, false),
            ("less and less", usage(680 * MIB, MIB, 344 * MIB), 1003 * MIB, 16, 323 * MIB, true),
            ("nothing", usage(1003 * MIB, MIB, 21 * MIB), 1003 * MIB, 16, 0, true),
            ("below that", usage(1014 * MIB, MIB, 10 * MIB), 1014 * MIB, 16, 0, true),
            ("a long segment", usage(100 * MIB, 50 * MIB, 156 * MIB), 201 * MIB, 16, 101 * MIB, false),
            ("a small disk", usage(0, 0, 64 * MIB), 55 * MIB, 4, 55 * MIB, false),
            ("a tiny one", usage(MIB, 0, 7 * MIB), 4 * MIB, 1, 3 * MIB, false),
            ("none", usage(0, 0, 0), 0, 1, 0, true),
        ];
        for (what, usage, limit, segment, spare, tight) in cases {
            let expected = Room { limit, segment: segment * MIB, spare, tight };
            assert_eq!(Room::of(&config, usage), expected, "{what}");
        }
        assert_eq!((share(100, Lane::Money), share(100, Lane::Traffic)), (100, 80));
    }
}
