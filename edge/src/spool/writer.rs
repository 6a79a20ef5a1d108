//! The thread that writes the log: takes all that has queued up, writes it, calls `fdatasync` once.

use super::SpoolError;
use super::group::Group;
use super::log::{Log, LogEnd, Segment};
use super::queue::{QueueState, Record};
use super::recover::CleanMarker;
use super::segment::{HEADER_LEN, SegmentHeader, write_record};
use crate::disk::DiskFile;
use crate::lanes::PerLane;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use proto_wire::envelope::last_covered;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

pub(super) struct Writer {
    pub log: Arc<Log>,
    pub file: Box<dyn DiskFile>,
    pub end: LogEnd,
}

/// What the writer took from the queue.
struct Taken {
    records: Vec<Record>,
    bytes: u64,
    group: Arc<Group>,
    state: QueueState,
}

enum Failure {
    /// Nothing of the group is in the log; the next one may go better.
    NotWritten(io::Error),
    /// Nobody knows what is on disk.
    Poison(io::Error),
}

impl Writer {
    pub fn run(mut self) {
        let mut buffer = Vec::new();
        loop {
            let taken = self.take();
            if taken.records.is_empty() {
                taken.group.finish(Err(SpoolError::Closed));
                if taken.state == QueueState::Closing {
                    self.mark_clean();
                }
                return;
            }
            let bytes = taken.bytes;
            buffer.clear();
            let outcome = self.commit(&mut buffer, taken.records).and_then(|()| self.rotate_if_full());
            self.log.shared.lock().bytes -= bytes;
            match outcome {
                Ok(()) => taken.group.finish(Ok(())),
                Err(Failure::NotWritten(error)) => {
                    tracing::error!(%error, "the spool could not write; is the disk full?");
                    taken.group.finish(Err(SpoolError::Full));
                }
                Err(Failure::Poison(error)) => {
                    tracing::error!(%error, "the spool's disk failed; clicks go out unspooled until a restart");
                    self.poison(&taken.group);
                    return;
                }
            }
        }
    }

    fn take(&self) -> Taken {
        let shared = &self.log.shared;
        let mut queue = shared.lock();
        while queue.records.is_empty() && queue.state == QueueState::Open {
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Taken {
            records: std::mem::take(&mut queue.records),
            bytes: queue.bytes,
            group: std::mem::take(&mut queue.group),
            state: queue.state,
        }
    }

    fn commit(&mut self, buffer: &mut Vec<u8>, records: Vec<Record>) -> Result<(), Failure> {
        let mut next = self.end.next;
        for Record { lane, event, sidecar } in records {
            self.declare_unwritten(buffer, lane, next[lane], event.ordinal);
            next[lane] = last_covered(&event).saturating_add(1);
            write_record(buffer, self.end.sequence, lane, &event, sidecar);
        }
        self.write_and_sync(buffer, next)
    }

    /// Ordinals of a group that could not be written: nobody got a reply that counts on them, so they are
    /// not lost.
    fn declare_unwritten(&self, buffer: &mut Vec<u8>, lane: Lane, from: u64, next: u64) {
        if from < next {
            let skipped = skipped_to_wire(from, next - 1, SkipReason::Unclean);
            write_record(buffer, self.end.sequence, lane, &skipped, Vec::new());
        }
    }

    fn write_and_sync(&mut self, buffer: &[u8], next: PerLane<u64>) -> Result<(), Failure> {
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if let Err(error) = self.file.write_all_at(self.end.offset, buffer) {
            // A part may be in the file: cut it off, so that what comes next stands at the same place.
            // The ordinals stay taken; what is written next declares them skipped first.
            return match self.file.set_len(self.end.offset) {
                Ok(()) => Err(Failure::NotWritten(error)),
                Err(_) => Err(Failure::Poison(error)),
            };
        }
        self.file.sync_data().map_err(Failure::Poison)?;
        self.log.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.end = LogEnd { offset: self.end.offset + len, next, ..self.end };
        self.log.segments().entry(self.end.sequence).and_modify(|segment| segment.bytes = self.end.offset);
        self.log.shared.segment_bytes.fetch_add(len, Ordering::Relaxed);
        self.log.end.send_replace(self.end);
        Ok(())
    }

    /// A full segment is closed only now, when all of it is durable: of several segments, only the last
    /// can hold records that are not.
    fn rotate_if_full(&mut self) -> Result<(), Failure> {
        if self.end.offset < self.log.shared.config.segment_bytes {
            return Ok(());
        }
        let sequence = self.end.sequence + 1;
        let streams = self.log.shared.streams;
        let header = SegmentHeader { sequence, streams, first: self.end.next, replaces: 0 };
        let path = self.log.path(sequence);
        let mut file = match self.log.disk.create(&path) {
            Ok(file) => file,
            Err(error) => {
                // The old segment still works, it just grows on.
                tracing::warn!(%error, "the spool could not start a new segment");
                return Ok(());
            }
        };
        if let Err(error) = file.write_all_at(0, &header.to_bytes()) {
            tracing::warn!(%error, "the spool could not start a new segment");
            let _ = self.log.disk.remove(&path);
            return Ok(());
        }
        file.sync_data().and_then(|()| self.log.disk.sync_dir(&self.log.dir)).map_err(Failure::Poison)?;
        let bytes = u64::try_from(HEADER_LEN).unwrap_or_default();
        {
            let mut segments = self.log.segments();
            segments.entry(self.end.sequence).and_modify(|segment| segment.next = Some(self.end.next));
            segments.insert(sequence, Segment { bytes, next: None });
        }
        self.log.shared.segment_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.file = file;
        self.end = LogEnd { sequence, offset: bytes, ..self.end };
        self.log.end.send_replace(self.end);
        Ok(())
    }

    /// From here on nothing is spooled. Who waits in the queue learns it too.
    fn poison(&self, group: &Group) {
        let waiting = {
            let mut queue = self.log.shared.lock();
            queue.state = QueueState::Poisoned;
            queue.records.clear();
            queue.bytes = 0;
            std::mem::take(&mut queue.group)
        };
        group.finish(Err(SpoolError::Poisoned));
        waiting.finish(Err(SpoolError::Poisoned));
    }

    fn mark_clean(&mut self) {
        let next: PerLane<u64> = self.log.shared.lock().next;
        if next != self.end.next {
            let mut buffer = Vec::new();
            for &lane in Lane::ALL {
                self.declare_unwritten(&mut buffer, lane, self.end.next[lane], next[lane]);
            }
            if let Err(Failure::NotWritten(error) | Failure::Poison(error)) =
                self.write_and_sync(&buffer, next)
            {
                tracing::warn!(%error, "the spool could not be closed in order; the next start recovers it");
                return;
            }
        }
        let marker = CleanMarker { streams: self.log.shared.streams, next };
        if let Err(error) = marker.write(self.log.disk.as_ref(), &self.log.dir) {
            tracing::warn!(%error, "the spool was closed, but could not be marked as closed");
        }
    }
}
