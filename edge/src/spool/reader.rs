//! Reads one lane of the durable log, in order. Each lane has a reader of its own, so that a lane whose
//! sending stands still does not hold up the other.

use super::log::{Log, LogEnd};
use super::segment::{self, HEADER_LEN, MAX_FRAME, Parsed};
use crate::disk::{is_damage, read_around};
use proto_model::Lane;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use proto_wire::edge_v1::{Event, SidecarEntry};
use proto_wire::envelope::last_covered;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

const WINDOW: usize = 256 * 1024;
/// So often a place may fail to be read before it counts as damage. Those who read try again in a second.
pub(super) const ATTEMPTS: u32 = 5;

/// A record, or the declaration of ordinals that have none.
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    pub event: Event,
    pub sidecar: Vec<SidecarEntry>,
}

pub struct LaneReader {
    log: Arc<Log>,
    lane: Lane,
    end: watch::Receiver<LogEnd>,
    sequence: u64,
    offset: u64,
    /// The next ordinal to hand out.
    next: u64,
    window: Vec<u8>,
    consumed: usize,
    /// A record that must wait until the hole before it was declared.
    held: Option<Spooled>,
    /// Attempts to read that failed since the last success.
    failed: u32,
}

enum Step {
    Record(Box<Spooled>),
    Skip,
    End,
}

impl LaneReader {
    /// Starts behind `sealed`, the last ordinal that stands in a sealed batch.
    pub(super) fn new(log: Arc<Log>, lane: Lane, sealed: u64) -> Self {
        let end = log.end.subscribe();
        let next = sealed.saturating_add(1);
        let (window, consumed) = (Vec::new(), 0);
        Self { log, lane, end, sequence: 0, offset: 0, next, window, consumed, held: None, failed: 0 }
    }

    /// The next record that is durable, if there is one. Ordinals that were lost to damage come as a
    /// declaration, so that what is handed out is dense.
    pub fn read_next(&mut self) -> io::Result<Option<Spooled>> {
        let record = match self.held.take() {
            Some(record) => record,
            None => loop {
                match self.step()? {
                    Step::Record(record) => break *record,
                    Step::Skip => {}
                    Step::End => return Ok(None),
                }
            },
        };
        let ordinal = record.event.ordinal;
        if ordinal > self.next {
            let (from, through) = (self.next, ordinal - 1);
            tracing::error!(
                lane = self.lane.as_str(),
                from,
                through,
                "events are lost; declaring them so to the control plane"
            );
            self.next = ordinal;
            self.held = Some(record);
            let event = skipped_to_wire(from, through, SkipReason::Lost);
            return Ok(Some(Spooled { event, sidecar: Vec::new() }));
        }
        self.next = last_covered(&record.event).saturating_add(1);
        Ok(Some(record))
    }

    /// Goes on behind `ordinal`: the control plane has what comes before.
    pub fn skip_to(&mut self, ordinal: u64) {
        self.next = self.next.max(ordinal);
        self.held = self.held.take().filter(|record| record.event.ordinal >= ordinal);
    }

    fn step(&mut self) -> io::Result<Step> {
        let end = *self.end.borrow();
        let limit = self.limit(end);
        if self.offset >= limit {
            return Ok(if self.advance(end) { Step::Skip } else { Step::End });
        }
        self.fill(limit)?;
        let window = &self.window[self.consumed..];
        let left = usize::try_from(limit - self.offset).unwrap_or(usize::MAX);
        let (len, step) = match segment::parse(self.sequence, window) {
            Parsed::Frame(frame) => {
                let wanted = frame.lane == self.lane && frame.last >= self.next;
                // A record that begins before and ends behind what is sealed does not exist.
                let decoded = (wanted && frame.first >= self.next).then(|| frame.decode()).flatten();
                let step = decoded
                    .filter(|(event, _)| event.ordinal == frame.first && last_covered(event) == frame.last)
                    .map_or(Step::Skip, |(event, sidecar)| {
                        Step::Record(Box::new(Spooled { event, sidecar }))
                    });
                (frame.len, step)
            }
            Parsed::Short | Parsed::Damaged => {
                // After the last byte that is there, nothing more will come: what is below the limit is
                // complete. A magic may straddle the end of the window, so its last bytes are kept.
                let keep = if window.len() < left { 3 } else { 0 };
                let nowhere = window.len().saturating_sub(keep).max(1);
                let step = if window.is_empty() { left } else { segment::resume(window).unwrap_or(nowhere) };
                (step, Step::Skip)
            }
        };
        self.consume(len);
        Ok(step)
    }

    /// Up to where the current segment may be read; 0 before the first and when it was deleted.
    fn limit(&self, end: LogEnd) -> u64 {
        if self.sequence == end.sequence {
            return end.offset;
        }
        self.log.segments().get(&self.sequence).map_or(0, |segment| segment.bytes)
    }

    /// Goes to the next segment that may hold something for it: conversions are few, and clicks not read for their sake.
    fn advance(&mut self, end: LogEnd) -> bool {
        if self.sequence >= end.sequence {
            return false;
        }
        let segments = self.log.segments();
        let mut behind = segments.range(self.sequence + 1..=end.sequence);
        let next = behind.find(|(_, segment)| !segment.is_before(self.lane, self.next)).map(|(at, _)| *at);
        drop(segments);
        let Some(next) = next else { return false };
        self.sequence = next;
        self.offset = u64::try_from(HEADER_LEN).unwrap_or_default();
        self.window.clear();
        self.consumed = 0;
        true
    }

    /// Makes sure that the window holds a whole record, or all that is left.
    fn fill(&mut self, limit: u64) -> io::Result<()> {
        let held = self.window.len() - self.consumed;
        let left = usize::try_from(limit - self.offset).unwrap_or(usize::MAX);
        if held >= MAX_FRAME.min(left) {
            return Ok(());
        }
        let path = self.log.path(self.sequence);
        self.window = self.read(&path, WINDOW.min(left))?;
        self.consumed = 0;
        Ok(())
    }

    /// A disk that fails once may do better. One that goes on to fail at one place does not hold up all that comes
    /// behind it: what stood there is declared lost when the next record of the lane shows the hole.
    fn read(&mut self, path: &Path, len: usize) -> io::Result<Vec<u8>> {
        match self.log.disk.read_at(path, self.offset, len) {
            Err(error) if !is_damage(&error) => Err(error),
            Err(error) if self.failed < ATTEMPTS => {
                self.failed += 1;
                Err(error)
            }
            Err(_) => read_around(self.log.disk.as_ref(), path, self.offset, len).map(|(bytes, _)| bytes),
            Ok(bytes) => {
                self.failed = 0;
                Ok(bytes)
            }
        }
    }

    fn consume(&mut self, len: usize) {
        self.consumed = (self.consumed + len).min(self.window.len());
        self.offset = self.offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}
