//! Lanes that stand still: why, and when they are tried again. Pure: time comes in.

use super::Backoff;
use super::retain::RetainError;
use crate::spool::Shut;
use crate::with_causes;
use proto_wire::envelope::{EnvelopeError, GapReason};
use std::time::Duration;
use tokio::time::Instant;

/// Why a lane is not sent any more. An operator must look; the other lane goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error(
        "the control plane holds other events than this node under the same ordinals (was the disk copied or restored?)"
    )]
    Diverged,
    #[error("the control plane asks for ordinal {expected}, which is not kept here any more")]
    NotRetained { expected: u64 },
    #[error(
        "the control plane is at ordinal {theirs}, this node only at {ours} (was the disk restored from a copy?)"
    )]
    Behind { theirs: u64, ours: u64 },
    #[error("the control plane knows this lane as stream {0}")]
    OtherStream(u32),
    #[error("the control plane refused the lane: {0}")]
    Refused(String),
    #[error("a sealed batch is damaged on disk")]
    Damaged(#[source] RetainError),
    #[error("the sealed batches of the ordinals {from} to {through} are missing on disk")]
    Missing { from: u64, through: u64 },
    #[error("the sealed batches cannot be sent by this version")]
    TooNew(#[source] RetainError),
    #[error("the events cannot be sealed")]
    Seal(#[source] EnvelopeError),
}

/// When there is a point in looking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// An operator may have changed the control plane's mind meanwhile.
    Later,
    /// An operator may have put the files back; when that was waited for in vain, the loss is declared.
    Lost,
    /// The two ends compare where they stand: one of them may have been put right.
    NextSession,
    /// Events were taken out of the spool and are in no batch: only a restart reads them again.
    Never,
}

impl Halt {
    fn retry(&self) -> Retry {
        match self {
            Self::Refused(_) => Retry::Later,
            Self::Seal(_) => Retry::Never,
            _ if self.gap().is_some() => Retry::Lost,
            _ => Retry::NextSession,
        }
    }

    /// As what the loss may be declared, so that the lane goes on behind it. Nothing else that halts a lane is one: the
    /// batches may stand somewhere.
    pub fn gap(&self) -> Option<GapReason> {
        match self {
            Self::Damaged(_) => Some(GapReason::Damaged),
            Self::Missing { .. } => Some(GapReason::Missing),
            Self::NotRetained { .. } => Some(GapReason::NotRetained),
            Self::Diverged
            | Self::Behind { .. }
            | Self::OtherStream(_)
            | Self::Refused(_)
            | Self::TooNew(_)
            | Self::Seal(_) => None,
        }
    }

    /// Whether what was answered is gone for good, or must be taken for it. What was only refused, or waits for an
    /// upgrade, is still here.
    pub fn loses(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::TooNew(_))
    }

    fn shut(&self) -> Shut {
        match self {
            Self::Diverged => Shut::Diverged,
            Self::NotRetained { .. } => Shut::NotRetained,
            Self::Behind { .. } => Shut::Behind,
            Self::OtherStream(_) => Shut::OtherStream,
            Self::Refused(_) => Shut::Refused,
            Self::Damaged(_) | Self::Missing { .. } => Shut::Damaged,
            Self::TooNew(_) => Shut::TooNew,
            Self::Seal(_) => Shut::Unsealed,
        }
    }
}

/// A lane that stands still, or that shows on trial whether it still must.
#[derive(Debug)]
pub(super) struct Halted {
    pub reason: String,
    pub shut: Shut,
    retry: Retry,
    on_trial: bool,
    due: Option<Instant>,
    backoff: Backoff,
    /// When the loss is declared (again).
    declares: Option<Instant>,
    declarations: Backoff,
}

/// Each trial sends a batch that may be refused again.
const TRIALS: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(60));
/// A control plane that is older than declarations ends the session for one, and the other lane has to go on.
const DECLARATIONS: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(600));

impl Halted {
    /// `patience` is how long a loss waits to be declared.
    pub fn new(halt: &Halt, patience: Duration, now: Instant, random: [u8; 1]) -> Self {
        let (reason, shut, retry) = (with_causes(halt), halt.shut(), halt.retry());
        let declares = (retry == Retry::Lost).then(|| now.checked_add(patience)).flatten();
        let (on_trial, due, backoff, declarations) = (false, None, TRIALS, DECLARATIONS);
        let mut halted = Self { reason, shut, retry, on_trial, due, backoff, declares, declarations };
        halted.wait(now, random);
        if halted.may_declare(now) {
            halted.due = Some(now);
        }
        halted
    }

    /// It came to nothing, or something else was found. Returns whether that is news.
    pub fn again(&mut self, halt: &Halt, patience: Duration, now: Instant, random: [u8; 1]) -> bool {
        let reason = with_causes(halt);
        if reason != self.reason {
            *self = Self::new(halt, patience, now, random);
            return true;
        }
        // Of several batches under way, each is refused.
        if std::mem::take(&mut self.on_trial) {
            self.wait(now, random);
        }
        false
    }

    fn wait(&mut self, now: Instant, random: [u8; 1]) {
        let later = matches!(self.retry, Retry::Later | Retry::Lost);
        let trial = later.then(|| now + self.backoff.next(random));
        let declares = self.declares.filter(|at| *at > now);
        self.due = trial.map(|trial| declares.map_or(trial, |declares| trial.min(declares)));
    }

    /// Whether the files were waited for long enough.
    pub fn may_declare(&self, now: Instant) -> bool {
        self.declares.is_some_and(|at| at <= now)
    }

    /// How long the files are still waited for; `None` = it is not about files.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        self.declares.map(|at| at.saturating_duration_since(now))
    }

    /// The loss is being declared. It is said again when no answer comes, ever less often.
    pub fn declared(&mut self, now: Instant, random: [u8; 1]) {
        self.declares = Some(now + self.declarations.next(random));
    }

    pub fn on_trial(&self) -> bool {
        self.on_trial
    }

    /// A new session compares where both ends stand.
    pub fn begin_session(&mut self) {
        self.on_trial = self.retry != Retry::Never;
    }

    /// How long until the next trial within this session.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.due.filter(|_| !self.on_trial).map(|due| due.saturating_duration_since(now))
    }

    pub fn begin_trial(&mut self) {
        self.on_trial = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: [u8; 1] = [255];
    const NONE: Duration = Duration::ZERO;

    #[test]
    fn what_was_refused_is_tried_again_ever_less_often() {
        let now = Instant::now();
        let refused = || Halt::Refused("quarantine".into());
        let mut halted = Halted::new(&refused(), NONE, now, SOON);
        let secs = Duration::from_secs;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(halted.due_in(now), Some(secs(wait)));
            assert_eq!(halted.due_in(now + secs(wait)), Some(Duration::ZERO));
            assert!(!halted.again(&refused(), NONE, now, SOON), "a batch that was under way");
            assert_eq!(halted.due_in(now), Some(secs(wait)), "and changes nothing");
            halted.begin_trial();
            assert_eq!(halted.due_in(now), None);
            assert!(!halted.again(&refused(), NONE, now, SOON));
        }
        assert!(halted.again(&Halt::Refused("another".into()), NONE, now, SOON), "news");
        assert_eq!((halted.due_in(now), halted.patience(now)), (Some(secs(1)), None));
    }

    #[test]
    fn lost_files_are_looked_for_until_the_patience_ends() {
        let start = Instant::now();
        let (secs, lost) = (Duration::from_secs, || Halt::Missing { from: 3, through: 4 });
        let mut halted = Halted::new(&lost(), secs(10), start, SOON);
        let mut now = start;
        for (wait, left) in [(1, 9), (2, 7), (4, 3)] {
            assert_eq!((halted.due_in(now), halted.may_declare(now)), (Some(secs(wait)), false));
            now += secs(wait);
            halted.begin_trial();
            halted.again(&lost(), secs(10), now, SOON);
            assert_eq!(halted.patience(now), Some(secs(left)));
        }
        assert_eq!(halted.due_in(now), Some(secs(3)), "not after the patience");
        now += secs(3);
        for wait in [1, 2, 4] {
            halted.begin_session();
            assert!(halted.may_declare(now));
            halted.declared(now, SOON);
            // The session breaks off, and the next finds the same.
            halted.begin_session();
            assert!(!halted.may_declare(now));
            halted.again(&lost(), secs(10), now, SOON);
            assert_eq!(halted.due_in(now), Some(secs(wait)));
            now += secs(wait);
        }
        assert_eq!(Halted::new(&lost(), NONE, now, SOON).due_in(now), Some(NONE), "no patience at all");
        assert!(Halted::new(&lost(), Duration::MAX, now, SOON).patience(now).is_none(), "for ever");
    }

    #[test]
    fn what_two_ends_disagree_on_is_for_the_next_session() {
        let seal = || Halt::Seal(proto_wire::envelope::EnvelopeError::Empty);
        let cases: [(Halt, bool); 4] = [
            (Halt::Diverged, true),
            (Halt::Behind { theirs: 2, ours: 1 }, true),
            (Halt::OtherStream(3), true),
            (seal(), false),
        ];
        for (halt, again) in cases {
            assert_eq!(halt.gap(), None, "{halt:?}");
            let mut halted = Halted::new(&halt, NONE, Instant::now(), SOON);
            assert_eq!((halted.due_in(Instant::now()), halted.on_trial()), (None, false), "{halt:?}");
            halted.begin_session();
            assert_eq!(halted.on_trial(), again, "{halt:?}");
        }
    }
}
