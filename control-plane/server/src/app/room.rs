//! Clicks wait for room, conversions never do.
//!
//! The projector takes batches in the order of the journal. If an edge that comes back after an outage could put a
//! million clicks there at once, a conversion behind them would be paid seconds later. So batches of clicks are let in
//! only as fast as they are projected; what waits, waits in the spool of its edge, where the money lane passes it.
//!
//! All edges wait in one line, since one projector reads one journal. But a session has one batch of clicks in it at a
//! time, and the line is served in its order: an edge with a backlog costs the others a place in each round, never the
//! backlog.

use super::App;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

/// Batches before the projector beyond which no clicks are let in.
const BACKLOG: u32 = 8;
/// Batches of clicks that one process takes at a time, so that many edges together do not overrun [`BACKLOG`].
const AT_ONCE: usize = 4;
/// No batch waits longer: an edge takes a control plane that says nothing for half a minute to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// A projector that has not moved for this long stands still.
const STILL: Duration = Duration::from_secs(5);
/// For what another process projects, should its word not get through.
const LOOK: Duration = Duration::from_millis(200);

pub struct Room {
    places: Semaphore,
    /// Where the projector stood when a batch had waited in vain: until it moves on, nobody waits for it.
    stuck_at: Mutex<Option<u64>>,
}

impl Default for Room {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), stuck_at: Mutex::default() }
    }
}

/// To be held while a batch of clicks is taken. `None` after waiting in vain: the batch is taken all the same, since the
/// journal is where it is safe.
pub async fn wait(app: &App) -> Option<SemaphorePermit<'_>> {
    let until = Instant::now() + PATIENCE;
    let place = timeout_at(until, app.room.places.acquire()).await.ok()?.ok()?;
    let mut projected = app.store.signals().projection.subscribe();
    let mut last_seen: Option<(u64, Instant)> = None;
    loop {
        match app.store.backlog(BACKLOG + 1).await {
            Ok(waiting) if waiting > u64::from(BACKLOG) => {}
            // What is wrong with the database shows when the batch is stored.
            Ok(_) | Err(_) => return Some(place),
        }
        let stands_at = app.store.projected_through().await.ok()?;
        if app.room.is_stuck_at(stands_at) {
            return Some(place);
        }
        let now = Instant::now();
        let since = match last_seen {
            Some((seq, since)) if seq == stands_at => since,
            _ => now,
        };
        last_seen = Some((stands_at, since));
        if now >= until {
            if now - since >= STILL {
                app.room.set_stuck_at(stands_at);
            }
            return None;
        }
        let pause = LOOK.min(until - now);
        // The store that could end it lives as long as the process.
        let _ = timeout(pause, projected.changed()).await;
    }
}

impl Room {
    fn is_stuck_at(&self, seq: u64) -> bool {
        *self.stuck_at.lock().unwrap_or_else(PoisonError::into_inner) == Some(seq)
    }

    fn set_stuck_at(&self, seq: u64) {
        let before = self.stuck_at.lock().unwrap_or_else(PoisonError::into_inner).replace(seq);
        if before != Some(seq) {
            tracing::warn!(seq, "the projector stands still; clicks are journalled without waiting for it");
        }
    }
}
