//! What can stop a shard.

use crate::intake::ShardKey;

/// The shard's state cannot be trusted; whatever `apply` did to it in memory must be thrown away.
/// No input from outside can cause this: what makes no sense there becomes a conflict or no effect at
/// all, so that it never stops a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("{input} does not belong into shard {shard:?}; restore the intake or repair its writer")]
    Misrouted { input: &'static str, shard: ShardKey },
    #[error("ledger transaction {sequence} would not balance; keep the database and report a bug")]
    Unbalanced { sequence: u64 },
    #[error("the stored order {order_id:?} contradicts itself ({what}); restore it by a replay")]
    CorruptOrder { order_id: String, what: &'static str },
    #[error("the ledger of shard {shard:?} has no more sequence numbers")]
    LedgerFull { shard: ShardKey },
}
