//! The thread that writes the log: takes all that has queued up, writes it, calls `fdatasync` once.

use super::SpoolError;
use super::ahead::{Ahead, Next};
use super::group::Group;
use super::log::{Log, LogEnd, Segment};
use super::moving::SOON;
use super::queue::QueueState;
use super::recover::CleanMarker;
use super::room::LOOK_EVERY;
use super::segment::{HEADER_LEN, SegmentHeader, append_skipped, finish_records};
use crate::disk::DiskFile;
use crate::lanes::PerLane;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(super) struct Writer {
    pub(super) log: Arc<Log>,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) end: LogEnd,
    /// There are zeros behind the end of the log: see [`Ahead`]. Not in the segment that a start begins.
    pub(super) filled: bool,
    pub(super) ahead: Ahead,
    pub(super) groups_since_move: u64,
    /// Bytes written since somebody looked at the disk.
    unlooked: u64,
}

/// What is queued waits this long, at most twice, for a worker that does not say that it has nothing left to do.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Records that one write takes are rarely more than this; a buffer that had to grow beyond it is not kept.
const KEPT_BUFFER: usize = 1 << 20;

/// What the writer took from the queue.
struct Taken {
    records: Vec<u8>,
    group: Arc<Group>,
    /// The next ordinals behind these records.
    next: PerLane<u64>,
    state: QueueState,
}

enum Failure {
    /// Nothing of the group is in the log; the next one may go better.
    NotWritten(io::Error),
    /// Nobody knows what is on disk.
    Poison(io::Error),
}

impl Writer {
    pub fn new(log: Arc<Log>, file: Box<dyn DiskFile>, end: LogEnd) -> Self {
        Self { log, file, end, filled: false, ahead: Ahead::default(), groups_since_move: SOON, unlooked: 0 }
    }

    pub fn run(mut self) {
        let last = self.serve();
        self.ahead.end(&self.log);
        if last == QueueState::Closing {
            self.mark_clean();
        }
    }

    /// Until the spool ends in one way or another.
    fn serve(&mut self) -> QueueState {
        // There are two buffers: requests fill one while the other is written.
        let mut spare = Vec::new();
        let mut taken_before = self.end.next;
        loop {
            let mut taken = self.take(spare);
            if taken.records.is_empty() {
                taken.group.finish(Err(SpoolError::Closed));
                return taken.state;
            }
            let outcome = self.commit(&mut taken, taken_before);
            self.log.shared.writing_bytes.store(0, Ordering::Relaxed);
            // Replies leave before anything else is done.
            let failed = match outcome {
                Ok(()) => {
                    taken.group.finish(Ok(()));
                    self.rotate_if_due().err()
                }
                Err(Failure::NotWritten(error)) => {
                    tracing::error!(%error, "the spool could not write; is the disk full?");
                    taken.group.finish(Err(SpoolError::Full));
                    self.unlooked = LOOK_EVERY;
                    self.rotate_if_due().err()
                }
                Err(poison) => Some(poison),
            };
            taken_before = taken.next;
            if let Some(Failure::NotWritten(error) | Failure::Poison(error)) = failed {
                if self.move_on(&taken.group, &error).is_err() {
                    return self.poison(&taken.group);
                }
                taken_before = self.end.next;
            }
            if self.unlooked >= LOOK_EVERY {
                self.unlooked = 0;
                self.log.shared.look_at_the_disk();
            }
            spare = taken.records;
            spare.clear();
            spare.shrink_to(KEPT_BUFFER);
        }
    }

    fn take(&self, spare: Vec<u8>) -> Taken {
        let shared = &self.log.shared;
        let mut queue = shared.lock();
        while !queue.due && matches!(queue.state, QueueState::Absent | QueueState::Open) {
            let was_empty = queue.records.is_empty();
            let (woken, timeout) =
                shared.wake.wait_timeout(queue, LONGEST_WAIT).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if !timeout.timed_out() {
                continue;
            }
            if !was_empty {
                // Their worker has not run out of work in all that time, and may never do so.
                break;
            }
            if queue.records.is_empty() && !queue.due {
                queue.asleep = true;
                queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.asleep = false;
            }
        }
        queue.due = false;
        let records = std::mem::replace(&mut queue.records, spare);
        shared.writing_bytes.store(u64::try_from(records.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Taken { records, group: std::mem::take(&mut queue.group), next: queue.next, state: queue.state }
    }

    /// `first` are the ordinals with which these records begin.
    fn commit(&mut self, taken: &mut Taken, first: PerLane<u64>) -> Result<(), Failure> {
        let declared = self.declare_unwritten(first);
        if !declared.is_empty() {
            taken.records.splice(0..0, declared);
        }
        finish_records(&mut taken.records, self.end.sequence);
        self.write_and_sync(&taken.records, taken.next)
    }

    /// Ordinals before `next` of groups that could not be written: nobody got a reply that counts on them,
    /// so they are not lost.
    fn declare_unwritten(&self, next: PerLane<u64>) -> Vec<u8> {
        let mut records = Vec::new();
        for &lane in Lane::ALL {
            let from = self.end.next[lane];
            if from < next[lane] {
                let skipped = skipped_to_wire(from, next[lane] - 1, SkipReason::Unclean);
                append_skipped(&mut records, lane, &skipped);
            }
        }
        records
    }

    fn write_and_sync(&mut self, buffer: &[u8], next: PerLane<u64>) -> Result<(), Failure> {
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if let Err(error) = self.file.write_all_at(self.end.offset, buffer) {
            // A part may be in the file: cut it off, so that what comes next stands at the same place.
            // The ordinals stay taken; what is written next declares them skipped first.
            return match self.file.set_len(self.end.offset) {
                Ok(()) => {
                    self.filled = false;
                    Err(Failure::NotWritten(error))
                }
                Err(_) => Err(Failure::Poison(error)),
            };
        }
        self.file.sync_data().map_err(Failure::Poison)?;
        self.log.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.groups_since_move = self.groups_since_move.saturating_add(1);
        self.end = LogEnd { offset: self.end.offset + len, next, ..self.end };
        self.log.segments().entry(self.end.sequence).and_modify(|segment| segment.bytes = self.end.offset);
        self.log.shared.segment_bytes.fetch_add(len, Ordering::Relaxed);
        self.unlooked = self.unlooked.saturating_add(len);
        self.publish_end();
        Ok(())
    }

    pub(super) fn publish_end(&self) {
        self.log.shared.room.last_segment.store(self.end.offset, Ordering::Relaxed);
        self.log.end.send_replace(self.end);
    }

    /// A segment is closed only now, when all of it is durable: of several segments, only the last can hold
    /// records that are not. A segment that was not prepared is left as soon as one is.
    fn rotate_if_due(&mut self) -> Result<(), Failure> {
        let full = self.end.offset >= self.log.shared.room.segment();
        if self.filled && !full {
            self.ahead.grown_to(self.end.offset);
            return Ok(());
        }
        match self.ahead.next(&self.log, self.end.sequence + 1) {
            Next::Ready(file) => self.rotate(file, true),
            // The old segment still works, it just grows on.
            Next::NotYet => Ok(()),
            Next::Unprepared if !full => Ok(()),
            // Small files can be deleted one by one; of one that grows for ever, nothing can.
            Next::Unprepared => match self.create_next() {
                Ok(file) => self.rotate(file, false),
                Err(error) => {
                    tracing::warn!(%error, "the spool could not create a segment; the old one grows on");
                    Ok(())
                }
            },
        }
    }

    fn create_next(&self) -> io::Result<Box<dyn DiskFile>> {
        let file = self.log.disk.create(&self.log.path(self.end.sequence + 1))?;
        self.log.disk.sync_dir(&self.log.dir)?;
        Ok(file)
    }

    fn rotate(&mut self, mut file: Box<dyn DiskFile>, filled: bool) -> Result<(), Failure> {
        let sequence = self.end.sequence + 1;
        let streams = self.log.shared.streams;
        let header = SegmentHeader { sequence, streams, first: self.end.next, replaces: 0 };
        if let Err(error) = file.write_all_at(0, &header.to_bytes()) {
            tracing::warn!(%error, "the spool could not start a new segment");
            let _ = self.log.disk.remove(&self.log.path(sequence));
            return Ok(());
        }
        // On its own: a segment with a record in it that counts has a header.
        file.sync_data().map_err(Failure::Poison)?;
        self.cut_off_zeros();
        let bytes = u64::try_from(HEADER_LEN).unwrap_or_default();
        {
            let mut segments = self.log.segments();
            segments.entry(self.end.sequence).and_modify(|segment| segment.next = Some(self.end.next));
            segments.insert(sequence, Segment { bytes, next: None });
        }
        self.log.shared.segment_bytes.fetch_add(bytes, Ordering::Relaxed);
        (self.file, self.filled) = (file, filled);
        self.end = LogEnd { sequence, offset: bytes, ..self.end };
        self.publish_end();
        if filled {
            self.ahead.begin(&self.log, sequence + 1);
        }
        Ok(())
    }

    /// Gives back what the segment does not need. Not made durable: zeros at the end are harmless.
    fn cut_off_zeros(&mut self) {
        if self.filled
            && let Err(error) = self.file.set_len(self.end.offset)
        {
            tracing::warn!(%error, "a closed segment could not be cut to its length");
        }
    }

    /// From here on nothing is spooled. Who waits in the queue learns it too.
    fn poison(&self, group: &Group) -> QueueState {
        let waiting = {
            let mut queue = self.log.shared.lock();
            queue.state = QueueState::Poisoned;
            queue.records = Vec::new();
            std::mem::take(&mut queue.group)
        };
        group.finish(Err(SpoolError::Poisoned));
        waiting.finish(Err(SpoolError::Poisoned));
        QueueState::Poisoned
    }

    fn mark_clean(&mut self) {
        let next: PerLane<u64> = self.log.shared.lock().next;
        if next != self.end.next {
            let mut records = self.declare_unwritten(next);
            finish_records(&mut records, self.end.sequence);
            if let Err(Failure::NotWritten(error) | Failure::Poison(error)) =
                self.write_and_sync(&records, next)
            {
                tracing::warn!(%error, "the spool could not be closed in order; the next start recovers it");
                return;
            }
        }
        self.cut_off_zeros();
        let marker = CleanMarker { streams: self.log.shared.streams, next };
        if let Err(error) = marker.write(self.log.disk.as_ref(), &self.log.dir) {
            tracing::warn!(%error, "the spool was closed, but could not be marked as closed");
        }
    }
}
