//! Where the two ends of a lane stand when a session opens.

use super::{LaneError, LaneSender};
use crate::forward::flow::Flow;
use crate::forward::halt::Halt;
use crate::forward::retain::Head;
use std::time::Duration;
use tokio::time::Instant;

/// What the control plane said of the lane when the session opened.
pub(super) struct Unsettled {
    stream: u32,
    theirs: Head,
}

impl LaneSender {
    /// To be settled with in this session.
    pub fn meet(&mut self, stream: u32, theirs: Head) {
        self.unsettled = Some(Unsettled { stream, theirs });
    }

    /// Settles, if that is still to be done. A disk that cannot be read keeps this lane alone from being sent: it is
    /// tried again in this session. Returns how long until then.
    pub fn settle(&mut self, next_unspooled: u64, now: Instant) -> Result<Option<Duration>, LaneError> {
        let Some(unsettled) = self.unsettled.take() else { return Ok(None) };
        if let Some(left) = self.rest.left(now) {
            self.unsettled = Some(unsettled);
            return Ok(Some(left));
        }
        let opened = self.open(unsettled.stream, unsettled.theirs, next_unspooled);
        if matches!(opened, Err(LaneError::Disk(_))) {
            self.unsettled = Some(unsettled);
        }
        opened.map(|()| None)
    }

    /// Settles where the two ends stand, at the start of a session.
    pub fn open(&mut self, stream: u32, theirs: Head, next_unspooled: u64) -> Result<(), LaneError> {
        if stream != self.streams.stream(self.lane).0 {
            return Err(Halt::OtherStream(stream).into());
        }
        let ours = self.files.head();
        if theirs.last > ours.last {
            // Only a damaged end of our chain explains that; then theirs is the true one.
            if !self.files.may_have_reached(theirs.last) || next_unspooled <= theirs.last {
                return Err(Halt::Behind { theirs: theirs.last, ours: ours.last }.into());
            }
            tracing::warn!(
                lane = self.lane.as_str(),
                ordinal = theirs.last,
                "taking the chain over from the control plane"
            );
            self.files.adopt(theirs);
            self.reader.skip_to(theirs.last.saturating_add(1));
            self.drop_pending_before(theirs.last.saturating_add(1));
        } else if theirs.last == ours.last {
            if theirs.hash != ours.hash {
                return Err(Halt::Diverged.into());
            }
        } else {
            self.check_boundary(theirs)?;
        }
        if theirs.last < self.acked.last {
            tracing::warn!(
                lane = self.lane.as_str(),
                theirs = theirs.last,
                acknowledged = self.acked.last,
                "the control plane was put back to an earlier state; sending again what it has acknowledged"
            );
        }
        self.forget_acked_behind(theirs);
        self.confirmed = theirs;
        self.flow = Some(Flow::new(theirs.last.saturating_add(1)));
        Ok(())
    }

    /// The control plane stands inside our chain: it must be at the end of one of our batches.
    fn check_boundary(&mut self, theirs: Head) -> Result<(), LaneError> {
        match self.load(theirs.last + 1) {
            Ok((_, header)) if header.prev_hash == theirs.hash => Ok(()),
            Ok(_) => Err(Halt::Diverged.into()),
            // What is lost is met when it should be sent. A declaration would join the two histories for good, so they are
            // compared by what is left.
            Err(LaneError::Halt(halt)) if halt.gap().is_some() => match self.hash_at(theirs.last)? {
                Some(hash) if hash != theirs.hash => Err(Halt::Diverged.into()),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        }
    }

    /// The hash of our chain at `last`, where a batch ends, as far as it is known here.
    fn hash_at(&mut self, last: u64) -> Result<Option<[u8; 32]>, LaneError> {
        if let Some(first) = self.files.first_of(last) {
            match self.load(first) {
                Ok((_, header)) => return Ok(Some(header.head_hash())),
                Err(LaneError::Halt(halt)) if halt.gap().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(self.acked).filter(|acked| acked.last == last).map(|acked| acked.hash))
    }

    /// The control plane stands at `theirs`: what it signed for behind that it has lost.
    pub(super) fn forget_acked_behind(&mut self, theirs: Head) {
        if theirs.last < self.acked.last {
            self.acked = theirs;
        }
    }
}
