//! Clicks bound to a customer: which are taken in, and which of them a decision looks at.
//!
//! Anybody can write a page. So what pages say has a bound of its own, which neither takes the place of what a
//! server says nor of what other pages have said before.

use crate::intake::{Touch, Vouched};
use crate::order::{MAX_PAGE_TOUCHES, MAX_TOUCHES, PAGE_TOUCH_DAYS};

/// Whether a touch tells anything new of its customer. A click that is bound stays bound as it was, but for a server
/// that vouches for what only a page did.
pub(crate) fn takes(bound: &[Touch], touch: &Touch) -> bool {
    let mut same = bound.iter().filter(|known| known.click == touch.click);
    match touch.vouched {
        Vouched::Server => same.all(|known| known.vouched == Vouched::Page),
        Vouched::Page => same.next().is_none() && recent_of_pages(bound, touch) < MAX_PAGE_TOUCHES,
    }
}

/// By the clock of the edges: a page has no say in it.
fn recent_of_pages(bound: &[Touch], touch: &Touch) -> usize {
    let recent = |known: &&Touch| known.bound_at.plus_days(PAGE_TOUCH_DAYS) > touch.bound_at;
    bound.iter().filter(|known| known.vouched == Vouched::Page).filter(recent).count()
}

/// What a decision looks at, in intake order: the last ones of each kind, and each click once.
pub(crate) fn considered(bound: &[Touch]) -> Vec<&Touch> {
    let (mut of_servers, mut of_pages) = (MAX_TOUCHES, MAX_TOUCHES);
    let has_room = |touch: &&Touch| {
        let left = match touch.vouched {
            Vouched::Server => &mut of_servers,
            Vouched::Page if is_vouched_for(bound, touch) => return false,
            Vouched::Page => &mut of_pages,
        };
        let room = *left > 0;
        *left = left.saturating_sub(1);
        room
    };
    let mut last: Vec<&Touch> = bound.iter().rev().filter(has_room).collect();
    last.reverse();
    last
}

fn is_vouched_for(bound: &[Touch], touch: &Touch) -> bool {
    bound.iter().any(|known| known.vouched == Vouched::Server && known.click == touch.click)
}

#[cfg(test)]
mod tests;
