//! What the money engine will meet next, without writing anything: whether it is behind, or cannot go on.

use super::money::name;
use crate::error::chain;
use control_plane_domain::engine;
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_store::{Slots, Store, StoreError};
use proto_model::UnixMicros;

/// Shards that are looked at, those first that have waited longest.
const SHARDS: u32 = 1_000;

/// Of all shards that have work.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Ahead {
    /// Those that cannot go on, each in one sentence.
    pub still: Vec<String>,
    /// How many wait before a close, since payouts are frozen.
    pub frozen: u32,
    /// Since when the others wait.
    pub since: Option<UnixMicros>,
}

pub async fn look_ahead(store: &Store) -> Result<Ahead, StoreError> {
    let frozen = store.freeze().await?.is_some();
    let mut ahead = Ahead::default();
    for shard in store.shards_with_work(Slots::ALL, SHARDS).await? {
        match look(store, shard, frozen).await? {
            Next::Nothing => {}
            Next::Frozen => ahead.frozen += 1,
            Next::Applies(at) => ahead.since = Some(ahead.since.map_or(at, |since| since.min(at))),
            Next::Stops(why) => ahead.still.push(format!("{} stands still: {why}", name(&shard))),
        }
    }
    Ok(ahead)
}

enum Next {
    Nothing,
    Frozen,
    Applies(UnixMicros),
    Stops(String),
}

/// The same steps as the engine's own.
async fn look(store: &Store, shard: ShardKey, frozen: bool) -> Result<Next, StoreError> {
    let (item, mut state) = match store.next_for_engine(shard).await {
        Ok(Some(next)) => next,
        Ok(None) => return Ok(Next::Nothing),
        Err(error @ StoreError::Corrupt { .. }) => return Ok(Next::Stops(chain(&error))),
        Err(error) => return Err(error),
    };
    if frozen && matches!(item.input, Input::ClosePeriod { .. }) {
        return Ok(Next::Frozen);
    }
    Ok(match engine::apply(shard, &mut state, &item) {
        Ok(_) => Next::Applies(item.recorded_at),
        Err(error) => {
            Next::Stops(format!("intake item {} cannot be applied: {}", item.ordinal, chain(&error)))
        }
    })
}
