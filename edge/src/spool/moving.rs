//! What the writer does when an `fdatasync` fails: it never asks again, since the kernel may have dropped the pages
//! and would call the next one a success. What was durable before is copied into a new segment, as a start after a
//! crash does it; the group that failed, and who queued behind it, learn that they are not spooled.

use super::SpoolError;
use super::ahead::Ahead;
use super::group::Group;
use super::log::{LogEnd, Segment, segment_name};
use super::queue::QueueState;
use super::recover::move_records;
use super::writer::Writer;
use crate::disk::{prepare, put_in_place};
use crate::lanes::PerLane;
use std::io;
use std::sync::atomic::Ordering;

/// Groups that must go well before another failure counts as one of its own. A disk that fails more often is not to
/// be trusted with a copy either.
pub(super) const SOON: u64 = 100;

impl Writer {
    /// Goes on in a new segment. After an error, or when this failed lately, nothing is spooled until a restart.
    pub(super) fn move_on(&mut self, group: &Group, error: &io::Error) -> Result<(), ()> {
        if self.groups_since_move < SOON {
            tracing::error!(%error, "the spool's disk failed again; clicks go out unspooled until a restart");
            return Err(());
        }
        tracing::error!(%error, "the spool's disk failed; copying what is durable into a new segment");
        let next = self.refuse_all(group);
        self.ahead.end(&self.log);
        self.ahead = Ahead::default();
        if let Err(error) = self.copy(next) {
            tracing::error!(%error, "that failed, too; clicks go out unspooled until a restart");
            return Err(());
        }
        self.groups_since_move = 0;
        self.log.shared.moved.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.log.shared.lock();
        if queue.state == QueueState::Moving {
            queue.state = QueueState::Open;
        }
        Ok(())
    }

    /// Tells those who wait that they are not spooled, and refuses who comes meanwhile. Returns the ordinals that are
    /// next.
    fn refuse_all(&self, group: &Group) -> PerLane<u64> {
        let (waiting, next) = {
            let mut queue = self.log.shared.lock();
            if queue.state == QueueState::Open {
                queue.state = QueueState::Moving;
            }
            queue.records = Vec::new();
            // Nothing is left of what was due.
            queue.due = false;
            (std::mem::take(&mut queue.group), queue.next)
        };
        group.finish(Err(SpoolError::Poisoned));
        waiting.finish(Err(SpoolError::Poisoned));
        next
    }

    fn copy(&mut self, next: PerLane<u64>) -> io::Result<()> {
        let (old, shared) = (self.end, &self.log.shared);
        let (disk, dir) = (self.log.disk.as_ref(), &self.log.dir);
        let bytes = move_records(disk, dir, old, next)?;
        let sequence = old.sequence + 1;
        let file = prepare(disk, dir, &segment_name(sequence), &bytes)?;
        put_in_place(disk, dir, &segment_name(sequence))?;
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        {
            let mut segments = self.log.segments();
            segments.remove(&old.sequence);
            segments.insert(sequence, Segment { bytes: offset, next: None });
        }
        shared.segment_bytes.fetch_add(offset, Ordering::Relaxed);
        shared.segment_bytes.fetch_sub(old.offset, Ordering::Relaxed);
        (self.file, self.filled) = (file, false);
        self.end = LogEnd { sequence, offset, next };
        self.publish_end();
        let removed = disk.remove(&self.log.path(old.sequence)).and_then(|()| disk.sync_dir(dir));
        if let Err(error) = removed {
            // The next start does it: the new one says which it replaces.
            tracing::warn!(%error, "a segment that was copied could not be removed");
        }
        Ok(())
    }
}
