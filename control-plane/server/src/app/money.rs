//! The money engine's shell: for each shard, in intake order, load what an input needs, let the domain
//! decide, persist what it decided with the checkpoint. One process at a time, by lease and fence.

use super::health::Status;
use super::lease::Held;
use super::{App, clock};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_domain::DomainError;
use control_plane_domain::engine;
use control_plane_domain::intake::ShardKey;
use control_plane_store::StoreError;
use control_plane_store::leases::Lease;
use proto_model::UnixMicros;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report, and the lease.
pub const PART: &str = "money";
/// Items in one transaction: while it is open nothing else writes, so it stays short.
const ITEMS: u32 = 64;
/// Catches what other nodes wrote; within this process the signal comes first.
const FALLBACK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_SECS: i64 = 60;

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

/// A shard that failed rests longer each time; the others go on.
#[derive(Default)]
struct Resting {
    shards: BTreeMap<ShardKey, (u32, UnixMicros, String)>,
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

    fn status(&self) -> Status {
        match self.shards.iter().next() {
            None => Status::Ok,
            Some((shard, (.., why))) => {
                let others = self.shards.len() - 1;
                Status::Degraded(format!("{} stands still ({why}); {others} others do", name(shard)))
            }
        }
    }
}

fn name(shard: &ShardKey) -> String {
    match shard.advertiser {
        Some(advertiser) => format!("shard {}/{advertiser}", shard.tenant),
        None => format!("settlement of {}", shard.tenant),
    }
}

pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    // Subscribed before looking, so that nothing is missed in between.
    let mut intake = app.store.signals().intake.subscribe();
    let Some(mut held) = Held::acquire(&app, PART, &mut stop).await? else { return Ok(()) };
    let mut resting = Resting::default();
    while !stop.requested() {
        held.keep(&app).await?;
        intake.mark_unchanged();
        let worked = sweep(&app, &held.lease, &mut resting).await?;
        app.health.set(PART, resting.status());
        if worked {
            continue;
        }
        tokio::select! {
            () = stop.wait() => {}
            _ = intake.changed() => {}
            () = tokio::time::sleep(FALLBACK) => {}
        }
    }
    held.release(&app).await
}

/// One transaction for each shard that has work; true when any of them moved.
async fn sweep(app: &App, lease: &Lease, resting: &mut Resting) -> Result<bool, AppError> {
    let mut worked = false;
    for shard in app.store.shards_with_work(1_000).await? {
        let now = clock::now();
        if !resting.is_due(&shard, now) {
            continue;
        }
        match advance(app, shard, lease).await {
            Ok(applied) => {
                worked |= applied > 0;
                resting.shards.remove(&shard);
            }
            // Not this shard's fault: another process has taken over.
            Err(ShardError::Store(StoreError::Fenced)) => return Err(StoreError::Fenced.into()),
            Err(error) => {
                let why = chain(&error);
                tracing::error!("{} stands still: {why}", name(&shard));
                resting.failed(shard, why, now);
            }
        }
    }
    Ok(worked)
}

/// Applies the next items of a shard in one transaction. When one of them fails, those before it are
/// committed on their own, so that only the failing one waits.
async fn advance(app: &App, shard: ShardKey, lease: &Lease) -> Result<usize, ShardError> {
    let failure = match apply_some(app, shard, lease, ITEMS).await {
        Ok(applied) => return Ok(applied),
        Err((0, error)) => return Err(error),
        Err((before, error)) => (before, error),
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
) -> Result<usize, (usize, ShardError)> {
    let at = |index: usize| move |error: StoreError| (index, ShardError::Store(error));
    let mut tx = app.store.begin_money(shard, lease).await.map_err(at(0))?;
    let items = tx.next_items(limit).await.map_err(at(0))?;
    for (index, item) in items.iter().enumerate() {
        let mut state = tx.load(&engine::needs(&item.input)).await.map_err(at(index))?;
        let effects = engine::apply(shard, &mut state, item)
            .map_err(|source| (index, ShardError::Item { ordinal: item.ordinal, source }))?;
        tx.persist(item, &state, &effects).await.map_err(at(index))?;
    }
    tx.commit().await.map_err(at(0))?;
    Ok(items.len())
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
    }
}
