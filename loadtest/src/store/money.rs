//! From the intake to the ledger.

use super::bare::{Bare, Rows, Value};
use super::events::Hits;
use super::meter::{Meter, Sample};
use super::report::{Goal, Section};
use super::world::{Sender, World};
use super::{BenchError, Plan};
use crate::compare::stats::order;
use control_plane_domain::engine;
use control_plane_domain::intake::ShardKey;
use control_plane_server::app::{ingest, project};
use proto_model::Lane;
use std::collections::VecDeque;

const PEERS: [&str; 2] = ["engine", "bare inserts"];
/// Of one transaction, as in the server.
const ITEMS: usize = 64;

/// What the engine writes, in an order in which the database takes it; each newer than a number.
const WRITTEN: [(&str, &str); 6] = [
    ("orders", "SELECT * FROM orders WHERE seq > $1 ORDER BY seq"),
    ("conversions", "SELECT * FROM conversions WHERE seq > $1 ORDER BY seq"),
    ("commissions", "SELECT * FROM commissions WHERE seq > $1 ORDER BY seq"),
    (
        "ledger_entries",
        "SELECT e.* FROM ledger_entries e JOIN ledger_transactions t \
         ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id WHERE t.seq > $1 ORDER BY t.seq, e.line",
    ),
    ("ledger_transactions", "SELECT * FROM ledger_transactions WHERE seq > $1 ORDER BY seq"),
    ("outbox", "SELECT * FROM outbox WHERE seq > $1 ORDER BY seq"),
];

/// What must be there for them.
const BEFORE: [(&str, &str); 4] = [
    ("intake_heads", "SELECT * FROM intake_heads"),
    ("money_checkpoints", "SELECT * FROM money_checkpoints"),
    ("intake", "SELECT * FROM intake"),
    ("terms", "SELECT * FROM terms"),
];

pub struct Money<'a> {
    pub world: &'a World,
    pub measured: Bare,
    pub bare: Bare,
    pub meter: Meter,
    pub plan: Plan,
    pub hits: Hits,
}

impl Money<'_> {
    /// Bare inserts come one round after the engine's work that they repeat.
    pub async fn run(&mut self) -> Result<Section, BenchError> {
        let shard = ShardKey::advertiser(self.world.catalog.tenant, self.world.catalog.advertiser);
        while apply_some(self.world, shard, ITEMS).await? > 0 {}
        self.fill().await?;
        for (table, sql) in BEFORE {
            self.bare.copy(&mut self.measured, table, sql).await?;
        }
        let mut done = VecDeque::new();
        self.engine(shard, &mut done).await?;
        let mut samples = vec![Vec::new(); PEERS.len()];
        for round in 0..self.plan.rounds {
            for peer in order(PEERS.len(), round) {
                let sample = match peer {
                    0 => self.engine(shard, &mut done).await?,
                    _ => {
                        let written = done.pop_front().unwrap_or_default();
                        self.meter.measure(repeat(&mut self.bare, written, self.plan.conversions)).await?
                    }
                };
                (self.plan.tell)(&format!("money: {:<24}{:>9.0}/s", PEERS[peer], sample.rate()));
                samples[peer].push(sample);
            }
        }
        let title = format!("Money engine, {ITEMS} conversions a transaction, attributed and posted");
        let goal = Some(Goal::Ratio(0.5));
        Ok(Section { title, unit: "conversions", peers: PEERS.to_vec(), samples, goal })
    }

    /// As conversions come: from an edge, through the journal.
    async fn fill(&mut self) -> Result<(), BenchError> {
        let rounds = usize::try_from(self.plan.rounds).unwrap_or_default() + 1;
        let mut sender = Sender::join(self.world.app(), 200, Lane::Money).await?;
        let mut left = rounds * self.plan.conversions;
        while left > 0 {
            let count = left.min(1_024);
            let sealed = sender.seal(count, |ordinal| self.hits.sale(ordinal))?;
            let message = sealed.to_message(sender.open.number());
            match ingest::take_batch(self.world.app(), &sender.edge, &sender.open, message).await? {
                ingest::Verdict::Committed(_) => left -= count,
                other => return Err(BenchError::Unexpected(format!("{other:?}"))),
            }
        }
        while project::project_some(self.world.app(), &self.world.project, 32).await? > 0 {}
        Ok(())
    }

    async fn engine(
        &mut self,
        shard: ShardKey,
        done: &mut VecDeque<Vec<Rows>>,
    ) -> Result<Sample, BenchError> {
        let mut before = Vec::new();
        for (table, _) in WRITTEN {
            before.push(self.last(table).await?);
        }
        let (world, conversions) = (self.world, self.plan.conversions);
        let sample = self
            .meter
            .measure(async {
                let mut applied = 0;
                while applied < conversions {
                    applied += apply_some(world, shard, ITEMS.min(conversions - applied)).await?;
                }
                Ok::<_, BenchError>(applied)
            })
            .await?;
        let mut written = Vec::new();
        for ((table, sql), last) in WRITTEN.into_iter().zip(before) {
            written.push(self.measured.rows(table, sql, &[last]).await?);
        }
        let complete = written.iter().take(WRITTEN.len() - 1).all(|rows| rows.rows.len() >= conversions);
        if !complete {
            return Err(BenchError::Unexpected("conversions were not attributed and posted".into()));
        }
        done.push_back(written);
        Ok(sample)
    }

    async fn last(&mut self, table: &str) -> Result<Value, BenchError> {
        let sql = match table {
            "orders" => "SELECT coalesce(max(seq), 0) AS last FROM orders",
            "conversions" => "SELECT coalesce(max(seq), 0) AS last FROM conversions",
            "commissions" => "SELECT coalesce(max(seq), 0) AS last FROM commissions",
            "outbox" => "SELECT coalesce(max(seq), 0) AS last FROM outbox",
            _ => "SELECT coalesce(max(seq), 0) AS last FROM ledger_transactions",
        };
        let rows = self.measured.fetch(sql, &[]).await?;
        Ok(rows.into_iter().flatten().next().unwrap_or(Value::Int(Some(0))))
    }
}

/// As in the server.
async fn apply_some(world: &World, shard: ShardKey, limit: usize) -> Result<usize, BenchError> {
    let mut tx = world.store().begin_money(shard, &world.money).await?;
    let items = tx.next_items(u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    for item in &items {
        let mut state = tx.load(&item.input).await?;
        let effects = engine::apply(shard, &mut state, item)
            .map_err(|error| BenchError::Unexpected(error.to_string()))?;
        tx.persist(item, &state, &effects).await?;
    }
    tx.commit().await?;
    Ok(items.len())
}

/// Item by item, as many in a transaction as the engine has, with the numbers handed out and the checkpoint
/// moved once in each.
async fn repeat(conn: &mut Bare, written: Vec<Rows>, conversions: usize) -> Result<usize, BenchError> {
    const SEQUENCES: &str = "INSERT INTO sequences (tenant_id, name, last) VALUES ($1, $2, $3) \
        ON CONFLICT (tenant_id, name) DO UPDATE SET last = sequences.last + excluded.last";
    const CHECKPOINT: &str = "UPDATE money_checkpoints SET ordinal = ordinal + $2 \
        WHERE tenant_id = $1 AND advertiser_id <> 0";
    let tenant = written.iter().flat_map(|rows| rows.rows.first()?.first().cloned()).next();
    let tenant = tenant.unwrap_or(Value::Int(Some(0)));
    for first in (0..conversions).step_by(ITEMS) {
        let last = (first + ITEMS).min(conversions);
        let count = i64::try_from(last - first).unwrap_or_default();
        conn.begin().await?;
        for item in first..last {
            for rows in &written {
                let place = |item: usize| rows.rows.len() * item / conversions;
                for row in rows.rows.get(place(item)..place(item + 1)).unwrap_or_default() {
                    conn.execute(rows.insert, row).await?;
                }
            }
        }
        for (table, _) in WRITTEN {
            conn.execute(SEQUENCES, &[tenant.clone(), table.into(), count.into()]).await?;
        }
        conn.execute(CHECKPOINT, &[tenant.clone(), count.into()]).await?;
        conn.commit().await?;
    }
    Ok(conversions)
}
