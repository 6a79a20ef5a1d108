//! The records that become durable by the same `fdatasync`, and the futures that wait for it.

use super::SpoolError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

type Outcome = Result<(), SpoolError>;

#[derive(Default)]
struct Inner {
    outcome: Option<Outcome>,
    waiting: Vec<Waker>,
}

#[derive(Default)]
pub(super) struct Group(Mutex<Inner>);

impl Group {
    pub(super) fn waiter(self: &Arc<Self>) -> Durable {
        Durable { group: Arc::clone(self), slot: None }
    }

    /// Tells all who wait, and all who will ask. The first outcome stands.
    pub(super) fn finish(&self, outcome: Outcome) {
        let waiting = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.outcome.get_or_insert(outcome);
            std::mem::take(&mut inner.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
}

/// Resolves when the record is on disk, or will never be.
#[must_use = "a reply may leave only after this resolved"]
pub struct Durable {
    group: Arc<Group>,
    slot: Option<usize>,
}

impl Future for Durable {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let group = Arc::clone(&self.group);
        let mut inner = group.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = inner.outcome {
            return Poll::Ready(outcome);
        }
        match self.slot.and_then(|slot| inner.waiting.get_mut(slot)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                self.slot = Some(inner.waiting.len());
                inner.waiting.push(context.waker().clone());
            }
        }
        Poll::Pending
    }
}
