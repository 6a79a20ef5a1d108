//! How the sending goes, for `/metrics`, `/readyz` and people.

use crate::lanes::PerLane;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneProgress {
    /// The last ordinal that stands in a sealed batch.
    pub sealed: u64,
    /// The last ordinal the control plane has.
    pub acked: u64,
    /// When the oldest hit came of those that were read and are not acknowledged; 0 = there is none.
    pub oldest_micros: i64,
    /// Why this lane is not sent any more; an operator must look.
    pub halted: Option<String>,
    /// How often the lane has come to stand still, each reason counted once.
    pub halts: u64,
    /// Losses that were declared since the start, and their ordinals.
    pub gaps: u64,
    pub lost: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// A session with the control plane is open.
    pub connected: bool,
    /// Another node uses this identity, or this one was replaced: nothing is sent until a restart.
    pub fenced: bool,
    pub lanes: PerLane<LaneProgress>,
}

/// Shared between the sender and those who watch it.
#[derive(Debug, Default)]
pub struct ForwardStatus {
    progress: Mutex<Progress>,
    opened: Notify,
}

impl ForwardStatus {
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A session has opened.
    pub(crate) fn set_opened(&self) {
        self.opened.notify_one();
    }

    /// Resolves once for the sessions that have opened since the last time. For one who waits.
    pub(crate) async fn opened(&self) {
        self.opened.notified().await;
    }
}
