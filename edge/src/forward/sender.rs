//! The task that sends: one session after another, as long as the node runs.

use super::halt::{Halt, Halted};
use super::lane::{LaneError, LaneSender};
use super::opens::Opens;
use super::retain::{Head, Retention, SealedFiles};
use super::session::{Session, SessionError};
use super::{Backoff, ForwardConfig, ForwardStatus};
use crate::identity::ControlLink;
use crate::lanes::PerLane;
use crate::node::now_secs;
use crate::spool::{Shut, SpoolConfig, SpoolHandle, SpoolLog};
use crate::state::{AckCursor, State};
use crate::with_causes;
use proto_model::Lane;
use proto_wire::edge_v1;
use proto_wire::envelope::GapDeclaration;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the node is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Running,
    /// Nothing new comes in: seal and send what there is, then end.
    Draining,
    Stopped,
}

const COLLECT_EVERY: Duration = Duration::from_secs(60);

/// What the sender works with.
pub struct SenderParts {
    pub link: Arc<ControlLink>,
    pub spool: SpoolHandle,
    pub log: SpoolLog,
    pub files: PerLane<SealedFiles>,
    pub state: State,
    pub status: Arc<ForwardStatus>,
    pub config: SpoolConfig,
    pub forward: ForwardConfig,
    pub phase: watch::Receiver<Phase>,
    pub jitter: Jitter,
}

/// Spreads what a fleet would otherwise do in one moment.
pub type Jitter = Box<dyn FnMut() -> [u8; 1] + Send>;

pub struct Sender {
    pub(super) link: Arc<ControlLink>,
    pub(super) spool: SpoolHandle,
    pub(super) log: SpoolLog,
    pub(super) lanes: PerLane<LaneSender>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) opens: Opens,
    state: State,
    status: Arc<ForwardStatus>,
    keep: Retention,
    collected: Option<Instant>,
    acknowledgements: u64,
    jitter: Jitter,
}

impl Sender {
    pub fn new(parts: SenderParts) -> Self {
        let SenderParts { link, spool, log, files, state, status, config, forward, phase, jitter } = parts;
        let cursors = state.ack_cursors(log.streams().epoch);
        let patience = Duration::from_secs(forward.declare_gap_after_secs);
        let lane = |lane: Lane, files: SealedFiles| {
            // The cursor is only a hint: the state database may have forgotten it, or be from another time.
            let acked = cursors[lane].map_or(Head::GENESIS, |cursor| match cursor.last_ordinal {
                last if last > files.head().last => files.head(),
                last => Head { last, hash: cursor.head_hash },
            });
            LaneSender::new(lane, &log, files, acked, patience)
        };
        let lanes =
            PerLane { money: lane(Lane::Money, files.money), traffic: lane(Lane::Traffic, files.traffic) };
        let keep = Retention { secs: config.retain_secs, bytes: config.retain_bytes };
        let this = Self {
            link,
            spool,
            log,
            lanes,
            phase,
            opens: Opens::default(),
            state,
            status,
            keep,
            collected: None,
            acknowledgements: 0,
            jitter,
        };
        this.report();
        this
    }

    /// Acknowledged batches are kept for a control plane that may be restored; hits that wait need the room more.
    fn relieve(&mut self) {
        if self.log.is_tight() {
            self.collect(Retention { secs: 0, bytes: 0 });
        }
    }

    fn collect(&mut self, keep: Retention) {
        for lane in Lane::ALL {
            if let Err(error) = self.lanes[*lane].collect(now_secs(), keep) {
                tracing::warn!(%error, "old batches could not be deleted; trying again later");
            }
        }
    }

    /// Runs until the node stops, or until everything is sent while it drains.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut stop = self.phase.clone();
        self.relieve();
        loop {
            let end = tokio::select! {
                biased;
                end = self.session(&mut backoff) => end,
                // The sending half is gone only when the node is.
                _ = stop.wait_for(|phase| *phase == Phase::Stopped) => return,
            };
            self.status.update(|progress| progress.connected = false);
            match end {
                Ok(()) => return,
                Err(SessionError::Fenced(detail)) if self.opens.explain_fence() => {
                    tracing::warn!(
                        detail,
                        "a session that this node had given up may have opened late; opening another"
                    );
                }
                Err(SessionError::Fenced(detail) | SessionError::Replaced(detail)) => {
                    return self.stay_fenced(detail).await;
                }
                Err(error) => {
                    if error.is_denial() {
                        self.shut_all(Shut::Denied);
                    }
                    tracing::warn!(
                        error = with_causes(&error),
                        "not sending for now; the spool keeps everything"
                    );
                }
            }
            if *self.phase.borrow() != Phase::Running {
                return;
            }
            let delay = backoff.next((self.jitter)());
            self.pause(delay).await;
        }
    }

    /// Ends early when the node does. The disk may fill up meanwhile.
    async fn pause(&mut self, delay: Duration) {
        let (mut phase, mut tight) = (self.phase.clone(), self.log.tight());
        let mut delay = std::pin::pin!(tokio::time::sleep(delay));
        loop {
            tokio::select! {
                biased;
                () = &mut delay => return,
                _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
                Ok(()) = tight.changed() => self.relieve(),
            }
        }
    }

    /// Another node speaks as this edge. Going on would only fence that one in turn.
    async fn stay_fenced(&mut self, detail: String) {
        tracing::error!(
            detail,
            "another node uses this edge's identity; nothing is sent until this one is restarted or removed"
        );
        self.shut_all(Shut::Fenced);
        self.status.update(|progress| progress.fenced = true);
        let _ = self.phase.wait_for(|phase| *phase != Phase::Running).await;
    }

    async fn session(&mut self, backoff: &mut Backoff) -> Result<(), SessionError> {
        let mut session = Session::open(self).await?;
        self.status.update(|progress| progress.connected = true);
        self.welcome();
        self.report();
        self.status.set_opened();
        let (before, since) = (self.acknowledgements, Instant::now());
        let end = session.run(self).await;
        // A session that opens and breaks at once is no reason to hurry.
        if self.acknowledgements > before || since.elapsed() > Duration::from_secs(30) {
            backoff.reset();
        }
        end
    }

    /// Ends the sending of a lane; where only the disk fails, says after which time it is tried again.
    pub(super) fn trouble(&mut self, lane: Lane, error: LaneError) -> Option<Duration> {
        match error {
            LaneError::Halt(halt) => {
                self.halt(lane, &halt);
                None
            }
            error @ LaneError::Disk(_) => {
                let random = (self.jitter)();
                let rest = self.lanes[lane].rest(Instant::now(), random);
                tracing::error!(
                    lane = lane.as_str(),
                    error = with_causes(&error),
                    in_ms = rest.as_millis(),
                    "trying again"
                );
                self.relieve();
                Some(rest)
            }
        }
    }

    /// The lane stands still, and takes no more hits: nobody may be told that something was taken which will
    /// never arrive.
    pub(super) fn halt(&mut self, lane: Lane, halt: &Halt) {
        let random = (self.jitter)();
        let news = self.lanes[lane].halt(halt, Instant::now(), random);
        let Some(halted) = self.lanes[lane].halted() else { return };
        let (Halted { reason, shut, .. }, patience) = (halted, halted.patience(Instant::now()));
        self.spool.shut(lane, *shut);
        self.status.update(|progress| {
            let lane = &mut progress.lanes[lane];
            lane.halted = Some(reason.clone());
            lane.halts = lane.halts.saturating_add(u64::from(news));
        });
        if !news {
            return;
        }
        tracing::error!(
            lane = lane.as_str(),
            reason,
            "this lane is not sent any more, and takes no hits; an operator must look"
        );
        if let Some(patience) = patience {
            tracing::error!(
                lane = lane.as_str(),
                secs = patience.as_secs(),
                "put the files back within this time, and nothing is lost; else the loss is declared"
            );
        }
        if halt.loses() {
            self.lost(lane);
        }
    }

    /// Hits of the lane that were answered will not arrive. Whoever sends them again must not be told that they are
    /// known. To be called before the loss is sealed: after that nobody would hear of it again.
    pub(super) fn lost(&self, lane: Lane) {
        if lane == Lane::Money {
            self.state.forget_conversions();
            tracing::warn!("conversions are lost; the next report of each is taken as the first");
        }
    }

    /// Says under this edge's name that what stands there will never come.
    pub(super) fn declare(&mut self, gap: GapDeclaration, session: u64) -> edge_v1::Gap {
        let lane = gap.lane;
        if self.lanes[lane].is_news(&gap) {
            tracing::error!(
                lane = lane.as_str(),
                from = gap.first_ordinal,
                through = gap.last_ordinal,
                reason = gap.reason.as_str(),
                "these hits are lost; declaring them so to the control plane, and going on behind them"
            );
            self.status.update(|progress| {
                let lane = &mut progress.lanes[lane];
                lane.gaps = lane.gaps.saturating_add(1);
                lane.lost = lane.lost.saturating_add(gap.ordinals());
            });
        }
        gap.to_message(&self.link.identity().batch_key, session)
    }

    fn shut_all(&self, why: Shut) {
        for lane in Lane::ALL {
            self.spool.shut(*lane, why);
        }
    }

    /// The control plane talks to this edge: whatever kept all lanes shut is over.
    fn welcome(&mut self) {
        for lane in Lane::ALL.iter().copied() {
            if self.lanes[lane].is_confirmed() {
                self.acquit(lane);
            }
            match self.lanes[lane].halted() {
                Some(halted) => self.spool.shut(lane, halted.shut),
                None => self.spool.take_again(lane),
            }
        }
    }

    /// A lane on trial has shown that it can be sent.
    pub(super) fn acquit(&mut self, lane: Lane) {
        if self.lanes[lane].acquit() {
            tracing::info!(lane = lane.as_str(), "this lane is sent again");
            self.spool.take_again(lane);
            self.status.update(|progress| progress.lanes[lane].halted = None);
        }
    }

    /// After a lane's sealed end has moved: segments may go.
    pub(super) fn sealed(&mut self) {
        let sealed = PerLane::build(|lane| self.lanes[lane].sealed());
        if let Err(error) = self.log.release(sealed) {
            tracing::warn!(%error, "sealed segments could not be deleted; trying again later");
        }
        self.report();
        self.relieve();
    }

    /// After a signed acknowledgement.
    pub(super) fn acked(&mut self, lane: Lane, head: Head) {
        self.acquit(lane);
        let cursor = AckCursor { last_ordinal: head.last, head_hash: head.hash };
        self.acknowledgements += 1;
        self.state.set_ack_cursor(self.log.streams().epoch, lane, cursor);
        if self.collected.is_none_or(|at| at.elapsed() >= COLLECT_EVERY) {
            self.collected = Some(Instant::now());
            self.collect(self.keep);
        }
        self.report();
        self.relieve();
    }

    fn report(&self) {
        let lanes = &self.lanes;
        self.log.set_sealed_bytes(lanes.money.unacked_bytes().saturating_add(lanes.traffic.unacked_bytes()));
        self.status.update(|progress| {
            for lane in Lane::ALL {
                progress.lanes[*lane].sealed = lanes[*lane].sealed();
                progress.lanes[*lane].acked = lanes[*lane].confirmed.last;
                progress.lanes[*lane].oldest_micros = lanes[*lane].oldest_micros();
            }
        });
    }
}
