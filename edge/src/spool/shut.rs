//! Lanes that take no more hits although their disk is well.

use super::{SpoolError, SpoolHandle};
use crate::lanes::PerLane;
use proto_model::Lane;

/// Why a lane is shut: what it took now would never arrive, so nobody may be told that it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    #[error("the control plane takes nothing from this edge (was it revoked, or is it unknown there?)")]
    Denied,
    #[error("another node uses this edge's identity, or this spool was replaced")]
    Fenced,
    #[error("the control plane holds other events under the same ordinals")]
    Diverged,
    #[error("the control plane is further than this node: its disk is an old copy")]
    Behind,
    #[error("the control plane asks for what is not kept here any more")]
    NotRetained,
    #[error("the control plane knows the lane as another stream")]
    OtherStream,
    #[error("the control plane refuses the lane: it is in quarantine, or its batches cannot be read there")]
    Refused,
    #[error("a sealed batch is damaged or missing on this disk")]
    Damaged,
    #[error("a sealed batch was written by newer software: upgrade this edge again")]
    TooNew,
    #[error("the events cannot be sealed")]
    Unsealed,
}

impl Shut {
    /// A stable name for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Fenced => "fenced",
            Self::Diverged => "diverged",
            Self::Behind => "behind",
            Self::NotRetained => "not_retained",
            Self::OtherStream => "other_stream",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::TooNew => "too_new",
            Self::Unsealed => "unsealed",
        }
    }
}

impl SpoolHandle {
    /// From now on the lane refuses what it is given. What is on disk, or queued, stays.
    pub fn shut(&self, lane: Lane, why: Shut) {
        self.shared().lock().shut[lane] = Some(why);
    }

    /// The lane takes hits again.
    pub fn take_again(&self, lane: Lane) {
        self.shared().lock().shut[lane] = None;
    }
}

/// What an append to `lane` comes to, as far as this is concerned.
pub(super) fn admit(shut: &PerLane<Option<Shut>>, lane: Lane) -> Result<(), SpoolError> {
    shut[lane].map_or(Ok(()), |why| Err(SpoolError::Shut(why)))
}
