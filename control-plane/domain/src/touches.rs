//! Clicks bound to a customer: which are taken in, and which of them a decision looks at.
//!
//! Anybody can write a page. So what pages say has a bound of its own, which takes no place of what a server says.
//! And each partner has its own: whose link was clicked is the one thing that a page cannot make up.

use crate::intake::{Touch, Vouched};
use crate::order::{MAX_PAGE_TOUCHES, MAX_TOUCHES, PAGE_TOUCH_DAYS};
use proto_model::PartnerId;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Whether a touch tells anything new of its customer. A click that is bound stays bound as it was, but for a server
/// that vouches for what only a page did.
pub(crate) fn takes(bound: &[Touch], touch: &Touch) -> bool {
    let mut same = bound.iter().filter(|known| known.click == touch.click);
    match touch.vouched {
        Vouched::Server => same.all(|known| known.vouched == Vouched::Page),
        Vouched::Page => same.next().is_none() && has_a_place(bound, touch),
    }
}

/// The first ones stay. But anybody can click a partner's links, and so fill its places with clicks that are not its
/// customers': so that none of these can wait for long, one more is taken each day.
fn has_a_place(bound: &[Touch], touch: &Touch) -> bool {
    // By the clock of the edges: a page has no say in it.
    let within = |days: u32| {
        let recent = move |known: &&Touch| known.bound_at.plus_days(days) > touch.bound_at;
        bound.iter().filter(|known| is_alike(known, touch)).filter(recent).count()
    };
    within(PAGE_TOUCH_DAYS) < MAX_PAGE_TOUCHES || within(1) == 0
}

fn is_alike(known: &Touch, touch: &Touch) -> bool {
    known.vouched == Vouched::Page && known.click.partner == touch.click.partner
}

/// What a decision looks at, in intake order, each click once: the last ones of servers; and of pages the last ones of
/// each partner, where that is too much every partner's last one before anybody's second.
pub(crate) fn considered(bound: &[Touch]) -> Vec<&Touch> {
    let mut of_servers: Vec<usize> = Vec::new();
    // With how many of its partner's touches are later.
    let mut of_pages: Vec<(usize, Reverse<usize>)> = Vec::new();
    let mut later: BTreeMap<PartnerId, usize> = BTreeMap::new();
    for (index, touch) in bound.iter().enumerate().rev() {
        match touch.vouched {
            Vouched::Server if of_servers.len() < MAX_TOUCHES => of_servers.push(index),
            Vouched::Server => {}
            Vouched::Page => {
                let of_partner = later.entry(touch.click.partner).or_default();
                if *of_partner < MAX_PAGE_TOUCHES && !is_vouched_for(bound, touch) {
                    of_pages.push((*of_partner, Reverse(index)));
                    *of_partner += 1;
                }
            }
        }
    }
    of_pages.sort_unstable();
    let of_pages = of_pages.into_iter().take(MAX_TOUCHES).map(|(_, Reverse(index))| index);
    let mut chosen: Vec<usize> = of_servers.into_iter().chain(of_pages).collect();
    chosen.sort_unstable();
    chosen.into_iter().filter_map(|index| bound.get(index)).collect()
}

fn is_vouched_for(bound: &[Touch], touch: &Touch) -> bool {
    bound.iter().any(|known| known.vouched == Vouched::Server && known.click == touch.click)
}

#[cfg(test)]
mod tests;
