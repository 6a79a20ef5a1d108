//! What became of the batches and gaps that came, counted since the process started.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Appended,
    GapDeclared,
    /// It was here before.
    Known,
    /// Something before it is missing.
    Early,
    /// It contradicts what is here, or its stream is in quarantine.
    Fork,
    /// Of an older session.
    Fenced,
    /// Not what the edge may send, or it could never be read.
    Invalid,
    /// The database could not take it.
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 8] = [
        Self::Appended,
        Self::GapDeclared,
        Self::Known,
        Self::Early,
        Self::Fork,
        Self::Fenced,
        Self::Invalid,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::GapDeclared => "gap_declared",
            Self::Known => "known",
            Self::Early => "early",
            Self::Fork => "fork",
            Self::Fenced => "fenced",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

#[derive(Default)]
pub struct Outcomes([AtomicU64; Outcome::ALL.len()]);

impl Outcomes {
    pub fn count(&self, outcome: Outcome) {
        for (counter, of) in self.0.iter().zip(Outcome::ALL) {
            if of == outcome {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}
