//! Sends what was spooled to the control plane: seals batches once, keeps them as files, sends them byte
//! for byte until they are acknowledged, and keeps them for a while after that.

mod backoff;
mod flow;
mod halt;
mod lane;
mod opens;
mod order;
mod rest;
mod retain;
mod seal;
mod sender;
mod session;
mod status;

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use retain::{Head, SealedFiles};
pub use sender::{Jitter, Phase, Sender, SenderParts};
pub use status::{ForwardStatus, LaneProgress, Progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardConfig {
    /// How long a lane stands still for files that are gone before they are declared lost; 0 = not at all.
    pub declare_gap_after_secs: u64,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self { declare_gap_after_secs: 900 }
    }
}

/// Batches of one lane under way. Money has a window of its own, so clicks cannot fill it.
pub(crate) const MAX_IN_FLIGHT: usize = 4;
