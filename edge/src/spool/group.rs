//! The records that become durable by the same `fdatasync`, and the requests that wait for it.
//!
//! A group wakes one request of each worker, which then wakes the others of its worker: waking across threads
//! costs a system call, waking within a thread costs nothing of the kind.

use super::SpoolError;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

type Outcome = Result<(), SpoolError>;

#[derive(Default)]
pub(super) struct Group {
    outcome: OnceLock<Outcome>,
    waiting: Mutex<Vec<Waker>>,
}

impl Group {
    /// Tells all who wait, and all who will ask. The first outcome stands.
    pub(super) fn finish(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }

    /// `None` once the outcome is there, which nobody wakes for again.
    fn wake_later(&self, waker: &Waker) -> Option<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outcome.get().is_some() {
            return None;
        }
        waiting.push(waker.clone());
        Some(())
    }
}

/// The requests of one worker that wait for the same group.
pub(super) struct Party {
    group: Arc<Group>,
    waiting: RefCell<Vec<Option<Waker>>>,
    /// The one that the group wakes.
    leader: Cell<Option<usize>>,
}

impl Party {
    pub(super) fn new(group: Arc<Group>) -> Rc<Self> {
        Rc::new(Self { group, waiting: RefCell::default(), leader: Cell::new(None) })
    }

    pub(super) fn is_of(&self, group: &Arc<Group>) -> bool {
        Arc::ptr_eq(&self.group, group)
    }

    pub(super) fn join(self: &Rc<Self>) -> Durable {
        Durable { party: Rc::clone(self), slot: None }
    }

    fn wake_all(&self) {
        // Taken out first: who is woken may come back in here.
        for waker in self.waiting.take().into_iter().flatten() {
            waker.wake();
        }
    }
}

/// Resolves when the record is on disk, or will never be. That of a click may resolve when it is written: see
/// [`super::Durability`].
#[must_use = "a reply may leave only after this resolved"]
pub struct Durable {
    party: Rc<Party>,
    slot: Option<usize>,
}

impl Durable {
    /// Returns whether the waker is another than the last time.
    fn keep(&mut self, waker: &Waker) -> (usize, bool) {
        let mut waiting = self.party.waiting.borrow_mut();
        if let Some(slot) = self.slot
            && let Some(kept) = waiting.get_mut(slot)
        {
            let known = kept.as_ref().is_some_and(|kept| kept.will_wake(waker));
            if !known {
                *kept = Some(waker.clone());
            }
            return (slot, !known);
        }
        waiting.push(Some(waker.clone()));
        let slot = waiting.len() - 1;
        self.slot = Some(slot);
        (slot, true)
    }
}

impl Future for Durable {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if self.party.group.outcome.get().is_none() {
            let (slot, changed) = self.keep(context.waker());
            let leader = self.party.leader.get();
            let asks_group = leader.is_none() || (changed && leader == Some(slot));
            if !asks_group || self.party.group.wake_later(context.waker()).is_some() {
                if asks_group {
                    self.party.leader.set(Some(slot));
                }
                return Poll::Pending;
            }
        }
        self.party.wake_all();
        // Looked at above, or set before `wake_later` refused.
        Poll::Ready(self.party.group.outcome.get().copied().unwrap_or(Err(SpoolError::Closed)))
    }
}

impl Drop for Durable {
    /// A request that is given up leaves its place, and a leader passes on what it stands for.
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut waiting = self.party.waiting.borrow_mut();
        if let Some(waker) = waiting.get_mut(slot) {
            *waker = None;
        }
        let heir = match self.party.leader.get() == Some(slot) {
            true => {
                self.party.leader.set(None);
                waiting.iter().flatten().next().cloned()
            }
            false => None,
        };
        drop(waiting);
        if let Some(heir) = heir {
            heir.wake();
        }
    }
}
