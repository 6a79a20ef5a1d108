//! The conformance suite of the store: every operation, against whichever database it is opened on.

// Tests say what must hold by panicking when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod arbitrary;
mod catalog;
mod click_leases;
mod clock;
mod concurrency;
mod edge_reports;
mod erase;
mod explain;
mod faults;
mod fleet;
mod full;
mod gaps;
mod intake;
mod journal;
mod leases;
mod machine;
mod migrations;
mod money;
mod not_let_in;
mod opening;
mod order;
mod owned;
mod projection;
mod raw;
mod reports;
mod restore;
mod retention;
mod settings;
mod sharing;
mod signatures;
mod silence;
mod tenants;
mod tls;
mod trap;
mod walls;
mod world;
mod write_once;
