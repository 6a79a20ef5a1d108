//! What the two planes rely on, checked from outside the crate.

#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;
mod click_ids;
mod events;
mod golden;
mod hostile;
mod routes;
mod rules;
mod sidecars;
mod support;
