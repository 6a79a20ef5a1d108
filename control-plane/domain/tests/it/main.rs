//! The domain from outside: scenarios as text, permutations of journeys, and random sequences of inputs
//! against the invariants.

// Helpers of tests, where a panic is the way to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod journeys;
mod limits;
mod machine;
mod scenario;
mod scenarios;
mod shell;
mod world;
