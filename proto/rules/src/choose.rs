//! Picks one of an offer's routes for a click. Neither allocates nor fails.

use crate::evaluate::Run;
use crate::facts::Facts;
use crate::routes::{Program, Route, RouteList, RouteTable, To};

/// Asks the routes of the lowest priority first. Those of one priority whose condition holds and that are
/// `usable` share the clicks by weight: of the 2^64 values that `draw` can have, each gets its part of the sum,
/// to within one. The routes of a priority lie in the draw's range in the order in which they were written, so
/// that the same draw always gives the same route of the same candidates.
///
/// `None` when no route matches; at most 64 conditions are evaluated.
pub fn choose<'t>(
    table: &'t RouteTable,
    list: RouteList,
    facts: &Facts<'_>,
    draw: u64,
    usable: impl Fn(&To) -> bool,
) -> Option<&'t Route> {
    let programs = match list {
        RouteList::Routes => &table.routes,
        RouteList::Fallbacks => &table.fallbacks,
    };
    let mut run = Run::new(&table.sets, facts);
    let tiers = programs.chunk_by(|one, next| one.priority == next.priority);
    let chosen = tiers.into_iter().find_map(|tier| pick(tier, &mut run, draw, &usable))?;
    table.parts().list(list).get(chosen.position)
}

/// One of the routes of one priority.
fn pick<'p>(
    tier: &'p [Program],
    run: &mut Run<'_>,
    draw: u64,
    usable: &impl Fn(&To) -> bool,
) -> Option<&'p Program> {
    // A bit for each candidate: there are at most 64 routes.
    let mut candidates = 0u64;
    let mut total = 0u64;
    for (at, route) in tier.iter().enumerate() {
        if usable(&route.to) && (route.ops.is_empty() || run.matches(&route.ops)) {
            candidates |= 1 << at;
            total += u64::from(route.weight);
        }
    }
    // The draw as a fraction of 2^64, times the sum of the weights: below the sum, which has at most 38 bits.
    let mut left = (u128::from(draw) * u128::from(total)) >> 64;
    for (at, route) in tier.iter().enumerate() {
        if candidates & 1 << at == 0 {
            continue;
        }
        match left.checked_sub(u128::from(route.weight)) {
            Some(rest) => left = rest,
            None => return Some(route),
        }
    }
    None
}
