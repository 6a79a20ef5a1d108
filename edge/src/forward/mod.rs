//! Sends what was spooled to the control plane: seals batches once, keeps them as files, sends them byte
//! for byte until they are acknowledged, and keeps them for a while after that.

mod backoff;
mod flow;
mod halt;
mod lane;
mod order;
mod retain;
mod seal;
mod sender;
mod session;
mod status;

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use retain::{Head, SealedFiles};
pub use sender::{Phase, Sender, SenderParts};
pub use status::{ForwardStatus, LaneProgress, Progress};

/// Batches of one lane under way. Money has a window of its own, so clicks cannot fill it.
pub(crate) const MAX_IN_FLIGHT: usize = 4;
