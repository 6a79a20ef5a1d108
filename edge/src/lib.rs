//! The edge node: answers tracking hits on the public internet and loses none of them.
//!
//! One half takes hits (`http` ▸ `admission` ▸ `enrich` ▸ `decide` ▸ [`spool`]), the other half talks to
//! the control plane ([`identity`], [`snapshot`], [`forward`], [`report`]). They meet in [`Parts`] only: a node
//! answers hits from its last good snapshot for as long as the control plane is away.

pub mod admission;
pub mod budget;
pub mod cli;
pub mod config;
pub mod decide;
pub mod enrich;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod ip;
pub mod metrics;

pub mod disk;
pub mod forward;
pub mod identity;
pub mod lanes;
pub mod report;
pub mod snapshot;
pub mod spool;
pub mod state;

mod causes;
mod geo_file;
mod node;
#[cfg(test)]
mod simulation;

pub use causes::with_causes;
pub use config::Config;
pub use identity::{EnrollError, Identity, enroll, is_enrolled};
pub use node::{EdgeHandle, Parts, StartError, start, take_over};
