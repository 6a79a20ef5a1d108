//! What the business decides, as pure functions: attribution, commission, ledger, settlement, replay.
//!
//! [`engine::apply`] takes the state of one shard and the next item of its intake and returns effects;
//! the shell (`control-plane-store`) loads the state that [`engine::needs`] names and commits the effects
//! with the checkpoint. Nothing here reads a clock, draws a random number or does I/O.

pub mod engine;
pub mod intake;
pub mod invariants;
pub mod ledger;
pub mod notify;
pub mod order;
pub mod reason;
pub mod replay;
pub mod settlement;
pub mod state;
pub mod terms;

pub use engine::{DomainError, apply, needs};
pub use intake::{Input, IntakeItem, ShardKey};
pub use state::ShardState;
