//! A load generator. Open loop: requests are due by the clock, whether or not earlier ones were answered,
//! and a latency counts from when its request was due; so a target that stalls is charged for every request
//! that would have come meanwhile, as its users would charge it. Closed loop: every connection asks again at
//! once, which finds the peak and says nothing about latency. `compare` does both to several servers in turn.
//! Requests travel on HTTP/1.1, HTTP/2 or HTTP/3, in TLS or not.
//!
//! `store` measures the control plane from within: ingest, projection, money and reports on a database; `spool` the log
//! that the edge's replies wait for; `lag` how long it takes a click from its answer to the reports; `backlog` how long a sale takes to the ledger while
//! clicks of an outage arrive.

mod answer;
pub mod backlog;
mod bare;
mod certificate;
pub mod compare;
mod geo;
mod idle;
pub mod lag;
mod report;
mod requests;
mod run;
mod schedule;
pub mod spool;
mod start;
pub mod store;
mod summary;

pub use answer::Expect;
pub use bare::serve_bare;
pub use certificate::{CertificateError, write_certificate};
pub use geo::write_geo;
pub use idle::{Idle, IdleError, idle, idle_json, idle_table};
pub use report::{json, table};
pub use requests::Crowd;
pub use run::{Connections, Load, LoadError, Outcome, Plan, TlsError, Transport, run};
pub use schedule::Schedule;
pub use start::{StartError, Starts, start_json, start_table};
pub use summary::Summary;
