//! The money engine: one input of a shard, in intake order, against the shard's state.

use crate::intake::{Input, IntakeItem, ShardKey};
use crate::state::{Effect, Needs, ShardState};

/// The shard's state cannot be trusted. No input from outside can cause it: what makes no sense there
/// becomes a conflict or no effect at all, so that it never stops a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("{input} does not belong into shard {shard:?}; restore the intake or repair the writer")]
    Misrouted { input: &'static str, shard: ShardKey },
    #[error("transaction {sequence} would not balance; stop the money engine and report this as a bug")]
    Unbalanced { sequence: u64 },
    #[error("the ledger of this shard is full; open a new shard")]
    LedgerFull,
}

pub fn apply(
    _shard: ShardKey,
    _state: &mut ShardState,
    _item: &IntakeItem,
) -> Result<Vec<Effect>, DomainError> {
    Ok(Vec::new())
}

/// What `apply` may read or change for this input.
pub fn needs(_input: &Input) -> Needs {
    Needs::default()
}
