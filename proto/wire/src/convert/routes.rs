//! Route tables to and from snapshot chunks.
//!
//! A route that cannot be read is left out and counted: the click then goes on as if it had not matched. A
//! strict table stays strict, so that nobody lands where the routes would not have sent them.

use super::conditions::{
    cidr_sets_from_wire, cidr_sets_to_wire, nodes_from_wire, nodes_to_wire, string_sets_from_wire,
    string_sets_to_wire,
};
use crate::edge_v1::{self, route};
use proto_model::OfferId;
use proto_rules::{Route, RouteList, RouteTable, RouteTableParts, To};

pub fn route_table_to_wire(table: &RouteTable) -> edge_v1::RouteTable {
    let parts = table.parts();
    edge_v1::RouteTable {
        strict: parts.strict,
        routes: parts.routes.iter().map(route_to_wire).collect(),
        fallbacks: parts.fallbacks.iter().map(route_to_wire).collect(),
        string_sets: string_sets_to_wire(&parts.string_sets),
        cidr_sets: cidr_sets_to_wire(&parts.cidr_sets),
    }
}

fn route_to_wire(route: &Route) -> edge_v1::Route {
    edge_v1::Route {
        id: route.id.clone(),
        priority: route.priority.into(),
        weight: route.weight,
        nodes: nodes_to_wire(&route.nodes),
        to: Some(match route.to {
            To::Page(page) => route::To::Page(page),
            To::Offer(offer) => route::To::Offer(offer.get()),
        }),
    }
}

/// The table of `offer`, which has `pages` alternative landing pages, and how many entries were left out of it.
pub fn route_table_from_wire(offer: OfferId, pages: u32, wire: &edge_v1::RouteTable) -> (RouteTable, usize) {
    let (routes, bad_routes) = routes_from_wire(&wire.routes);
    let (fallbacks, bad_fallbacks) = routes_from_wire(&wire.fallbacks);
    let (cidr_sets, bad_sets) = match cidr_sets_from_wire(&wire.cidr_sets) {
        Ok(sets) => (sets, 0),
        // Routes that ask for them fall away below.
        Err(_) => (Vec::new(), wire.cidr_sets.len()),
    };
    let string_sets = string_sets_from_wire(&wire.string_sets);
    let strict = wire.strict;
    let parts = RouteTableParts { offer, pages, strict, routes, fallbacks, string_sets, cidr_sets };
    let (table, unusable) = usable(parts);
    (table, bad_routes + bad_fallbacks + bad_sets + unusable)
}

fn routes_from_wire(routes: &[edge_v1::Route]) -> (Vec<Route>, usize) {
    let read: Vec<Route> = routes.iter().filter_map(route_from_wire).collect();
    let bad = routes.len() - read.len();
    (read, bad)
}

fn route_from_wire(route: &edge_v1::Route) -> Option<Route> {
    Some(Route {
        id: route.id.clone(),
        priority: u8::try_from(route.priority).ok()?,
        weight: route.weight,
        nodes: nodes_from_wire(&route.nodes).ok()?,
        to: match route.to.as_ref()? {
            route::To::Page(page) => To::Page(*page),
            route::To::Offer(offer) => To::Offer(OfferId::new(*offer)?),
        },
    })
}

/// The table without what it is refused for, one thing after the other; the control plane has checked it, so
/// that this seldom takes a second round.
fn usable(mut parts: RouteTableParts) -> (RouteTable, usize) {
    let mut left_out = 0;
    loop {
        let error = match RouteTable::try_new(parts.clone()) {
            Ok(table) => return (table, left_out),
            Err(error) => error,
        };
        left_out += match error.place() {
            Some((RouteList::Routes, position)) => drop_one(&mut parts.routes, position),
            Some((RouteList::Fallbacks, position)) => drop_one(&mut parts.fallbacks, position),
            None => drop_all(&mut parts),
        };
    }
}

fn drop_one(routes: &mut Vec<Route>, position: usize) -> usize {
    routes.remove(position);
    1
}

/// The sets or the sizes are wrong: nothing of it can be run.
fn drop_all(parts: &mut RouteTableParts) -> usize {
    let count = parts.routes.len() + parts.fallbacks.len() + parts.string_sets.len() + parts.cidr_sets.len();
    *parts = RouteTableParts { strict: parts.strict, ..RouteTableParts::plain(parts.offer) };
    count
}
