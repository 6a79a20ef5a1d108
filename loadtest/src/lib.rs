//! A load generator. Open loop: requests are due by the clock, whether or not earlier ones were answered,
//! and a latency counts from when its request was due; so a target that stalls is charged for every request
//! that would have come meanwhile, as its users would charge it. Closed loop: every connection asks again at
//! once, which finds the peak and says nothing about latency. `compare` does both to several servers in turn.
//!
//! `store` measures the control plane from within: ingest, projection, money and reports on a database.

mod answer;
pub mod compare;
mod geo;
mod report;
mod requests;
mod run;
mod schedule;
pub mod store;

pub use geo::write_geo;
pub use report::{json, table};
pub use run::{Load, LoadError, Outcome, Plan, run};
pub use schedule::Schedule;
