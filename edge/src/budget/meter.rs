//! What a node may spend of one cap.

use crate::snapshot::TimeZone;
use arc_swap::ArcSwapOption;
use proto_model::cap::Window;
use proto_model::{ClickCap, ClickLease, UnixMicros};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// A lease as it is spent.
#[derive(Debug)]
pub struct Held {
    pub number: u64,
    pub lease: ClickLease,
    /// With [`CLOSED`], nothing more is taken of it.
    spent: AtomicU64,
}

const CLOSED: u64 = 1 << 63;

impl Held {
    pub fn new(number: u64, lease: ClickLease, spent: u64) -> Self {
        Self { number, lease, spent: AtomicU64::new(spent.min(lease.granted)) }
    }

    fn has_room(&self, now: UnixMicros) -> bool {
        self.lease.allows(self.spent.load(Ordering::Relaxed), now)
    }

    /// Whether its window has.
    pub(super) fn has_begun(&self, now: UnixMicros) -> bool {
        self.lease.window.start <= now
    }

    /// Takes a click; how many are taken then.
    fn take(&self, now: UnixMicros) -> Option<u64> {
        let more = |spent| self.lease.allows(spent, now).then(|| spent + 1);
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|before| before + 1)
    }

    /// The keeper looks when half is spent, and when all is.
    pub(super) fn wakes_keeper(&self, spent: u64) -> bool {
        spent == self.lease.granted.div_ceil(2) || spent == self.lease.granted
    }

    /// Of a lease that was closed meanwhile nothing comes back: it is counted as spent.
    pub(super) fn give_back(&self) {
        let less = |spent: u64| (spent & CLOSED == 0).then(|| spent.saturating_sub(1));
        let _ = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Ends it; what was spent does not change any more.
    pub(super) fn close(&self) -> u64 {
        self.spent.fetch_or(CLOSED, Ordering::Relaxed) & !CLOSED
    }

    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed) & !CLOSED
    }
}

/// One capped offer or link.
#[derive(Debug)]
pub(super) struct Meter {
    pub cap: ClickCap,
    pub zone: Arc<TimeZone>,
    pub held: ArcSwapOption<Held>,
    /// For the window that comes then. It takes the place of `held` soon after that has begun.
    pub next: ArcSwapOption<Held>,
    /// Until then the control plane has nothing to give.
    pub not_before: AtomicI64,
    /// The keeper knows that somebody waits.
    pub wanted: AtomicBool,
}

impl Meter {
    pub fn new(cap: ClickCap, zone: Arc<TimeZone>) -> Self {
        let (held, next) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        let (not_before, wanted) = (AtomicI64::new(i64::MIN), AtomicBool::new(false));
        Self { cap, zone, held, next, not_before, wanted }
    }

    /// The same windows, and what is held of them.
    pub fn with_limit(&self, cap: ClickCap) -> Self {
        let meter = Self::new(cap, Arc::clone(&self.zone));
        meter.held.store(self.held.load_full());
        meter.next.store(self.next.load_full());
        meter
    }

    pub fn window(&self, now: UnixMicros) -> Window {
        self.cap.window.around(now, |at| self.zone.offset_secs(at))
    }

    /// The one that begins at `start`, if it is the window of now or the next.
    pub fn window_from(&self, start: UnixMicros, now: UnixMicros) -> Option<Window> {
        let window = self.window(now);
        if window.start == start {
            return Some(window);
        }
        (window.end == start).then(|| self.window(start))
    }

    pub fn has_room(&self, now: UnixMicros) -> bool {
        self.held.load().as_ref().is_some_and(|held| held.has_room(now))
            || self.next.load().as_ref().is_some_and(|next| next.has_begun(now) && next.has_room(now))
    }

    /// Takes a click; of which lease, and how many are taken of it then.
    pub fn take(&self, now: UnixMicros) -> Option<(Arc<Held>, u64)> {
        let take = |held: Arc<Held>| held.take(now).map(|spent| (held, spent));
        let next = || self.next.load_full().filter(|next| next.has_begun(now));
        self.held.load_full().and_then(take).or_else(|| next().and_then(take))
    }

    pub fn may_ask(&self, now: UnixMicros) -> bool {
        self.cap.limit > 0 && now.0 >= self.not_before.load(Ordering::Relaxed)
    }

    /// From now on clicks are taken of it, or as soon as its window begins.
    pub fn place(&self, held: &Arc<Held>, now: UnixMicros) {
        let place = if held.has_begun(now) { &self.held } else { &self.next };
        place.store(Some(Arc::clone(held)));
    }

    /// Whether clicks are taken of it, or will be.
    pub fn has(&self, held: &Arc<Held>) -> bool {
        [&self.held, &self.next]
            .iter()
            .any(|place| place.load().as_ref().is_some_and(|found| Arc::ptr_eq(found, held)))
    }

    /// Nothing is taken of it any more.
    pub fn remove(&self, held: &Arc<Held>) {
        for place in [&self.held, &self.next] {
            if place.load().as_ref().is_some_and(|found| Arc::ptr_eq(found, held)) {
                place.store(None);
            }
        }
    }

    /// The next window has become the one of now.
    pub fn roll(&self, now: UnixMicros) {
        if self.next.load().as_ref().is_some_and(|next| next.has_begun(now)) {
            // First there, then no longer here: a click in between finds it in both.
            self.held.store(self.next.load_full());
            self.next.store(None);
        }
    }
}
