//! The money engine's unit of work: load what an input needs, persist what it brought about, move the
//! checkpoint, in one transaction.

mod load;
mod numbers;
mod write;

pub(crate) use load::{read_open_credit, select_credits};
pub(crate) use numbers::Numbers;

use crate::aggregate::{load_order, put_order};
use crate::db::Write;
use crate::intake::{advertiser_column, append_inputs, items_after};
use crate::leases::{Lease, check_fence};
use crate::row::{Columns, Id, big};
use crate::sql::{Row, locking, query, sharing};
use crate::{Store, StoreError};
use control_plane_domain::intake::{Input, IntakeItem, ShardKey};
use control_plane_domain::ledger::LedgerHead;
use control_plane_domain::needs;
use control_plane_domain::order::Order;
use control_plane_domain::state::{Effect, Needs, ShardState};

macro_rules! checkpoint {
    () => {
        "SELECT ordinal, ledger_sequence, ledger_hash FROM money_checkpoints \
         WHERE tenant_id = $1 AND advertiser_id = $2"
    };
}

/// One transaction over one shard. Dropped without `commit`, it leaves no trace. While it is open nobody else
/// moves this shard; on SQLite nobody writes anything, and in memory nobody even reads.
pub struct MoneyTx {
    tx: Write,
    shard: ShardKey,
    lease: Lease,
    /// The checkpoint when the transaction began.
    began_at: u64,
    /// Items up to here are persisted, in this transaction or before.
    checkpoint: u64,
    head: LedgerHead,
    /// The order that the next item is about, as it is stored; `None` = it is not.
    loaded: Option<(String, Option<Order>)>,
    numbers: Numbers,
    /// An item was persisted in part: nothing of this transaction may be committed.
    broken: bool,
}

impl Store {
    /// `Fenced` when the lease is no longer the newest; `NotFound` when there is no such shard.
    pub async fn begin_money(&self, shard: ShardKey, lease: &Lease) -> Result<MoneyTx, StoreError> {
        let mut tx = self.write(shard).await?;
        check_fence(&mut tx, lease).await?;
        // Whoever takes over waits here until what was begun before has ended, and then sees its checkpoint.
        let row = query(locking!(checkpoint!()))
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .fetch_one(&mut tx)
            .await?;
        let checkpoint = row.number("ordinal")?;
        let head = read_head(&row)?;
        Ok(MoneyTx {
            tx,
            shard,
            lease: lease.clone(),
            began_at: checkpoint,
            checkpoint,
            head,
            loaded: None,
            numbers: Numbers::of(shard.tenant),
            broken: false,
        })
    }

    /// The item that the money engine comes to next, and the state that it will see; `None` = nothing waits.
    /// For who only wants to look.
    pub async fn next_for_engine(
        &self,
        shard: ShardKey,
    ) -> Result<Option<(IntakeItem, ShardState)>, StoreError> {
        let mut conn = self.read_snapshot(shard).await?;
        let row = query(checkpoint!()).bind(shard.tenant.column()).bind(advertiser_column(shard));
        let Some(row) = row.fetch_optional(&mut conn).await? else { return Ok(None) };
        let Some(item) = items_after(&mut conn, shard, row.number("ordinal")?, 1).await?.pop() else {
            return Ok(None);
        };
        let mut state = load::for_input(&mut conn, shard, &item.input).await?;
        state.ledger = read_head(&row)?;
        Ok(Some((item, state)))
    }

    /// The intake ordinal up to which everything in the shard has had its effect; 0 = nothing yet.
    pub async fn applied_through(&self, shard: ShardKey) -> Result<u64, StoreError> {
        let row = query(checkpoint!())
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .fetch_optional(&mut self.read(shard).await?)
            .await?;
        row.map_or(Ok(0), |row| row.number("ordinal"))
    }
}

fn read_head(row: &Row) -> Result<LedgerHead, StoreError> {
    Ok(LedgerHead { sequence: row.number("ledger_sequence")?, hash: row.bytes("ledger_hash")? })
}

impl MoneyTx {
    /// Items after what has been persisted, in order.
    pub async fn next_items(&mut self, limit: u32) -> Result<Vec<IntakeItem>, StoreError> {
        items_after(&mut self.tx, self.shard, self.checkpoint, limit).await
    }

    /// Whether no period may be closed; it stays so, or not, until this transaction ends.
    pub async fn is_frozen(&mut self) -> Result<bool, StoreError> {
        let sql = sharing!("SELECT frozen_at FROM deployment");
        let row = query(sql).fetch_one(&mut self.tx).await?;
        Ok(row.col::<Option<i64>>("frozen_at")?.is_some())
    }

    /// What `apply` may read or change for this input, exactly as the domain had it.
    pub async fn load(&mut self, input: &Input) -> Result<ShardState, StoreError> {
        let mut state = load::for_input(&mut self.tx, self.shard, input).await?;
        state.ledger = self.head;
        let order_id = needs(input).order_id;
        self.loaded = order_id.map(|id| (id.clone(), state.orders.get(&id).cloned()));
        Ok(state)
    }

    /// The parts that are named; for who only wants to look.
    pub async fn load_parts(&mut self, parts: &Needs) -> Result<ShardState, StoreError> {
        let mut state = load::state(&mut self.tx, self.shard, parts).await?;
        state.ledger = self.head;
        Ok(state)
    }

    /// `item` must be the one after the checkpoint (else `Conflict("intake_order")`); `state` is what
    /// `apply` left.
    pub async fn persist(
        &mut self,
        item: &IntakeItem,
        state: &ShardState,
        effects: &[Effect],
    ) -> Result<(), StoreError> {
        if item.ordinal != self.checkpoint + 1 {
            return Err(StoreError::Conflict("intake_order"));
        }
        self.broken = true;
        let mut sends: Vec<(ShardKey, &Input)> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, input } => sends.push((*to, input)),
                other => self.put(item, state, other).await?,
            }
        }
        if !sends.is_empty() {
            // The cause's time, so that a replay needs no clock; the receiver's log never runs backwards.
            append_inputs(&mut self.tx, &sends, item.recorded_at).await?;
            self.tx.owed.intake = true;
        }
        self.checkpoint = item.ordinal;
        self.head = state.ledger;
        self.loaded = None;
        self.broken = false;
        Ok(())
    }

    async fn put(
        &mut self,
        item: &IntakeItem,
        state: &ShardState,
        effect: &Effect,
    ) -> Result<(), StoreError> {
        let (tx, numbers, shard) = (&mut *self.tx, &mut self.numbers, self.shard);
        match effect {
            Effect::PutTerms(terms) => write::terms(tx, shard, terms).await,
            Effect::PutOrder(order_id) => {
                let order = state.orders.get(order_id);
                let order =
                    order.ok_or_else(|| StoreError::corrupt("effect", "its order is not in the state"))?;
                let before = match &self.loaded {
                    Some((loaded, before)) if loaded == order_id => before.clone(),
                    _ => load_order(tx, shard, order_id).await?.map(|(order, _)| order),
                };
                put_order(tx, numbers, shard, item, before.as_ref(), order).await
            }
            Effect::PutTouch(touch) => write::touch(tx, shard, touch).await,
            Effect::PutCredit(credit) => write::credit(tx, shard, credit).await,
            Effect::Post(transaction) => write::transaction(tx, numbers, shard, transaction).await,
            Effect::PutStatement(statement) => write::statement(tx, numbers, shard, item, statement).await,
            Effect::PutPayout(payout) => write::payout(tx, numbers, shard, item, payout).await,
            Effect::PutCarried { partner, currency, minor } => {
                write::carried(tx, shard, *partner, *currency, *minor).await
            }
            Effect::Notify(notification) => write::outbox(tx, numbers, shard, item, notification).await,
            // Collected by the caller.
            Effect::Send { .. } => Ok(()),
        }
    }

    /// Effects and checkpoint together, if the lease still stands. `Conflict("item_in_part")` after a
    /// `persist` that failed.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Conflict("item_in_part"));
        }
        if self.checkpoint == self.began_at {
            return Ok(());
        }
        self.numbers.store(&mut self.tx).await?;
        let sql = "UPDATE money_checkpoints SET ordinal = $4, ledger_sequence = $5, ledger_hash = $6 \
            WHERE tenant_id = $1 AND advertiser_id = $2 AND ordinal = $3 \
            AND EXISTS (SELECT 1 FROM leases WHERE name = $7 AND fence = $8)";
        let moved = query(sql)
            .bind(self.shard.tenant.column())
            .bind(advertiser_column(self.shard))
            .bind(big(self.began_at))
            .bind(big(self.checkpoint))
            .bind(big(self.head.sequence))
            .bind(&self.head.hash[..])
            .bind(&self.lease.name)
            .bind(big(self.lease.fence))
            .execute(&mut self.tx)
            .await?;
        if moved != 1 {
            return Err(StoreError::Fenced);
        }
        self.tx.owed.money = true;
        self.tx.commit().await
    }
}
