//! Click caps on a node: leases of a budget that the control plane owns, spent without asking anybody.
//!
//! Workers share one counter for each lease. What a capped offer or link has left is asked for only when one comes
//! up: all others cost nothing. The keeper (a task of the control thread) asks for leases, goes on to the next before
//! one ends, and reports what was spent. The arithmetic and the bound of what can be exceeded: `proto_model::cap`.

mod keeper;
mod look;
mod meter;
mod plan;
mod recover;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub use look::Look;
pub use meter::Held;
pub use recover::{Recorded, recount};

use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use meter::Meter;
use proto_model::{CapWindow, Capped, ClickCap, TenantId, UnixMicros};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long a click waits for the answer to whether there is room, before it goes on as if there were none.
const PATIENCE: Duration = Duration::from_millis(400);

/// Whose clicks are counted.
pub type Key = (TenantId, Capped);

/// Now, by both clocks of a node. A lease ends by whichever says so first: somebody may set the clock back while it is
/// spent, and the other one may have stood still while the machine slept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    pub at: UnixMicros,
    /// By a clock that nobody sets.
    pub steady: std::time::Instant,
}

type Table = HashMap<Key, Arc<Meter>>;

/// All that a node holds of click caps.
#[derive(Debug)]
pub struct Budgets {
    table: ArcSwap<Table>,
    /// For the keeper: who is wanted, and whether somebody waits.
    wishes: Mutex<Vec<(Key, bool)>>,
    wake: Notify,
    /// From then on next windows are to be looked for.
    look_ahead_at: AtomicI64,
    /// Rises with each answer of the control plane, also with none.
    answers: watch::Sender<u64>,
    online: AtomicBool,
    over: AtomicU64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            table: ArcSwap::default(),
            wishes: Mutex::default(),
            wake: Notify::new(),
            look_ahead_at: AtomicI64::new(i64::MIN),
            answers: watch::channel(0).0,
            // Until the first attempt has failed.
            online: AtomicBool::new(true),
            over: AtomicU64::new(0),
        }
    }
}

impl Budgets {
    /// To be called before the snapshot is answered from. What a cap has left is carried over, unless its windows are
    /// others now.
    pub fn follow(&self, snapshot: &Snapshot) {
        let before = self.table.load();
        let mut table = Table::new();
        let mut ahead = Vec::new();
        for (key, cap, zone) in snapshot.capped() {
            let old = before.get(&key);
            let meter = match old {
                Some(old) if old.cap == cap && old.zone == zone => Arc::clone(old),
                Some(old) if old.cap.window == cap.window && old.zone == zone => {
                    Arc::new(old.with_limit(cap))
                }
                _ => Arc::new(Meter::new(cap, zone)),
            };
            if matches!(key.1, Capped::Offer(_)) && meter.held.load().is_none() {
                ahead.push((key, false));
            }
            table.insert(key, meter);
        }
        if table.is_empty() && before.is_empty() {
            return;
        }
        self.table.store(Arc::new(table));
        self.look_ahead_at.store(i64::MIN, Ordering::Relaxed);
        self.wish(ahead);
    }

    /// For a click.
    pub fn look(&self, tenant: TenantId, now: UnixMicros) -> Look<'_> {
        Look::new(self, tenant, now, false)
    }

    /// For who only wants to know where a click would go: nobody is asked for a lease, and nothing is counted.
    pub fn glance(&self, tenant: TenantId, now: UnixMicros) -> Look<'_> {
        Look::new(self, tenant, now, true)
    }

    /// How many capped offers and links have a lease.
    pub fn leases(&self) -> u64 {
        self.table.load().values().filter(|meter| meter.held.load().is_some()).count() as u64
    }

    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Clicks that found an offer or a link without room, each once.
    pub fn over(&self) -> u64 {
        self.over.load(Ordering::Relaxed)
    }

    /// To be called once for each such click.
    pub fn count_full(&self) {
        self.over.fetch_add(1, Ordering::Relaxed);
    }

    fn meter(&self, key: &Key) -> Option<Arc<Meter>> {
        self.table.load().get(key).cloned()
    }

    fn wish(&self, wishes: impl IntoIterator<Item = (Key, bool)>) {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).extend(wishes);
        self.wake.notify_one();
    }

    fn take_wishes(&self) -> Vec<(Key, bool)> {
        std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keeper has an answer for those who wait, or knows that there will be none.
    fn answered(&self, online: bool) {
        self.online.store(online, Ordering::Relaxed);
        self.answers.send_modify(|answers| *answers += 1);
    }

    /// Takes a click of each, or of none.
    pub fn take(&self, tenant: TenantId, [link, offer]: [Option<Capped>; 2], now: UnixMicros) -> bool {
        let take = |subject: Option<Capped>| match subject {
            Some(subject) => self.take_one((tenant, subject), now),
            None => Taken::Free,
        };
        let link = take(link);
        if matches!(link, Taken::Nothing) {
            return false;
        }
        let taken = !matches!(take(offer), Taken::Nothing);
        if !taken && let Taken::Of(link) = link {
            link.give_back();
        }
        taken
    }

    fn take_one(&self, key: Key, now: UnixMicros) -> Taken {
        let table = self.table.load();
        let Some(meter) = table.get(&key) else { return Taken::Free };
        let Some((held, spent)) = meter.take(now) else { return Taken::Nothing };
        if held.wakes_keeper(spent) {
            self.wake.notify_one();
        }
        Taken::Of(held)
    }
}

/// What became of a click on something that has a cap, or had one when the click was resolved.
enum Taken {
    Of(Arc<Held>),
    /// Without a cap: nothing is counted.
    Free,
    /// There is no room.
    Nothing,
}

/// Until when a click that comes now waits.
pub fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// A link that is good for so many clicks.
pub fn uses(limit: u64) -> ClickCap {
    ClickCap { limit, window: CapWindow::Total }
}
