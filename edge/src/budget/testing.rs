//! Leases without a keeper, for tests of this crate.

use super::{Budgets, Held, Key};
use proto_model::cap::Window;
use proto_model::{ClickLease, UnixMicros};
use std::sync::Arc;

const WINDOW: Window = Window { start: UnixMicros(0), end: UnixMicros(i64::MAX) };

impl Budgets {
    /// Nobody who waits is told of it.
    pub fn hold(&self, key: Key, granted: u64) {
        let lease = ClickLease { subject: key.1, window: WINDOW, granted, expires_at: UnixMicros(i64::MAX) };
        self.meter(&key).unwrap().held.store(Some(Arc::new(Held::new(1, lease, 0))));
    }

    pub fn spent(&self, key: Key) -> u64 {
        self.meter(&key).unwrap().held.load().as_ref().map_or(0, |held| held.spent())
    }

    /// For whom somebody waits.
    pub fn awaited(&self) -> Vec<Key> {
        self.take_wishes().into_iter().filter(|(_, waits)| *waits).map(|(key, _)| key).collect()
    }

    /// The control plane cannot be asked.
    pub fn cut_off(&self) {
        self.answered(false);
    }
}
