//! The money engine's shell: for each shard, in intake order, load what an input needs, let the domain
//! decide, persist what it decided with the checkpoint. One process at a time on a slot, by lease and fence.

use super::health::Status;
use super::shares::Shares;
use super::{App, clock};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_domain::DomainError;
use control_plane_domain::engine;
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_store::leases::Lease;
use control_plane_store::{Slots, StoreError};
use proto_model::UnixMicros;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report; the leases are named after it, too.
pub const PART: &str = "money";
/// Items in one transaction: on SQLite nothing else writes while it is open, so it stays short.
const ITEMS: u32 = 64;
/// Catches what other nodes wrote; within this process the signal comes first.
const FALLBACK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_SECS: i64 = 60;
/// For a transaction that gave way to another one.
const RETRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Why a shard stands still.
#[derive(Debug, thiserror::Error)]
enum ShardError {
    #[error("storage failed")]
    Store(#[from] StoreError),
    #[error("intake item {ordinal} cannot be applied")]
    Item {
        ordinal: u64,
        #[source]
        source: DomainError,
    },
}

impl ShardError {
    fn is_temporary(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_temporary())
    }
}

/// A shard that failed rests longer each time; the others go on.
#[derive(Default)]
struct Resting {
    shards: BTreeMap<ShardKey, (u32, UnixMicros, String)>,
    /// Their next item closes a period, and payouts are frozen; nothing is wrong with them.
    frozen: BTreeSet<ShardKey>,
}

impl Resting {
    fn is_due(&self, shard: &ShardKey, now: UnixMicros) -> bool {
        self.shards.get(shard).is_none_or(|(_, until, _)| *until <= now)
    }

    fn failed(&mut self, shard: ShardKey, why: String, now: UnixMicros) {
        let times = self.shards.get(&shard).map_or(0, |(times, ..)| *times);
        let pause = 1i64.checked_shl(times).unwrap_or(i64::MAX).min(LONGEST_PAUSE_SECS);
        self.shards.insert(shard, (times.saturating_add(1), now.plus_secs(pause), why));
    }

    fn went(&mut self, shard: ShardKey, turn: Turn) {
        self.shards.remove(&shard);
        match turn.frozen {
            true => self.frozen.insert(shard),
            false => self.frozen.remove(&shard),
        };
    }

    /// Other processes say how those go that are theirs now.
    fn keep_only(&mut self, slots: Slots) {
        self.shards.retain(|shard, _| slots.contains(Slots::slot_of(shard.tenant)));
        self.frozen.retain(|shard| slots.contains(Slots::slot_of(shard.tenant)));
    }

    fn status(&self) -> Status {
        if let Some((shard, (.., why))) = self.shards.iter().next() {
            let others = self.shards.len() - 1;
            return Status::Degraded(format!("{} stands still ({why}); {others} others do", name(shard)));
        }
        match self.frozen.first() {
            None => Status::Ok,
            Some(shard) => {
                let others = self.frozen.len() - 1;
                let shard = name(shard);
                Status::Degraded(format!("{shard} waits, since payouts are frozen; {others} others do"))
            }
        }
    }
}

/// What one transaction of a shard has come to.
#[derive(Clone, Copy, Default)]
struct Turn {
    applied: usize,
    /// It has stopped before a close that must wait.
    frozen: bool,
}

pub(super) fn name(shard: &ShardKey) -> String {
    match shard.advertiser {
        Some(advertiser) => format!("shard {}/{advertiser}", shard.tenant),
        None => format!("settlement of {}", shard.tenant),
    }
}

pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    // Subscribed before looking, so that nothing is missed in between.
    let mut intake = app.store.signals().intake.subscribe();
    let mut worker = Worker { app: &app, shares: Shares::default(), resting: Resting::default() };
    while !stop.requested() {
        intake.mark_unchanged();
        match worker.sweep().await {
            Ok(true) => {}
            Ok(false) => tokio::select! {
                () = stop.wait() => {}
                _ = intake.changed() => {}
                () = tokio::time::sleep(FALLBACK) => {}
            },
            // No shard's fault: it goes on where it was, once the database is back.
            Err(error) if error.is_temporary() => {
                let why = chain(&error);
                tracing::error!("the money engine waits: {why}");
                app.health.set(PART, Status::Failed(why));
                stop.sleep(FALLBACK).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(worker.shares.end(&app).await?)
}

struct Worker<'a> {
    app: &'a App,
    shares: Shares,
    resting: Resting,
}

impl Worker<'_> {
    /// One transaction for each shard that has work; true when any of them moved. What fails here concerns
    /// all of them.
    async fn sweep(&mut self) -> Result<bool, StoreError> {
        self.shares.tend(self.app).await?;
        self.resting.keep_only(self.shares.slots());
        let mut worked = false;
        for shard in self.app.store.shards_with_work(self.shares.slots(), 1_000).await? {
            let now = clock::now();
            if !self.resting.is_due(&shard, now) {
                continue;
            }
            match self.turn(shard).await? {
                Ok(turn) => {
                    worked |= turn.applied > 0;
                    self.resting.went(shard, turn);
                }
                Err(error) => {
                    let why = chain(&error);
                    tracing::error!("{} stands still: {why}", name(&shard));
                    self.resting.failed(shard, why, now);
                }
            }
        }
        self.app.health.set(PART, self.resting.status());
        Ok(worked)
    }

    /// What was applied, or why this shard stands still.
    async fn turn(&mut self, shard: ShardKey) -> Result<Result<Turn, ShardError>, StoreError> {
        let mut retries = 0;
        loop {
            // Between any two transactions, so that a long sweep loses no lease.
            self.shares.tend(self.app).await?;
            let Some(lease) = self.shares.lease_of(shard) else { return Ok(Ok(Turn::default())) };
            match advance(self.app, shard, lease).await {
                Err(ShardError::Store(StoreError::Fenced)) => self.shares.lost(shard),
                Err(ShardError::Store(StoreError::Busy(_))) if retries < RETRIES => {
                    tokio::time::sleep(RETRY_PAUSE * (1 << retries)).await;
                    retries += 1;
                }
                Err(ShardError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
                result => return Ok(result),
            }
        }
    }
}

/// One transaction of one shard; says how many items it applied. For whoever holds the lease and goes step by step.
pub async fn advance_once(app: &App, shard: ShardKey, lease: &Lease) -> Result<usize, AppError> {
    match advance(app, shard, lease).await {
        Ok(turn) => Ok(turn.applied),
        Err(ShardError::Store(error)) => Err(error.into()),
        Err(error) => Err(AppError::internal("a shard stands still", error)),
    }
}

/// Applies the next items of a shard in one transaction. When one of them fails, those before it are
/// committed on their own, so that only the failing one waits.
async fn advance(app: &App, shard: ShardKey, lease: &Lease) -> Result<Turn, ShardError> {
    let failure = match apply_some(app, shard, lease, ITEMS).await {
        Ok(turn) => return Ok(turn),
        Err((before, error)) if before == 0 || error.is_temporary() => return Err(error),
        Err(failure) => failure,
    };
    let (before, error) = failure;
    let limit = u32::try_from(before).unwrap_or(ITEMS);
    apply_some(app, shard, lease, limit).await.map_err(|(_, error)| error)?;
    Err(error)
}

/// On failure: how many items went well before it (none of them committed).
async fn apply_some(
    app: &App,
    shard: ShardKey,
    lease: &Lease,
    limit: u32,
) -> Result<Turn, (usize, ShardError)> {
    let at = |index: usize| move |error: StoreError| (index, ShardError::Store(error));
    let mut tx = app.store.begin_money(shard, lease).await.map_err(at(0))?;
    let items = tx.next_items(limit).await.map_err(at(0))?;
    let mut turn = Turn::default();
    for (index, item) in items.iter().enumerate() {
        // Whoever closed this period may have done so before a restore, which has brought the close back.
        if matches!(item.input, Input::ClosePeriod { .. }) && tx.is_frozen().await.map_err(at(index))? {
            turn.frozen = true;
            break;
        }
        let mut state = tx.load(&item.input).await.map_err(at(index))?;
        let effects = engine::apply(shard, &mut state, item)
            .map_err(|source| (index, ShardError::Item { ordinal: item.ordinal, source }))?;
        tx.persist(item, &state, &effects).await.map_err(at(index))?;
        turn.applied += 1;
    }
    tx.commit().await.map_err(at(0))?;
    Ok(turn)
}

/// Resolves once the shard has applied its intake up to `ordinal`.
pub async fn wait_applied(
    app: &App,
    shard: ShardKey,
    ordinal: u64,
    longest: Duration,
) -> Result<(), AppError> {
    let mut moved = app.store.signals().money.subscribe();
    let applied = async {
        loop {
            moved.mark_unchanged();
            if app.store.applied_through(shard).await? >= ordinal {
                return Ok(());
            }
            // The fallback sees what another process has applied.
            let _ = tokio::time::timeout(FALLBACK, moved.changed()).await;
        }
    };
    match tokio::time::timeout(longest, applied).await {
        Ok(result) => result,
        Err(_) => Err(AppError::Unavailable("recorded, but the money engine is behind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_model::TenantId;

    #[test]
    fn a_failing_shard_rests_longer_and_is_shown() {
        let shard = ShardKey::settlement(TenantId::new(7).unwrap());
        let start = UnixMicros::from_secs(1_000);
        let mut resting = Resting::default();
        assert_eq!(resting.status(), Status::Ok);
        for (times, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            resting.failed(shard, format!("failure {times}"), start);
            assert!(!resting.is_due(&shard, start.plus_secs(pause - 1)), "{times}");
            assert!(resting.is_due(&shard, start.plus_secs(pause)), "{times}");
        }
        for _ in 0..100 {
            resting.failed(shard, "again".into(), start);
        }
        assert!(resting.is_due(&shard, start.plus_secs(LONGEST_PAUSE_SECS)));
        assert!(matches!(resting.status(), Status::Degraded(why) if why.contains("again")));
        resting.keep_only(Slots::ALL);
        assert_ne!(resting.status(), Status::Ok);
        resting.keep_only(Slots::ALL.without(Slots::NONE.with(7)));
        assert_eq!(resting.status(), Status::Ok, "another process has it");

        resting.failed(shard, "again".into(), start);
        resting.went(shard, Turn { applied: 0, frozen: true });
        assert!(matches!(resting.status(), Status::Degraded(why) if why.contains("frozen")));
        assert!(resting.is_due(&shard, start), "it goes on as soon as the freeze is lifted");
        resting.went(shard, Turn { applied: 1, frozen: false });
        assert_eq!(resting.status(), Status::Ok);
    }
}
