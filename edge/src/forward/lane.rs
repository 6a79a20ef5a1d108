//! One lane from the spool to the wire: what waits to be sealed, the chain of sealed batches, and what is
//! under way.

mod loss;
mod open;

use super::flow::{Acked, Flow, Gap, Sent};
use super::halt::{Halt, Halted};
use super::rest::Rest;
use super::retain::{Head, Retention, SealedFiles};
use super::seal::{Decision, Waiting, decide, is_full};
use crate::spool::{LaneReader, SpoolLog, Spooled, Streams};
use prost::Message;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, lane_to_wire};
use proto_wire::edge_v1::{Event, EventBatch, LaneClaim, Sidecar, event};
use proto_wire::envelope::{
    BatchMeter, EnvelopeError, GapDeclaration, Header, HeaderFields, SealedBatch, last_covered,
};
use proto_wire::keys::SigningKey;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error(transparent)]
    Halt(#[from] Halt),
    /// May go better later.
    #[error("the spool or a sealed batch cannot be read or written (check the disk and its free space)")]
    Disk(#[from] io::Error),
}

/// What goes to the control plane next.
pub(super) enum Outgoing {
    Batch(SealedBatch),
    Gap(GapDeclaration),
}

struct Unstored {
    batch: SealedBatch,
    header: Header,
    since_micros: Option<i64>,
}

pub(super) struct LaneSender {
    lane: Lane,
    streams: Streams,
    reader: LaneReader,
    files: SealedFiles,
    pending: Vec<Spooled>,
    meter: BatchMeter,
    pending_bytes: usize,
    /// Read, but for the next batch.
    spare: Option<Spooled>,
    since: Option<Instant>,
    /// What was read says that hits are lost.
    lost: bool,
    last_seal: Option<Instant>,
    /// Sealed, but not yet known to be durable: sealing again could make other bytes of it.
    unstored: Option<Unstored>,
    pub flow: Option<Flow>,
    /// Signed for, so it may be forgotten. Where a control plane was put back, where it stands now.
    acked: Head,
    /// What the control plane has, as it says when a session opens; it may have signed for less.
    pub confirmed: Head,
    /// Not compared yet, in this session, with where the control plane stands.
    unsettled: Option<open::Unsettled>,
    /// Why the lane stands still, or did before it was put on trial.
    halted: Option<Halted>,
    /// How long a loss waits to be declared.
    patience: Duration,
    /// So that what is said again is counted once.
    declared: Option<GapDeclaration>,
    rest: Rest,
    unread: loss::Unread,
}

impl LaneSender {
    pub fn new(lane: Lane, log: &SpoolLog, files: SealedFiles, acked: Head, patience: Duration) -> Self {
        let reader = log.reader(lane, files.head().last);
        loss::report_holes(lane, &files, acked.last);
        Self {
            lane,
            streams: log.streams(),
            reader,
            files,
            pending: Vec::new(),
            meter: BatchMeter::default(),
            pending_bytes: 0,
            spare: None,
            since: None,
            lost: false,
            last_seal: None,
            unstored: None,
            flow: None,
            acked,
            confirmed: acked,
            unsettled: None,
            halted: None,
            patience,
            declared: None,
            rest: Rest::default(),
            unread: loss::Unread::default(),
        }
    }

    pub fn sealed(&self) -> u64 {
        self.files.head().last
    }

    pub fn unacked_bytes(&self) -> u64 {
        self.files.bytes_after(self.confirmed.last)
    }

    /// When the oldest hit came that was read and is not acknowledged; 0 = there is none.
    pub fn oldest_micros(&self) -> i64 {
        let sealed = self.files.oldest_micros(self.confirmed.last);
        sealed.or_else(|| self.pending.iter().chain(&self.spare).find_map(came_at)).unwrap_or_default()
    }

    /// Where this end stands, for a control plane that may have been restored from a backup.
    pub fn claim(&self) -> LaneClaim {
        LaneClaim {
            lane: lane_to_wire(self.lane).into(),
            stream: self.streams.stream(self.lane).0,
            held_ordinal: self.sealed(),
            acked_ordinal: self.acked.last,
            held_hash: self.files.head().hash.to_vec(),
        }
    }

    /// Stands still from now on. Returns whether that is news.
    pub fn halt(&mut self, halt: &Halt, now: Instant, random: [u8; 1]) -> bool {
        // Nothing is waited for any more.
        self.flow = None;
        match &mut self.halted {
            Some(halted) => halted.again(halt, self.patience, now, random),
            None => {
                self.halted = Some(Halted::new(halt, self.patience, now, random));
                true
            }
        }
    }

    pub fn halted(&self) -> Option<&Halted> {
        self.halted.as_ref()
    }

    /// Whether it is sent, be it on trial.
    pub fn sends(&self) -> bool {
        self.halted.as_ref().is_none_or(Halted::on_trial)
    }

    /// A new session is the time to compare again what was found in an earlier one.
    pub fn begin_session(&mut self) {
        self.flow = None;
        self.unsettled = None;
        self.halted.iter_mut().for_each(Halted::begin_session);
    }

    /// The disk has failed the lane: it is left alone for a while, in this session and the next. Says for how long.
    pub fn rest(&mut self, now: Instant, random: [u8; 1]) -> Duration {
        self.rest.begin(now, random)
    }

    /// Sends again from where the control plane stands, if it is time for that; else says in how long.
    pub fn try_again(&mut self, now: Instant) -> Option<Duration> {
        if let Some(left) = self.rest.left(now) {
            return Some(left);
        }
        let halted = self.halted.as_mut()?;
        let wait = halted.due_in(now)?;
        if !wait.is_zero() {
            return Some(wait);
        }
        halted.begin_trial();
        self.flow = Some(Flow::new(self.confirmed.last.saturating_add(1)));
        None
    }

    /// In how long [`Self::try_again`] will.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.halted.as_ref().and_then(|halted| halted.due_in(now))
    }

    /// Ends the trial. Returns whether there was one.
    pub fn acquit(&mut self) -> bool {
        self.halted.take_if(|halted| halted.on_trial()).is_some()
    }

    /// The control plane has all that was sealed: nothing is left to try.
    pub fn is_confirmed(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.in_flight() == 0 && flow.next() > self.sealed())
    }

    /// Reads what is durable, up to one full batch.
    pub fn fill(&mut self, now: Instant) -> Result<(), LaneError> {
        if self.unstored.is_some() {
            return Ok(());
        }
        while !is_full(self.pending.len(), self.pending_bytes) {
            let next = match self.spare.take() {
                Some(spare) => Some(spare),
                None => self.reader.read_next()?,
            };
            let Some(spooled) = next else { break };
            if !self.meter.admit(&spooled.event, &spooled.sidecar) {
                self.spare = Some(spooled);
                break;
            }
            self.lost |= is_loss(&spooled.event);
            let sidecar: usize = spooled.sidecar.iter().map(Message::encoded_len).sum();
            self.pending_bytes += spooled.event.encoded_len() + sidecar;
            self.pending.push(spooled);
            self.since.get_or_insert(now);
        }
        Ok(())
    }

    /// Whether what was read since the last call says that hits are lost.
    pub fn take_loss(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    pub fn decide(&self, now: Instant, draining: bool) -> Decision {
        let flow = self.flow.as_ref();
        // While sealed batches wait to be sent (again), more of them would not go out any sooner.
        let behind = flow.is_none_or(|flow| flow.next() <= self.sealed());
        if !self.sends() || behind {
            return Decision::Idle;
        }
        if self.unstored.is_some() {
            return Decision::Seal;
        }
        decide(Waiting {
            events: self.pending.len(),
            bytes: self.pending_bytes,
            age: self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            since_seal: self.last_seal.map(|last| now.saturating_duration_since(last)),
            in_flight: flow.map_or(0, Flow::in_flight),
            window: flow.map_or(0, Flow::window),
            draining: draining || self.spare.is_some(),
        })
    }

    /// Seals what waits and makes it durable.
    pub fn seal(&mut self, key: &SigningKey, now_secs: i64) -> Result<(), LaneError> {
        if self.unstored.is_none() {
            let pending = std::mem::take(&mut self.pending);
            self.meter = BatchMeter::default();
            self.pending_bytes = 0;
            self.since = None;
            self.last_seal = Some(Instant::now());
            let since_micros = pending.iter().find_map(came_at);
            let (batch, header) = self.seal_events(key, pending).map_err(Halt::Seal)?;
            self.unstored = Some(Unstored { batch, header, since_micros });
        }
        if let Some(Unstored { batch, header, since_micros }) = &self.unstored {
            self.files.store(batch, header, *since_micros, now_secs)?;
            self.unstored = None;
        }
        Ok(())
    }

    fn seal_events(
        &self,
        key: &SigningKey,
        pending: Vec<Spooled>,
    ) -> Result<(SealedBatch, Header), EnvelopeError> {
        let fields = HeaderFields {
            edge: self.streams.edge,
            epoch: self.streams.epoch,
            lane: self.lane,
            stream: self.streams.stream(self.lane),
            prev_hash: self.files.head().hash,
        };
        let mut events = EventBatch::default();
        let mut sidecar = Sidecar::default();
        for spooled in pending {
            events.events.push(spooled.event);
            sidecar.entries.extend(spooled.sidecar);
        }
        let batch = SealedBatch::seal(key, fields, &events, &sidecar)?;
        let header = Header::parse(&batch.header_bytes)?;
        Ok((batch, header))
    }

    /// What to send next and its last ordinal, if the window has room for it.
    pub fn next_to_send(&mut self, now: Instant) -> Result<Option<(Outgoing, u64)>, LaneError> {
        let Some(first) = self.flow.as_ref().filter(|flow| flow.may_send()).map(Flow::next) else {
            return Ok(None);
        };
        if !self.sends() || first > self.sealed() {
            return Ok(None);
        }
        let (outgoing, head, bytes) = match self.load(first) {
            Ok((batch, header)) => {
                let head = Head { last: header.last_ordinal, hash: header.head_hash() };
                let bytes = wire_bytes(&batch);
                (Outgoing::Batch(batch), head, bytes)
            }
            Err(LaneError::Halt(halt)) => match self.declare(first, halt, now)? {
                // Its bytes are next to none.
                Some((gap, head)) => (Outgoing::Gap(gap), head, 0),
                None => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        if let Some(flow) = &mut self.flow {
            flow.sent(Sent { first, head, bytes });
        }
        Ok(Some((outgoing, head.last)))
    }

    /// A signed acknowledgement.
    pub fn ack(&mut self, head: Head) -> Acked {
        let Some(flow) = &mut self.flow else { return Acked::Known };
        let acked = flow.ack(head);
        if acked == Acked::Through(head) {
            self.acked = head;
            self.confirmed = head;
        }
        acked
    }

    pub fn gap(&mut self, expected: u64) -> Gap {
        let Some(flow) = &mut self.flow else { return Gap::Confused };
        let gap = flow.gap(expected);
        if gap == Gap::Rewind(expected) && expected <= self.confirmed.last {
            // It has gone back within the session. Where it stands now is known from our own chain, or else from the
            // next session.
            let Ok((_, header)) = self.load(expected) else { return Gap::Confused };
            self.confirmed = Head { last: expected - 1, hash: header.prev_hash };
            self.forget_acked_behind(self.confirmed);
        }
        gap
    }

    pub fn collect(&mut self, now_secs: i64, keep: Retention) -> io::Result<()> {
        self.files.collect(self.acked.last, now_secs, keep)
    }

    /// Everything that was spooled is acknowledged, as far as this session can tell.
    pub fn is_drained(&self) -> bool {
        let nothing_waits = self.pending.is_empty() && self.spare.is_none() && self.unstored.is_none();
        let sent =
            self.flow.as_ref().is_some_and(|flow| flow.in_flight() == 0 && flow.next() > self.sealed());
        !self.sends() || (nothing_waits && sent)
    }

    pub fn in_flight(&self) -> usize {
        self.flow.as_ref().map_or(0, Flow::in_flight)
    }

    /// The largest batch that is under way.
    pub fn largest_in_flight(&self) -> u64 {
        self.flow.as_ref().map_or(0, Flow::largest)
    }

    fn drop_pending_before(&mut self, ordinal: u64) {
        let all: Vec<Spooled> = self.pending.drain(..).chain(self.spare.take()).collect();
        self.meter = BatchMeter::default();
        self.pending_bytes = 0;
        self.since = None;
        self.unstored = None;
        for spooled in all.into_iter().filter(|spooled| last_covered(&spooled.event) >= ordinal) {
            // What was admitted once fits again: there is less of it now.
            self.meter.admit(&spooled.event, &spooled.sidecar);
            self.pending_bytes += spooled.event.encoded_len();
            self.pending.push(spooled);
        }
    }
}

fn came_at(spooled: &Spooled) -> Option<i64> {
    Some(spooled.event.occurred_at_micros).filter(|at| *at > 0)
}

fn wire_bytes(batch: &SealedBatch) -> u64 {
    u64::try_from(batch.payload.len() + batch.sidecar.len()).unwrap_or(u64::MAX)
}

fn is_loss(event: &Event) -> bool {
    matches!(&event.body, Some(event::Body::Skipped(skipped)) if skipped.reason == SkipReason::Lost.code())
}
