//! The projector: each journal batch, in order, becomes roll-ups, intake items and personal values, in one
//! transaction with its checkpoint. What a batch means is decided in [`fold`], without I/O.

mod claims;
mod fold;
mod open;

use super::health::Status;
use super::lease::{Held, unless_lost};
use super::{App, clock, erase};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use claims::RecentBatches;
use control_plane_store::alerts::{AlertKind, Raised, lane_subject};
use control_plane_store::journal::JournalRow;
use control_plane_store::leases::Lease;
use control_plane_store::projection::{CustomerKey, Customers, Projection};
use open::OpenBatch;
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report, and the lease.
pub const PART: &str = "project";
const BATCHES: u32 = 32;
const FALLBACK: Duration = Duration::from_secs(1);

/// What the projector remembers between batches; all of it can be lost.
#[derive(Default)]
struct Memory {
    recent: RecentBatches,
    /// Batches and events that could not be read, since this process started, and the last reason.
    set_aside: u64,
    last_reason: String,
    /// Hits that edges have declared as lost, since this process started, and the last such batch.
    lost: Declared,
    /// The same of clicks that they may have answered.
    maybe_lost: Declared,
}

#[derive(Default)]
struct Declared {
    hits: u64,
    last: String,
}

impl Declared {
    fn add(&mut self, row: &JournalRow, count: u64) {
        self.hits = self.hits.saturating_add(count);
        self.last = format!("{} of {}, journal seq {}", row.lane.as_str(), row.edge, row.seq);
    }
}

impl Memory {
    fn set_aside(&mut self, row: &JournalRow, count: u64, why: &str) {
        tracing::error!(
            edge = %row.edge, seq = row.seq, first = row.first_ordinal, last = row.last_ordinal,
            "set aside, it stays in the journal: {why}"
        );
        self.set_aside += count;
        self.last_reason = format!("journal seq {}: {why}", row.seq);
    }

    /// No tenant can be named, since nobody knows whose hits they were: this is for the operator.
    fn lost(&mut self, row: &JournalRow, count: u64) {
        tracing::error!(
            edge = %row.edge, epoch = row.epoch, lane = row.lane.as_str(), seq = row.seq, count,
            "the edge declares hits as lost that it had answered (a damaged disk?)"
        );
        self.lost.add(row, count);
    }

    fn maybe_lost(&mut self, row: &JournalRow, count: u64) {
        tracing::warn!(
            edge = %row.edge, epoch = row.epoch, lane = row.lane.as_str(), seq = row.seq, count,
            "the edge answers clicks before they are durable, and was cut off: so many at most are lost"
        );
        self.maybe_lost.add(row, count);
    }

    fn status(&self) -> Status {
        let mut parts = Vec::new();
        let Declared { hits, last } = &self.lost;
        if *hits > 0 {
            parts.push(format!("events_lost: edges declare {hits} hits as lost; last: {last}"));
        }
        let Declared { hits, last } = &self.maybe_lost;
        if *hits > 0 {
            parts.push(format!("events_maybe_lost: at most {hits} clicks of cut-off edges; last: {last}"));
        }
        if self.set_aside > 0 {
            parts.push(format!("{} set aside as unreadable; last: {}", self.set_aside, self.last_reason));
        }
        if parts.is_empty() { Status::Ok } else { Status::Degraded(parts.join("; ")) }
    }
}

pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    loop {
        let Some(mut held) = Held::acquire(&app, PART, &mut stop).await? else { return Ok(()) };
        let result = while_held(&app, &mut held, &mut stop).await;
        if unless_lost(PART, result)?.is_some() {
            return held.release(&app).await;
        }
    }
}

/// Until the process is asked to stop.
async fn while_held(app: &App, held: &mut Held, stop: &mut Stop) -> Result<(), AppError> {
    let mut journal = app.store.signals().journal.subscribe();
    let mut memory = Memory::default();
    if let Err(error) = erase::scrub(app).await {
        tracing::warn!("erased values are not all gone yet, trying again later: {}", chain(&error));
    }
    while !stop.requested() {
        held.keep(app).await?;
        journal.mark_unchanged();
        let rows = app.store.unprojected(BATCHES).await?;
        let worked = !rows.is_empty();
        for row in &rows {
            held.keep(app).await?;
            project(app, &held.lease, row, &mut memory).await?;
        }
        app.health.set(PART, memory.status());
        if worked {
            continue;
        }
        tokio::select! {
            () = stop.wait() => {}
            _ = journal.changed() => {}
            () = tokio::time::sleep(FALLBACK) => {}
        }
    }
    Ok(())
}

/// The next batches, at most `limit`; says how many. For whoever holds the lease and wants to know how long it
/// takes.
pub async fn project_some(app: &App, lease: &Lease, limit: u32) -> Result<usize, AppError> {
    let rows = app.store.unprojected(limit).await?;
    let mut memory = Memory::default();
    for row in &rows {
        project(app, lease, row, &mut memory).await?;
    }
    Ok(rows.len())
}

/// One batch. Only storage can fail: what cannot be read is set aside and passed over.
async fn project(app: &App, lease: &Lease, row: &JournalRow, memory: &mut Memory) -> Result<(), AppError> {
    let mut alerts = Vec::new();
    let projection = match open::open(row) {
        Ok(batch) => {
            if let Some(why) = batch.first_unreadable() {
                memory.set_aside(row, batch.unreadable, &why);
                alerts.push(set_aside(row, batch.unreadable, &why));
            }
            if batch.lost > 0 {
                memory.lost(row, batch.lost);
                alerts.push(hits_lost(row, batch.lost));
            }
            if batch.maybe_lost > 0 {
                memory.maybe_lost(row, batch.maybe_lost);
                alerts.push(hits_maybe_lost(row, batch.maybe_lost));
            }
            Projection { alerts, ..effects_of(app, row, &batch, memory).await? }
        }
        Err(error) => {
            let why = chain(&error);
            memory.set_aside(row, 1, &why);
            alerts.push(set_aside(row, row.last_ordinal.saturating_sub(row.first_ordinal) + 1, &why));
            Projection { alerts, ..Projection::default() }
        }
    };
    app.store.commit_projection(lease, row.seq, &projection, clock::now()).await?;
    Ok(())
}

/// In the transaction of the batch, so that it is raised once.
fn raised(row: &JournalRow, kind: AlertKind, count: u64, what: &str) -> Raised {
    let detail = format!("{what} (journal seq {})", row.seq);
    Raised { kind, subject: lane_subject(row.edge, row.lane), detail, count, at: row.received_at }
}

fn hits_lost(row: &JournalRow, count: u64) -> Raised {
    let what = format!("the edge declares {count} hits as lost that it had answered");
    raised(row, AlertKind::HitsLost, count, &what)
}

fn hits_maybe_lost(row: &JournalRow, count: u64) -> Raised {
    let what =
        format!("the edge answers clicks before they are durable, and was cut off: at most {count} are lost");
    raised(row, AlertKind::HitsMaybeLost, count, &what)
}

fn set_aside(row: &JournalRow, count: u64, why: &str) -> Raised {
    let what = format!("{count} acknowledged hits cannot be read, and count nowhere: {why}");
    raised(row, AlertKind::SetAside, count, &what)
}

async fn effects_of(
    app: &App,
    row: &JournalRow,
    batch: &OpenBatch,
    memory: &mut Memory,
) -> Result<Projection, AppError> {
    let links = app.store.links_by_id(&fold::links_of(batch)).await?;
    let customers = customers_of(app, batch).await?;
    let mut projection = fold::fold(batch, row.stream, &links, &customers);
    projection.signals.extend(claims::compare(app, row, batch, &mut memory.recent).await?);
    Ok(projection)
}

async fn customers_of(app: &App, batch: &OpenBatch) -> Result<Customers, AppError> {
    let named = fold::people_of(batch);
    if named.is_empty() {
        return Ok(Customers::new());
    }
    let keys: Vec<CustomerKey> = named
        .into_iter()
        .map(|(tenant, who)| CustomerKey {
            tenant,
            who,
            candidate: control_plane_domain::intake::CustomerRef(clock::random()),
        })
        .collect();
    Ok(app.store.resolve_customers(&keys).await?)
}
