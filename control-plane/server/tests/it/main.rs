//! The control plane as a whole, in this process, against a real database file and real TLS.

// Tests say what must hold by panicking when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerting;
mod click_caps;
mod clicks;
mod commit_points;
mod database_away;
mod edge;
mod enrolment;
mod fleet_health;
mod gaps;
mod hits;
mod logged;
mod money;
mod plane;
mod priority;
mod projecting;
mod publish;
mod quarantine;
mod refusals;
mod rest;
mod restored;
mod retention;
mod snapshot;
mod starting;
mod tampering;
