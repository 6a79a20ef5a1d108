//! What the business decides, as pure functions: attribution, commission, ledger, settlement, replay.
//!
//! [`engine::apply`] takes the state of one shard and the next item of its intake and returns effects;
//! the shell (`control-plane-store`) loads the state that [`engine::needs`] names and commits the effects
//! with the checkpoint. Nothing here reads a clock, draws a random number or does I/O.

pub mod attribution;
mod canonical;
mod commission;
mod conversion;
mod credit;
pub mod engine;
mod error;
pub mod intake;
pub mod invariants;
mod journey;
pub mod ledger;
mod lifecycle;
mod models;
pub mod notify;
pub mod order;
mod orders;
mod posting;
pub mod reason;
pub mod replay;
mod settle;
pub mod settlement;
mod shares;
pub mod state;
mod step;
pub mod terms;
mod touches;

pub use engine::{DomainError, apply, needs, needs_more};
pub use intake::{Input, IntakeItem, ShardKey};
pub use state::ShardState;
