//! What there is room for, as one hit sees it.

use super::{Budgets, Key};
use proto_model::{Capped, TenantId, UnixMicros};
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub struct Look<'b> {
    budgets: &'b Budgets,
    tenant: TenantId,
    now: UnixMicros,
    /// It takes nothing, and so asks for nothing.
    only_looks: bool,
    /// Without a lease that could be asked for.
    lacking: RefCell<Vec<Key>>,
    found_full: Cell<bool>,
    /// Answers of the control plane from before the first lack was seen.
    answers: OnceCell<watch::Receiver<u64>>,
}

impl<'b> Look<'b> {
    pub(super) fn new(budgets: &'b Budgets, tenant: TenantId, now: UnixMicros, only_looks: bool) -> Self {
        let (lacking, found_full, answers) = (RefCell::default(), Cell::new(false), OnceCell::new());
        Self { budgets, tenant, now, only_looks, lacking, found_full, answers }
    }

    /// Whether one more click may go there. Whatever nobody has a lease of is full, unless who only looks could ask.
    pub fn has_room(&self, subject: Capped) -> bool {
        let key = (self.tenant, subject);
        let table = self.budgets.table.load();
        // The table is there before the snapshot that it is of: whatever is not in it has lost its cap meanwhile.
        let Some(meter) = table.get(&key) else { return true };
        if meter.has_room(self.now) {
            return true;
        }
        if self.only_looks {
            return self.budgets.is_online() && meter.may_ask(self.now);
        }
        // Once more, from where an answer is noticed: one that came just now would be waited for in vain.
        self.answers.get_or_init(|| self.budgets.answers.subscribe());
        if meter.has_room(self.now) {
            return true;
        }
        self.found_full.set(true);
        if meter.may_ask(self.now) {
            self.lacking.borrow_mut().push(key);
        }
        false
    }

    pub fn is_lacking(&self) -> bool {
        !self.lacking.borrow().is_empty()
    }

    /// This look was the last one of its click.
    pub fn count(&self) {
        if self.found_full.get() {
            self.budgets.count_full();
        }
    }

    /// Asks for what was lacking, and waits until `until` for an answer; false when none came, or none will.
    pub async fn wait(self, until: Instant) -> bool {
        let Self { budgets, lacking, answers, .. } = self;
        let Some(mut answers) = answers.into_inner() else { return false };
        let table = budgets.table.load_full();
        let unknown =
            |key: &Key| table.get(key).is_some_and(|meter| !meter.wanted.swap(true, Ordering::Relaxed));
        let wishes: Vec<_> =
            lacking.into_inner().into_iter().filter(unknown).map(|key| (key, true)).collect();
        if !wishes.is_empty() {
            budgets.wish(wishes);
        }
        budgets.online.load(Ordering::Relaxed)
            && matches!(timeout_at(until, answers.changed()).await, Ok(Ok(())))
    }
}
