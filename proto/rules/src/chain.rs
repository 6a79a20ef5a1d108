//! From the offer that a link names to where the click ends up: offers may send their clicks on to others.

use crate::choose::choose;
use crate::facts::Facts;
use crate::routes::{RouteList, RouteTable, To};
use proto_model::OfferId;

/// How far from the link's own offer a click may be sent.
pub const MAX_HOPS: usize = 4;
/// How many offers are asked for one click at most, dead ends included.
pub const MAX_VISITS: usize = 8;

/// What an offer says of a click.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'t> {
    /// It takes clicks: active, not expired, below its cap.
    pub open: bool,
    /// `None` = its own landing page, and nothing when it is not open.
    pub table: Option<&'t RouteTable>,
    /// Of its time zone, for routes that ask for the local time.
    pub utc_offset_secs: i32,
}

/// Where a click ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival<'t> {
    pub offer: OfferId,
    /// `None` = the offer's own landing page; else the number of an alternative one.
    pub page: Option<u32>,
    /// The last route that was taken, in the table of the offer that has it; `None` = none was.
    pub route: Option<&'t str>,
}

/// Follows routes and fallbacks from `start`; `None` when nobody takes the click.
///
/// An offer is asked at most once, so that circles end; a click is sent on at most [`MAX_HOPS`] times, and at
/// most [`MAX_VISITS`] offers are asked. Where a route has led nowhere, the offer chooses again among the
/// others. Each offer draws anew: `draw` is mixed with the number of hops, or an offer behind a split would
/// see one half of the draws only.
pub fn follow<'t>(
    start: OfferId,
    facts: &Facts<'_>,
    draw: u64,
    look: impl Fn(OfferId) -> Option<Stop<'t>>,
) -> Option<Arrival<'t>> {
    Walk { facts, draw, look, visited: [None; MAX_VISITS] }.offer(start, 0, None)
}

struct Walk<'f, L> {
    facts: &'f Facts<'f>,
    draw: u64,
    look: L,
    visited: [Option<OfferId>; MAX_VISITS],
}

impl<'t, L: Fn(OfferId) -> Option<Stop<'t>>> Walk<'_, L> {
    fn offer(&mut self, offer: OfferId, hops: usize, route: Option<&'t str>) -> Option<Arrival<'t>> {
        let place = self.visited.iter_mut().find(|place| place.is_none())?;
        *place = Some(offer);
        let stop = (self.look)(offer)?;
        if stop.open {
            if let Some(arrival) = self.list(offer, hops, stop, RouteList::Routes) {
                return Some(arrival);
            }
            if !stop.table.is_some_and(RouteTable::strict) {
                return Some(Arrival { offer, page: None, route });
            }
        }
        self.list(offer, hops, stop, RouteList::Fallbacks)
    }

    /// Each round takes one more offer out of the choice, so that the loop ends.
    fn list(&mut self, offer: OfferId, hops: usize, stop: Stop<'t>, list: RouteList) -> Option<Arrival<'t>> {
        let table = stop.table?;
        let facts = Facts { offer: Some(offer), utc_offset_secs: stop.utc_offset_secs, ..*self.facts };
        loop {
            let draw = mixed(self.draw, hops);
            let route = choose(table, list, &facts, draw, |to| self.may_go(to, hops))?;
            match route.to {
                To::Page(page) => return Some(Arrival { offer, page: Some(page), route: Some(&route.id) }),
                To::Offer(next) => {
                    let arrival = self.offer(next, hops + 1, Some(&route.id));
                    if arrival.is_some() {
                        return arrival;
                    }
                }
            }
        }
    }

    fn may_go(&self, to: &To, hops: usize) -> bool {
        match to {
            To::Page(_) => true,
            To::Offer(next) => {
                let room = hops < MAX_HOPS && self.visited.contains(&None);
                room && !self.visited.contains(&Some(*next))
            }
        }
    }
}

/// A bijection for each number of hops (the finish of splitmix64): what was even stays even.
fn mixed(draw: u64, hops: usize) -> u64 {
    if hops == 0 {
        return draw;
    }
    let mut x = draw ^ (hops as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
