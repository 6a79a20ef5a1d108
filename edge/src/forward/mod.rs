//! Sends what was spooled to the control plane.

mod status;

pub use status::{ForwardStatus, LaneProgress, Progress};
