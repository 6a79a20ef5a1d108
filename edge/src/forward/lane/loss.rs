//! Sealed batches that the control plane lacks and that are gone here: looked for, and declared when nobody has put
//! them back in time.

use super::{LaneError, LaneSender};
use crate::disk::is_damage;
use crate::forward::halt::Halt;
use crate::forward::retain::{Head, RetainError, SealedFiles};
use proto_model::Lane;
use proto_wire::envelope::{GapDeclaration, Header, SealedBatch};
use std::collections::BTreeMap;
use std::io;
use tokio::time::Instant;

/// After so many attempts a file that the disk cannot read counts as damaged. The waits between them double up to a
/// quarter of a minute.
const ATTEMPTS: u32 = 10;

/// How often the disk has failed to read files, by where their batches begin.
#[derive(Debug, Default)]
pub(super) struct Unread(BTreeMap<u64, u32>);

impl Unread {
    /// Whether it must be taken for lost. That the disk is short of something else is never a reason for that.
    fn is_given_up(&mut self, first: u64, error: &io::Error) -> bool {
        let attempts = self.0.entry(first).or_default();
        *attempts = attempts.saturating_add(u32::from(is_damage(error)));
        is_damage(error) && *attempts >= ATTEMPTS
    }

    fn was_read(&mut self, first: u64) {
        self.0.remove(&first);
    }
}

impl LaneSender {
    /// The batch that begins at `first`. What cannot be read just now is no loss: the disk may do better later.
    pub(super) fn load(&mut self, first: u64) -> Result<(SealedBatch, Header), LaneError> {
        let loaded = match self.files.load(first) {
            Err(RetainError::Absent(_)) => {
                self.files.look_again()?;
                self.files.load(first)
            }
            loaded => loaded,
        };
        let error = match loaded {
            Err(RetainError::Io(error)) if !self.unread.is_given_up(first, &error) => {
                return Err(LaneError::Disk(error));
            }
            Err(RetainError::Io(error)) => RetainError::Unreadable(error),
            read => {
                self.unread.was_read(first);
                match read {
                    Ok((batch, header)) if self.is_ours(&header) => return Ok((batch, header)),
                    // From another node, say.
                    Ok(_) => RetainError::Foreign(first),
                    Err(error) => error,
                }
            }
        };
        Err(LaneError::Halt(match error {
            RetainError::Absent(_) => self.absent(first),
            RetainError::TooNew(_) => Halt::TooNew(error),
            source => Halt::Damaged { first, source },
        }))
    }

    fn is_ours(&self, header: &Header) -> bool {
        (header.edge, header.epoch) == (self.streams.edge, self.streams.epoch)
            && (header.lane, header.stream) == (self.lane, self.streams.stream(self.lane))
    }

    fn absent(&self, first: u64) -> Halt {
        match self.files.hole_at(first) {
            Some(hole) => Halt::Missing { from: *hole.start(), through: *hole.end() },
            // Batches are taken as a whole: an end inside one of ours belongs to another chain.
            None if self.files.covers(first) => Halt::Diverged,
            None => Halt::NotRetained { expected: first },
        }
    }

    /// What to say of `first`, which should be sent and cannot, and the head that follows. The same state makes the
    /// same declaration. `None` = not yet: where the control plane stands is known when all that is under way is
    /// answered.
    pub(super) fn declare(
        &mut self,
        first: u64,
        halt: Halt,
        now: Instant,
    ) -> Result<Option<(GapDeclaration, Head)>, LaneError> {
        let Some(reason) = halt.gap() else { return Err(halt.into()) };
        if self.in_flight() > 0 {
            return Ok(None);
        }
        let waited = self.halted.as_ref().is_some_and(|halted| halted.may_declare(&halt, now));
        if !waited || self.confirmed.last.saturating_add(1) != first {
            return Err(halt.into());
        }
        let head = self.end_of_loss(first)?;
        if let Some(halted) = &mut self.halted {
            halted.declared(now, proto_wire::keys::random());
        }
        let gap = GapDeclaration {
            edge: self.streams.edge,
            epoch: self.streams.epoch,
            lane: self.lane,
            stream: self.streams.stream(self.lane),
            first_ordinal: first,
            last_ordinal: head.last,
            reason,
            prev_hash: self.confirmed.hash,
            resume_hash: head.hash,
        };
        Ok(Some((gap, head)))
    }

    /// What the next intact batch behind `first` continues; where there is none, the end of our chain.
    fn end_of_loss(&mut self, first: u64) -> Result<Head, LaneError> {
        // Nobody has looked since the start, if all that was met so far was damaged.
        self.files.look_again()?;
        for next in self.files.firsts_behind(first) {
            match self.load(next) {
                Ok((_, header)) => return Ok(Head { last: next - 1, hash: header.prev_hash }),
                Err(LaneError::Halt(halt)) if halt.gap().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        self.files.give_up_end()?;
        Ok(self.files.head())
    }

    /// Whether this was not declared before.
    pub fn is_news(&mut self, gap: &GapDeclaration) -> bool {
        self.declared.replace(gap.clone()).as_ref() != Some(gap)
    }
}

pub(super) fn report_holes(lane: Lane, files: &SealedFiles, acked: u64) {
    for hole in files.holes() {
        let (lane, from, through) = (lane.as_str(), hole.start(), hole.end());
        if *through <= acked {
            tracing::info!(
                lane,
                from,
                through,
                "old batches are missing that the control plane has, as far as is known"
            );
        } else {
            tracing::error!(
                lane,
                from,
                through,
                "sealed batches are missing on disk and may be at the control plane nowhere; put the files back"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_read_ten_times_is_given_up() {
        // EIO; too many open files, or a directory in the place of the file.
        for (code, is_given_up) in [(5, true), (24, false), (21, false)] {
            let (mut unread, error) = (Unread::default(), || io::Error::from_raw_os_error(code));
            for _ in 1..ATTEMPTS {
                assert!(!unread.is_given_up(1, &error()) && !unread.is_given_up(5, &error()), "{code}");
            }
            unread.was_read(5);
            let last = (unread.is_given_up(1, &error()), unread.is_given_up(5, &error()));
            assert_eq!(last, (is_given_up, false), "{code}");
            // For another reason, it may be read later after all.
            assert!(!unread.is_given_up(1, &io::Error::from_raw_os_error(24)), "{code}");
        }
    }
}
