//! An open-loop load generator: requests are due by the clock, whether or not earlier ones were answered,
//! and a latency counts from when its request was due. So a target that stalls is charged for every
//! request that would have come meanwhile, as its users would charge it.

mod report;
mod run;
mod schedule;

pub use report::{json, table};
pub use run::{LoadError, Outcome, Plan, run};
pub use schedule::Schedule;
