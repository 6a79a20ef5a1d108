//! How the following of snapshots goes, for metrics and people.

use proto_model::UnixMicros;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchProgress {
    /// The control plane tells us of changes.
    pub connected: bool,
    /// When the control plane made the snapshot that was taken over last; 0 = none since the start.
    pub issued_at: UnixMicros,
    /// Why the last attempt failed; kept until a snapshot is taken over.
    pub last_error: Option<String>,
    /// Attempts that failed since the start.
    pub errors: u64,
    /// The control plane offered a version older than what this node has run: it was restored from a
    /// backup, or somebody replays. Kept until a newer one comes.
    pub older_refused: Option<u64>,
}

/// Shared between the watcher and those who watch it.
#[derive(Debug, Default)]
pub struct WatchStatus(Mutex<WatchProgress>);

impl WatchStatus {
    pub fn progress(&self) -> WatchProgress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut WatchProgress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
