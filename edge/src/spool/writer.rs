//! The thread that writes the log: takes all that has queued up, writes it, calls `fdatasync` once.

use super::SpoolError;
use super::ahead::{Ahead, Next};
use super::bounded::Unsynced;
use super::clean::CleanMarker;
use super::log::{Log, LogEnd, Segment};
use super::queue::{Groups, Queue, QueueState, Shared, finish, wait};
use super::room::LOOK_EVERY;
use super::segment::{HEADER_LEN, SegmentHeader, append_skipped, finish_records};
use crate::disk::DiskFile;
use crate::lanes::PerLane;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;

pub(super) struct Writer {
    pub(super) log: Arc<Log>,
    pub(super) file: Box<dyn DiskFile>,
    /// What is durable. In bounded mode, as far as this thread was told.
    pub(super) end: LogEnd,
    pub(super) written: LogEnd,
    /// There are zeros behind the end of the log: see [`Ahead`]. Not in the segment that a start begins.
    pub(super) filled: bool,
    pub(super) ahead: Ahead,
    /// In bounded mode: what is written, and another thread makes durable.
    pub(super) unsynced: Option<Arc<Unsynced>>,
    syncing: Option<JoinHandle<()>>,
    /// Calls of `fdatasync` at the time of the last failure.
    pub(super) moved_at: Option<u64>,
    /// The next ordinals behind what was taken from the queue.
    taken: PerLane<u64>,
    /// There are two buffers: requests fill one while the other is written.
    spare: Vec<u8>,
    /// Bytes written since somebody looked at the disk.
    unlooked: u64,
}

/// Records that one write takes are rarely more than this; a buffer that had to grow beyond it is not kept.
pub(super) const KEPT_BUFFER: usize = 1 << 20;

/// What the writer took from the queue.
struct Taken {
    records: Vec<u8>,
    groups: Groups,
    /// The next ordinals behind these records.
    next: PerLane<u64>,
    state: QueueState,
}

/// Who was forgotten, since the thread panicked, is told as well.
impl Drop for Taken {
    fn drop(&mut self) {
        finish(&self.groups, Err(SpoolError::Poisoned));
    }
}

/// If the writer panics, there is nobody who would write what comes then.
struct Guard {
    shared: Arc<Shared>,
    unsynced: Option<Arc<Unsynced>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the spool thread has panicked; clicks go out unspooled until a restart");
            poison(&self.shared);
            self.unsynced.iter().for_each(|unsynced| unsynced.end());
        }
    }
}

enum Failure {
    /// Nothing of the group is in the log; the next one may go better.
    NotWritten(io::Error),
    /// Nobody knows what is on disk.
    Poison(io::Error),
}

impl Writer {
    /// `alone`: there are no other threads, all is done in [`Self::turn`].
    pub fn new(log: Arc<Log>, file: Box<dyn DiskFile>, end: LogEnd, alone: bool) -> io::Result<Self> {
        let (mut unsynced, mut syncing) = (None, None);
        if let Some(window) = log.shared.config.window() {
            let new = Arc::new(Unsynced::new(Arc::clone(&log), window, file.share()?, end, alone));
            syncing = (!alone).then(|| new.spawn()).transpose()?;
            unsynced = Some(new);
        }
        Ok(Self {
            log,
            file,
            end,
            written: end,
            filled: false,
            ahead: Ahead::new(alone),
            unsynced,
            syncing,
            moved_at: None,
            taken: end.next,
            spare: Vec::new(),
            unlooked: 0,
        })
    }

    pub fn run(mut self) {
        let shared = Arc::clone(&self.log.shared);
        let _guard = Guard { shared: Arc::clone(&shared), unsynced: self.unsynced.clone() };
        let last = loop {
            if let Some(last) = self.turn(wait(&shared)) {
                break last;
            }
        };
        self.finish(last);
    }

    /// Writes what is queued. Once the spool ends, says in which way; then comes [`Self::finish`].
    pub(super) fn turn(&mut self, queue: MutexGuard<'_, Queue>) -> Option<QueueState> {
        let mut taken = self.take(queue);
        if taken.records.is_empty() && taken.state != QueueState::Open {
            finish(&taken.groups, Err(SpoolError::Closed));
            return Some(self.settle_or_move(taken.state));
        }
        let outcome = match self.commit(&mut taken) {
            Err(Failure::NotWritten(error)) => {
                tracing::error!(%error, "the spool could not write; is the disk full?");
                finish(&taken.groups, Err(SpoolError::Full));
                self.unlooked = LOOK_EVERY;
                Ok(())
            }
            outcome => outcome,
        };
        self.taken = taken.next;
        // Replies have left before anything else is done.
        let outcome = outcome.and_then(|()| self.rotate_if_due());
        if let Err(Failure::NotWritten(error) | Failure::Poison(error)) = outcome {
            if self.move_on(&taken.groups, &error).is_err() {
                finish(&taken.groups, Err(SpoolError::Poisoned));
                poison(&self.log.shared);
                return Some(QueueState::Poisoned);
            }
            self.taken = self.end.next;
        }
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = 0;
            self.log.shared.look_at_the_disk();
        }
        self.spare = std::mem::take(&mut taken.records);
        self.spare.clear();
        self.spare.shrink_to(KEPT_BUFFER);
        None
    }

    /// The end of a log is no reason to give up what a failed `fdatasync` would not cost at any other time.
    fn settle_or_move(&mut self, last: QueueState) -> QueueState {
        let Err(Failure::NotWritten(error) | Failure::Poison(error)) = self.settle() else { return last };
        let nobody = Groups::default();
        if self.move_on(&nobody, &error).is_err() {
            poison(&self.log.shared);
            return QueueState::Poisoned;
        }
        last
    }

    /// The end: what is written is durable, if it can be.
    pub(super) fn finish(mut self, last: QueueState) {
        let settled = self.settle();
        if let Some(unsynced) = &self.unsynced {
            unsynced.end();
            for group in unsynced.halt().waiting {
                group.finish(Err(SpoolError::Poisoned));
            }
        }
        if self.syncing.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes clicks durable had panicked");
        }
        self.ahead.end(&self.log);
        if last == QueueState::Closing {
            match settled {
                Ok(()) => self.mark_clean(),
                Err(Failure::NotWritten(error) | Failure::Poison(error)) => not_closed(&error),
            }
        }
    }

    /// All that is written is durable, or never will be.
    fn settle(&mut self) -> Result<(), Failure> {
        if let Some(unsynced) = &self.unsynced {
            self.end = unsynced.settle().map_err(Failure::Poison)?;
        }
        Ok(())
    }

    fn take(&mut self, mut queue: MutexGuard<'_, Queue>) -> Taken {
        queue.due = false;
        let records = std::mem::replace(&mut queue.records, std::mem::take(&mut self.spare));
        let len = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.log.shared.writing_bytes.store(len, Ordering::Relaxed);
        Taken { records, groups: std::mem::take(&mut queue.groups), next: queue.next, state: queue.state }
    }

    /// Those for whom this is enough are answered.
    fn commit(&mut self, taken: &mut Taken) -> Result<(), Failure> {
        if taken.records.is_empty() {
            // Woken since the other thread has failed.
            return self.unsynced.as_ref().map_or(Ok(()), |it| it.failure()).map_err(Failure::Poison);
        }
        let declared = self.declare_unwritten(self.taken);
        if !declared.is_empty() {
            taken.records.splice(0..0, declared);
        }
        finish_records(&mut taken.records, self.written.sequence);
        self.write(&taken.records, taken.next)?;
        if let Some(unsynced) = &self.unsynced {
            let groups = std::mem::take(&mut taken.groups);
            return unsynced.written(self.written, &taken.records, groups).map_err(Failure::Poison);
        }
        self.sync()?;
        finish(&taken.groups, Ok(()));
        Ok(())
    }

    /// Ordinals before `next` of groups that could not be written: nobody got a reply that counts on them,
    /// so they are not lost.
    fn declare_unwritten(&self, next: PerLane<u64>) -> Vec<u8> {
        let mut records = Vec::new();
        for &lane in Lane::ALL {
            let from = self.written.next[lane];
            if from < next[lane] {
                let skipped = skipped_to_wire(from, next[lane] - 1, SkipReason::Unclean);
                append_skipped(&mut records, lane, &skipped);
            }
        }
        records
    }

    fn write(&mut self, buffer: &[u8], next: PerLane<u64>) -> Result<(), Failure> {
        let shared = &self.log.shared;
        if let Err(error) = self.file.write_all_at(self.written.offset, buffer) {
            shared.writing_bytes.store(0, Ordering::Relaxed);
            // A part may be in the file: cut it off, so that what comes next stands at the same place.
            // The ordinals stay taken; what is written next declares them skipped first.
            return match self.file.set_len(self.written.offset) {
                Ok(()) => {
                    self.filled = false;
                    Err(Failure::NotWritten(error))
                }
                Err(_) => Err(Failure::Poison(error)),
            };
        }
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        self.written = LogEnd { offset: self.written.offset + len, next, ..self.written };
        shared.segment_bytes.fetch_add(len, Ordering::Relaxed);
        shared.writing_bytes.store(0, Ordering::Relaxed);
        shared.room.last_segment.store(self.written.offset, Ordering::Relaxed);
        self.unlooked = self.unlooked.saturating_add(len);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        self.file.sync_data().map_err(Failure::Poison)?;
        self.log.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.end = self.written;
        self.log.publish(self.end);
        Ok(())
    }

    /// A segment is closed only now, when all of it is durable: of several segments, only the last can hold
    /// records that are not. A segment that was not prepared is left as soon as one is.
    fn rotate_if_due(&mut self) -> Result<(), Failure> {
        let full = self.written.offset >= self.log.shared.room.segment();
        if self.filled && !full {
            self.ahead.grown_to(self.written.offset);
            return Ok(());
        }
        match self.ahead.next(&self.log, self.written.sequence + 1) {
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
        let file = self.log.disk.create(&self.log.path(self.written.sequence + 1))?;
        self.log.disk.sync_dir(&self.log.dir)?;
        Ok(file)
    }

    fn rotate(&mut self, mut file: Box<dyn DiskFile>, filled: bool) -> Result<(), Failure> {
        self.settle()?;
        let sequence = self.end.sequence + 1;
        let Shared { streams, config, .. } = &*self.log.shared;
        let (streams, window) = (*streams, config.window_hits());
        let header = SegmentHeader { sequence, streams, first: self.end.next, replaces: 0, window };
        // The header last: with it, this is the segment that a start goes on from, even if the removal is undone by a
        // power cut.
        let begun = self.second(file.as_ref()).and_then(|second| {
            file.write_all_at(0, &header.to_bytes())?;
            Ok(second)
        });
        let second = match begun {
            Ok(second) => second,
            Err(error) => {
                tracing::warn!(%error, "the spool could not start a new segment");
                let _ = self.log.disk.remove(&self.log.path(sequence));
                return Ok(());
            }
        };
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
        self.filled = filled;
        self.go_on_in(file, second, LogEnd { sequence, offset: bytes, ..self.end });
        if filled {
            self.ahead.begin(&self.log, sequence + 1);
        }
        Ok(())
    }

    /// For the thread that makes it durable, if there is one.
    pub(super) fn second(&self, file: &dyn DiskFile) -> io::Result<Option<Box<dyn DiskFile>>> {
        self.unsynced.as_ref().map(|_| file.share()).transpose()
    }

    /// All of `file` is durable, up to `end`.
    pub(super) fn go_on_in(
        &mut self,
        file: Box<dyn DiskFile>,
        second: Option<Box<dyn DiskFile>>,
        end: LogEnd,
    ) {
        if let Some((unsynced, second)) = self.unsynced.as_ref().zip(second) {
            unsynced.resume(second, end);
        }
        (self.file, self.end, self.written) = (file, end, end);
        self.log.shared.room.last_segment.store(end.offset, Ordering::Relaxed);
        self.log.publish(end);
    }

    /// Gives back what the segment does not need. Not made durable: zeros at the end are harmless.
    fn cut_off_zeros(&mut self) {
        if self.filled
            && let Err(error) = self.file.set_len(self.written.offset)
        {
            tracing::warn!(%error, "a closed segment could not be cut to its length");
        }
    }

    fn mark_clean(&mut self) {
        let next: PerLane<u64> = self.log.shared.lock().next;
        if next != self.end.next {
            let mut records = self.declare_unwritten(next);
            finish_records(&mut records, self.end.sequence);
            let written = self.write(&records, next).and_then(|()| self.sync());
            if let Err(Failure::NotWritten(error) | Failure::Poison(error)) = written {
                return not_closed(&error);
            }
        }
        self.cut_off_zeros();
        let marker = CleanMarker { streams: self.log.shared.streams, next };
        if let Err(error) = marker.write(self.log.disk.as_ref(), &self.log.dir) {
            tracing::warn!(%error, "the spool was closed, but could not be marked as closed");
        }
    }
}

/// From here on nothing is spooled. Who waits in the queue learns it too.
fn poison(shared: &Shared) {
    let waiting = {
        let mut queue = shared.lock();
        queue.state = QueueState::Poisoned;
        queue.records = Vec::new();
        std::mem::take(&mut queue.groups)
    };
    finish(&waiting, Err(SpoolError::Poisoned));
}

fn not_closed(error: &io::Error) {
    tracing::warn!(%error, "the spool could not be closed in order; the next start recovers it");
}
