//! Who waits for a group is told, in whatever order tasks of a worker are polled and given up.

use super::*;
use crate::spool::group::{Group, Party};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn woken(count: &Count) -> usize {
    count.0.swap(0, Ordering::Relaxed)
}

#[test]
fn the_group_wakes_one_and_that_one_the_others() {
    let group = Arc::new(Group::default());
    let party = Party::new(Arc::clone(&group));
    let (mut first, mut second) = (pin!(party.join()), pin!(party.join()));
    let ((count1, waker1), (count2, waker2)) = (counter(), counter());
    for _ in 0..2 {
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker1)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&waker2)).is_pending());
    }
    group.finish(Ok(()));
    assert_eq!((woken(&count1), woken(&count2)), (1, 0));
    assert_eq!(first.as_mut().poll(&mut Context::from_waker(&waker1)), Poll::Ready(Ok(())));
    assert_eq!(woken(&count2), 1);
    assert_eq!(second.as_mut().poll(&mut Context::from_waker(&waker2)), Poll::Ready(Ok(())));
    let mut late = pin!(party.join());
    assert_eq!(late.as_mut().poll(&mut Context::from_waker(&waker1)), Poll::Ready(Ok(())));
}

#[test]
fn who_is_given_up_leaves_nobody_waiting() {
    for gone_before_the_outcome in [true, false] {
        let group = Arc::new(Group::default());
        let party = Party::new(Arc::clone(&group));
        let mut first = Box::pin(party.join());
        let mut second = pin!(party.join());
        let ((_, waker1), (count2, waker2)) = (counter(), counter());
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker1)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&waker2)).is_pending());
        if gone_before_the_outcome {
            drop(first);
            assert_eq!(woken(&count2), 1, "to take the first one's place");
            assert!(second.as_mut().poll(&mut Context::from_waker(&waker2)).is_pending());
            group.finish(Err(SpoolError::Full));
        } else {
            group.finish(Err(SpoolError::Full));
            drop(first);
        }
        assert_eq!(woken(&count2), 1);
        let outcome = second.as_mut().poll(&mut Context::from_waker(&waker2));
        assert_eq!(outcome, Poll::Ready(Err(SpoolError::Full)));
    }
}

#[test]
fn a_task_that_moves_is_woken_where_it_is() {
    let group = Arc::new(Group::default());
    let mut waits = pin!(Party::new(Arc::clone(&group)).join());
    let ((_, before), (count, after)) = (counter(), counter());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&before)).is_pending());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&after)).is_pending());
    group.finish(Ok(()));
    assert_eq!(woken(&count), 1);
}
