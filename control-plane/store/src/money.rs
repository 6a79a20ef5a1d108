//! The money engine's unit of work: load what an input needs, persist what it brought about, move the
//! checkpoint, in one transaction on the writer connection.

use crate::leases::Lease;
use crate::{Store, StoreError};
use control_plane_domain::intake::{IntakeItem, ShardKey};
use control_plane_domain::state::{Effect, Needs, ShardState};

/// One writer transaction over one shard. Dropped without `commit`, it leaves no trace. While it is open
/// nothing else can write, and on an in-memory database nothing else can read.
pub struct MoneyTx {
    _shard: ShardKey,
}
impl Store {
    /// `Fenced` when the lease is no longer the newest; `NotFound` when there is no such shard.
    pub async fn begin_money(&self, shard: ShardKey, lease: &Lease) -> Result<MoneyTx, StoreError> {
        let _ = (shard, lease);
        Err(StoreError::NotFound)
    }
}
impl MoneyTx {
    /// Items after what has been persisted, in order.
    pub async fn next_items(&mut self, limit: u32) -> Result<Vec<IntakeItem>, StoreError> {
        let _ = limit;
        Err(StoreError::NotFound)
    }
    /// Exactly what the domain had, as far as `needs` names it.
    pub async fn load(&mut self, needs: &Needs) -> Result<ShardState, StoreError> {
        let _ = needs;
        Err(StoreError::NotFound)
    }
    /// `item` must be the one after the checkpoint; `state` is what `apply` left.
    pub async fn persist(
        &mut self,
        item: &IntakeItem,
        state: &ShardState,
        effects: &[Effect],
    ) -> Result<(), StoreError> {
        let _ = (item, state, effects);
        Err(StoreError::NotFound)
    }
    pub async fn commit(self) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }
}
