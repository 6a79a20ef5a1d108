//! The node as a whole, against a control plane that follows a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod control_plane;
mod corpus;
mod forwarding;
mod full;
mod gaps;
mod hand_over;
mod identity;
mod losses;
mod node;
mod reports;
mod shut;
mod snapshots;
