//! From a received batch to a committed journal.

use super::bare::{Bare, Value};
use super::meter::{Meter, Sample};
use super::project::Folded;
use super::report::{Goal, Section};
use super::world::{Sender, World};
use super::{BenchError, Plan, events::Hits};
use crate::compare::stats::order;
use control_plane_server::app::ingest::{self, Verdict};
use control_plane_store::journal::{AppendOutcome, NewBatch};
use proto_model::Lane;
use proto_wire::edge_v1::Batch;

const PEERS: [&str; 3] = ["server", "store", "bare inserts"];

/// All that is needed for the rounds; what was sealed is kept for the projection.
pub struct Ingest<'a> {
    pub world: &'a World,
    /// Another connection to the database that is measured.
    pub measured: Bare,
    /// To the other one; several on PostgreSQL.
    pub bare: Vec<Bare>,
    pub meter: Meter,
    pub plan: Plan,
    pub folded: Vec<Folded>,
    pub hits: Hits,
    /// The next number in the bare journal.
    pub seq: i64,
}

impl Ingest<'_> {
    /// `edges` send at once, each one batch after the other.
    pub async fn run(&mut self, edges: u8, first: u8) -> Result<Section, BenchError> {
        // The bare inserts have lanes of their own, which never reach the measured journal.
        let (mut senders, mut others) = (Vec::new(), Vec::new());
        for number in 0..edges {
            senders.push(Sender::join(self.world.app(), first + number, Lane::Traffic).await?);
            others.push(Sender::join(self.world.app(), first + edges + number, Lane::Traffic).await?);
        }
        self.copy_streams().await?;
        // What is written once at the first batch is not counted.
        self.round(0, &mut senders, 1).await?;
        self.round(2, &mut others, 1).await?;
        let mut samples = vec![Vec::new(); PEERS.len()];
        for round in 0..self.plan.rounds {
            for peer in order(PEERS.len(), round) {
                let lanes = if peer < 2 { &mut senders } else { &mut others };
                // Four times the batches of the other parts, since one takes so little.
                let sample = self.round(peer, lanes, 4 * self.plan.batches / usize::from(edges)).await?;
                (self.plan.tell)(&format!(
                    "ingest, {edges} edges: {:<14}{:>9.0}/s",
                    PEERS[peer],
                    sample.rate()
                ));
                samples[peer].push(sample);
            }
        }
        let title =
            format!("Ingest to committed journal, {edges} at once, {} clicks a batch", self.plan.clicks);
        Ok(Section {
            title,
            unit: "clicks",
            peers: PEERS.to_vec(),
            samples,
            goal: Some(Goal::PerCore(300_000.0)),
        })
    }

    async fn copy_streams(&mut self) -> Result<(), BenchError> {
        let Some(bare) = self.bare.first_mut() else { return Ok(()) };
        for (table, sql) in [
            ("edges", "SELECT * FROM edges"),
            ("edge_epochs", "SELECT * FROM edge_epochs"),
            ("streams", "SELECT * FROM streams"),
        ] {
            bare.copy(&mut self.measured, table, sql).await?;
        }
        Ok(())
    }

    async fn round(
        &mut self,
        peer: usize,
        senders: &mut [Sender],
        batches: usize,
    ) -> Result<Sample, BenchError> {
        let mut work = Vec::new();
        for sender in senders.iter_mut() {
            let mut own = Vec::new();
            for _ in 0..batches.max(1) {
                let mut folded = Folded::new(sender.stream, sender.next);
                let sealed = sender.seal(self.plan.clicks, |_| {
                    let hit = self.hits.click();
                    folded.count(&hit.0);
                    hit
                })?;
                if peer < 2 {
                    self.folded.push(folded);
                }
                own.push(sealed);
            }
            work.push(own);
        }
        let clicks = self.plan.clicks;
        match peer {
            0 => {
                let messages = work.into_iter().zip(senders.iter()).map(|(own, sender)| {
                    own.into_iter().map(|sealed| sealed.to_message(sender.open.number())).collect()
                });
                let messages: Vec<Vec<Batch>> = messages.collect();
                self.meter.measure(take(self.world, senders, messages, clicks)).await
            }
            1 => {
                let rows = verified(senders, work)?;
                self.meter.measure(append(self.world, rows, clicks)).await
            }
            _ => {
                let rows = verified(senders, work)?;
                let first = self.seq;
                self.seq += i64::try_from(rows.iter().map(Vec::len).sum::<usize>()).unwrap_or_default();
                self.meter.measure(insert(&mut self.bare, rows, first, clicks)).await
            }
        }
    }
}

fn verified(
    senders: &[Sender],
    work: Vec<Vec<proto_wire::envelope::SealedBatch>>,
) -> Result<Vec<Vec<NewBatch>>, BenchError> {
    let of =
        |(own, sender): (Vec<_>, &Sender)| own.into_iter().map(|sealed| sender.verified(sealed)).collect();
    work.into_iter().zip(senders).map(of).collect()
}

pub(super) async fn take(
    world: &World,
    senders: &[Sender],
    messages: Vec<Vec<Batch>>,
    clicks: usize,
) -> Result<usize, BenchError> {
    let mut tasks = tokio::task::JoinSet::new();
    for (sender, own) in senders.iter().zip(messages) {
        let (app, edge, open) = (world.app().clone(), sender.edge.clone(), sender.open.clone());
        tasks.spawn(async move {
            let mut taken = 0;
            for message in own {
                match ingest::take_batch(&app, &edge, &open, message).await? {
                    Verdict::Committed(_) => taken += 1,
                    other => return Err(BenchError::Unexpected(format!("{other:?}"))),
                }
            }
            Ok(taken)
        });
    }
    sum(tasks, clicks).await
}

async fn append(world: &World, rows: Vec<Vec<NewBatch>>, clicks: usize) -> Result<usize, BenchError> {
    let mut tasks = tokio::task::JoinSet::new();
    for own in rows {
        let store = world.store().clone();
        tasks.spawn(async move {
            let mut taken = 0;
            for batch in &own {
                match store.append_batch(batch).await? {
                    AppendOutcome::Appended { .. } => taken += 1,
                    other => return Err(BenchError::Unexpected(format!("{other:?}"))),
                }
            }
            Ok(taken)
        });
    }
    sum(tasks, clicks).await
}

async fn insert(
    bare: &mut Vec<Bare>,
    rows: Vec<Vec<NewBatch>>,
    first: i64,
    clicks: usize,
) -> Result<usize, BenchError> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut seq = first;
    // An embedded database has one writer at a time: there one connection writes what all send.
    let rows = if bare.len() < rows.len() { vec![rows.into_iter().flatten().collect()] } else { rows };
    let idle = bare.split_off(rows.len());
    let (back, mut returned) = tokio::sync::mpsc::unbounded_channel();
    for (mut conn, own) in std::mem::replace(bare, idle).into_iter().zip(rows) {
        let start = seq;
        seq += i64::try_from(own.len()).unwrap_or_default();
        let back = back.clone();
        tasks.spawn(async move {
            let mut taken = 0;
            for (seq, batch) in (start..).zip(&own) {
                insert_one(&mut conn, seq, batch).await?;
                taken += 1;
            }
            let _ = back.send(conn);
            Ok(taken)
        });
    }
    let done = sum(tasks, clicks).await;
    drop(back);
    while let Some(conn) = returned.recv().await {
        bare.push(conn);
    }
    done
}

/// The same rows in a transaction of their own; of what else is changed, nothing.
async fn insert_one(conn: &mut Bare, seq: i64, batch: &NewBatch) -> Result<(), BenchError> {
    const JOURNAL: &str = "INSERT INTO journal (seq, stream, lane, first_ordinal, last_ordinal, events, header, \
        signature, payload, head_hash, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    const SIDECAR: &str = "INSERT INTO journal_sidecars (seq, sidecar) VALUES ($1, $2)";
    let header = &batch.header;
    let big = |value: u64| Value::from(i64::try_from(value).unwrap_or_default());
    let bytes = |bytes: &[u8]| Value::Bytes(Some(bytes.to_vec()));
    conn.begin().await?;
    let row = [
        seq.into(),
        i64::from(header.stream.0).into(),
        i64::from(header.lane.code()).into(),
        big(header.first_ordinal),
        big(header.last_ordinal),
        i64::from(header.events).into(),
        bytes(&batch.header_bytes),
        bytes(&batch.signature),
        bytes(&batch.payload),
        bytes(&batch.head_hash),
        batch.received_at.0.into(),
    ];
    conn.execute(JOURNAL, &row).await?;
    conn.execute(SIDECAR, &[seq.into(), bytes(&batch.sidecar)]).await?;
    conn.commit().await
}

async fn sum(
    mut tasks: tokio::task::JoinSet<Result<usize, BenchError>>,
    clicks: usize,
) -> Result<usize, BenchError> {
    let mut batches = 0;
    while let Some(done) = tasks.join_next().await {
        batches += done.map_err(|error| BenchError::Unexpected(error.to_string()))??;
    }
    Ok(batches * clicks)
}
