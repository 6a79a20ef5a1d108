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
    #[error("the sealed batch that begins at ordinal {first} cannot be used")]
    Damaged { first: u64, source: RetainError },
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
        self.loss().map(|(reason, _)| reason)
    }

    /// The same, and where what is lost begins.
    fn loss(&self) -> Option<(GapReason, u64)> {
        match self {
            Self::Damaged { first, .. } => Some((GapReason::Damaged, *first)),
            Self::Missing { from, .. } => Some((GapReason::Missing, *from)),
            Self::NotRetained { expected } => Some((GapReason::NotRetained, *expected)),
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
            Self::Damaged { .. } | Self::Missing { .. } => Shut::Damaged,
            Self::TooNew(_) => Shut::TooNew,
            Self::Seal(_) => Shut::Unsealed,
        }
    }
}

/// A lane that stands still, or that shows on trial whether it still must. What is refused and what is lost are
/// remembered each by itself: a lane may be refused for the very loss that it declares, and met with the loss again when
/// that is tried. Neither makes the other begin anew.
#[derive(Debug)]
pub(super) struct Halted {
    /// Of the cause that was met last.
    pub reason: String,
    pub shut: Shut,
    retry: Retry,
    on_trial: bool,
    due: Option<Instant>,
    refusal: Option<Refusal>,
    loss: Option<Loss>,
}

#[derive(Debug)]
struct Refusal {
    why: String,
    trials: Backoff,
}

#[derive(Debug)]
struct Loss {
    /// Another ordinal is another loss, with a time of its own.
    first: u64,
    looks: Backoff,
    /// When it is declared (again); `None` = never.
    declares: Option<Instant>,
    declarations: Backoff,
}

/// Each trial sends a batch that may be refused again, or looks for files.
const TRIALS: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(60));
/// A control plane that is older than declarations ends the session for one, and the other lane has to go on.
const DECLARATIONS: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(600));

impl Loss {
    fn found(first: u64, patience: Duration, now: Instant) -> Self {
        Self { first, looks: TRIALS, declares: now.checked_add(patience), declarations: DECLARATIONS }
    }

    /// When the files are looked for again: when it may be declared, at the latest.
    fn next_look(&mut self, now: Instant, random: [u8; 1]) -> Instant {
        let look = now + self.looks.next(random);
        self.declares.filter(|at| *at >= now).map_or(look, |declares| look.min(declares))
    }
}

impl Halted {
    /// `patience` is how long a loss waits to be declared.
    pub fn new(halt: &Halt, patience: Duration, now: Instant, random: [u8; 1]) -> Self {
        let (reason, shut, retry) = (String::new(), halt.shut(), halt.retry());
        let (on_trial, due, refusal, loss) = (false, None, None, None);
        let mut halted = Self { reason, shut, retry, on_trial, due, refusal, loss };
        halted.again(halt, patience, now, random);
        halted
    }

    /// It came to nothing, or something else was found. Returns whether that is news.
    pub fn again(&mut self, halt: &Halt, patience: Duration, now: Instant, random: [u8; 1]) -> bool {
        let (on_trial, retry) = (std::mem::take(&mut self.on_trial), self.retry);
        let is_news = self.remember(halt, patience, now);
        (self.reason, self.shut, self.retry) = (with_causes(halt), halt.shut(), halt.retry());
        // Of several batches under way, each is refused.
        if is_news || on_trial || self.retry != retry {
            self.due = self.next_trial(now, random);
        }
        is_news
    }

    fn remember(&mut self, halt: &Halt, patience: Duration, now: Instant) -> bool {
        if let Halt::Refused(why) = halt {
            let is_news = self.refusal.as_ref().is_none_or(|refusal| refusal.why != *why);
            if is_news {
                self.refusal = Some(Refusal { why: why.clone(), trials: TRIALS });
            }
            return is_news;
        }
        let Some((_, first)) = halt.loss() else { return self.reason != with_causes(halt) };
        let is_news = self.loss.as_ref().is_none_or(|loss| loss.first != first);
        if is_news {
            self.loss = Some(Loss::found(first, patience, now));
        }
        is_news
    }

    fn next_trial(&mut self, now: Instant, random: [u8; 1]) -> Option<Instant> {
        match self.retry {
            Retry::Later => self.refusal.as_mut().map(|refusal| now + refusal.trials.next(random)),
            Retry::Lost => self.loss.as_mut().map(|loss| loss.next_look(now, random)),
            Retry::NextSession | Retry::Never => None,
        }
    }

    /// Whether the files of this loss were waited for long enough.
    pub fn may_declare(&self, halt: &Halt, now: Instant) -> bool {
        let loss =
            self.loss.as_ref().filter(|loss| halt.loss().is_some_and(|(_, first)| first == loss.first));
        loss.and_then(|loss| loss.declares).is_some_and(|at| at <= now)
    }

    /// How long the files are still waited for; `None` = it is not about files.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let loss = self.loss.as_ref().filter(|_| self.retry == Retry::Lost)?;
        loss.declares.map(|at| at.saturating_duration_since(now))
    }

    /// The loss is being declared. It is said again when no answer comes, ever less often.
    pub fn declared(&mut self, now: Instant, random: [u8; 1]) {
        if let Some(loss) = &mut self.loss {
            loss.declares = Some(now + loss.declarations.next(random));
        }
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
            assert_eq!((halted.due_in(now), halted.may_declare(&lost(), now)), (Some(secs(wait)), false));
            now += secs(wait);
            halted.begin_trial();
            halted.again(&lost(), secs(10), now, SOON);
            assert_eq!(halted.patience(now), Some(secs(left)));
        }
        assert_eq!(halted.due_in(now), Some(secs(3)), "not after the patience");
        now += secs(3);
        for wait in [1, 2, 4] {
            halted.begin_session();
            assert!(halted.may_declare(&lost(), now));
            halted.declared(now, SOON);
            // The session breaks off, and the next finds the same.
            halted.begin_session();
            assert!(!halted.may_declare(&lost(), now));
            halted.again(&lost(), secs(10), now, SOON);
            assert_eq!(halted.due_in(now), Some(secs(wait)));
            now += secs(wait);
        }
        assert_eq!(Halted::new(&lost(), NONE, now, SOON).due_in(now), Some(NONE), "no patience at all");
        assert!(Halted::new(&lost(), Duration::MAX, now, SOON).patience(now).is_none(), "for ever");
    }

    #[test]
    fn a_refusal_and_a_loss_take_turns_and_neither_begins_anew() {
        let (start, secs) = (Instant::now(), Duration::from_secs);
        let (lost, other) = (|| Halt::Missing { from: 3, through: 4 }, Halt::NotRetained { expected: 9 });
        let refused = || Halt::Refused("quarantine".into());
        let mut halted = Halted::new(&lost(), secs(10), start, SOON);
        assert!(halted.again(&refused(), secs(10), start, SOON));
        for (waits, looks) in [(1, 2), (2, 4)] {
            halted.begin_trial();
            assert!(!halted.again(&lost(), secs(10), start, SOON), "it is known");
            assert_eq!((halted.due_in(start), halted.patience(start)), (Some(secs(looks)), Some(secs(10))));
            halted.begin_trial();
            assert!(!halted.again(&refused(), secs(10), start, SOON), "as is this");
            assert_eq!((halted.due_in(start), halted.patience(start)), (Some(secs(waits * 2)), None));
        }
        // What only the next session can compare does not keep a refusal from being tried again.
        assert!(halted.again(&Halt::Diverged, secs(10), start, SOON) && halted.due_in(start).is_none());
        assert!(!halted.again(&refused(), secs(10), start, SOON) && halted.due_in(start).is_some());
        let end = start + secs(10);
        assert!(halted.may_declare(&lost(), end), "although what it met last is a refusal");
        assert!(!halted.may_declare(&other, end), "another loss");
        assert!(halted.again(&other, secs(10), end, SOON) && !halted.may_declare(&other, end));
        assert_eq!(halted.patience(end), Some(secs(10)));
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
