//! What the writer does when an `fdatasync` fails: it never asks again, since the kernel may have dropped the pages
//! and would call the next one a success. What was durable before is copied into a new segment, as a start after a
//! crash does it; the group that failed, and who queued behind it, learn that they are not spooled. In bounded mode
//! some of them were answered already: what was written is kept in memory until it is durable, and written again.

use super::SpoolError;
use super::boot;
use super::bounded::Left;
use super::log::{LogEnd, Segment, segment_name};
use super::queue::{Groups, QueueState, finish};
use super::recover::{Kept, move_records};
use super::writer::Writer;
use crate::disk::{prepare, put_in_place};
use crate::lanes::PerLane;
use std::io;
use std::sync::atomic::Ordering;

/// Calls that must go well before another failure counts as one of its own. A disk that fails more often is not to
/// be trusted with a copy either.
pub(super) const SOON: u64 = 100;

impl Writer {
    /// Goes on in a new segment. After an error, or when this failed lately, nothing is spooled until a restart.
    pub(super) fn move_on(&mut self, groups: &Groups, error: &io::Error) -> Result<(), ()> {
        let syncs = self.log.shared.syncs.load(Ordering::Relaxed);
        let left = self.what_is_left();
        if self.moved_at.is_some_and(|at| syncs - at < SOON) {
            give_up(left);
            tracing::error!(%error, "the spool's disk failed again; clicks go out unspooled until a restart");
            return Err(());
        }
        tracing::error!(%error, "the spool's disk failed; copying what is durable into a new segment");
        let next = self.refuse_all(groups);
        self.ahead.end(&self.log);
        self.ahead = self.ahead.renewed();
        if let Err(error) = self.copy(&left, next) {
            give_up(left);
            tracing::error!(%error, "that failed, too; clicks go out unspooled until a restart");
            return Err(());
        }
        self.moved_at = Some(syncs);
        self.log.shared.moved.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.log.shared.lock();
        if queue.state == QueueState::Moving {
            queue.state = QueueState::Open;
        }
        drop(queue);
        for group in left.waiting {
            group.finish(Ok(()));
        }
        Ok(())
    }

    /// Tells those who wait that they are not spooled, and refuses who comes meanwhile. Returns the ordinals that are
    /// next.
    fn refuse_all(&self, groups: &Groups) -> PerLane<u64> {
        let (waiting, next) = {
            let mut queue = self.log.shared.lock();
            if queue.state == QueueState::Open {
                queue.state = QueueState::Moving;
            }
            queue.records = Vec::new();
            // Nothing is left of what was due.
            queue.due = false;
            (std::mem::take(&mut queue.groups), queue.next)
        };
        finish(groups, Err(SpoolError::Poisoned));
        finish(&waiting, Err(SpoolError::Poisoned));
        next
    }

    /// In strict mode everybody who is not durable is refused.
    fn what_is_left(&mut self) -> Left {
        let Some(unsynced) = &self.unsynced else {
            return Left { durable: self.end, next: self.end.next, ..Left::default() };
        };
        let left = unsynced.halt();
        self.end = left.durable;
        left
    }

    fn copy(&mut self, left: &Left, next: PerLane<u64>) -> io::Result<()> {
        let (old, shared) = (self.end, &self.log.shared);
        let (disk, dir) = (self.log.disk.as_ref(), &self.log.dir);
        let kept = Kept { records: &left.records, next: left.next };
        let bytes = move_records(disk, dir, old, kept, next)?;
        let sequence = old.sequence + 1;
        let file = prepare(disk, dir, &segment_name(sequence), &bytes)?;
        let second = self.second(file.as_ref())?;
        put_in_place(disk, dir, &segment_name(sequence))?;
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        {
            let mut segments = self.log.segments();
            segments.remove(&old.sequence);
            segments.insert(sequence, Segment { bytes: offset, next: None });
        }
        shared.segment_bytes.fetch_add(offset, Ordering::Relaxed);
        shared.segment_bytes.fetch_sub(self.written.offset, Ordering::Relaxed);
        self.filled = false;
        if self.unsynced.is_some() {
            boot::mark(disk, dir, self.log.boot.as_ref());
        }
        self.go_on_in(file, second, LogEnd { sequence, offset, next });
        let (disk, dir) = (self.log.disk.as_ref(), &self.log.dir);
        let removed = disk.remove(&self.log.path(old.sequence)).and_then(|()| disk.sync_dir(dir));
        if let Err(error) = removed {
            // The next start does it: the new one says which it replaces.
            tracing::warn!(%error, "a segment that was copied could not be removed");
        }
        Ok(())
    }
}

/// Those who were answered: their clicks are declared by the next start, should they be gone.
fn give_up(left: Left) {
    if !left.records.is_empty() {
        tracing::error!("clicks that were answered are not durable, and may be lost");
    }
    for group in left.waiting {
        group.finish(Err(SpoolError::Poisoned));
    }
}
