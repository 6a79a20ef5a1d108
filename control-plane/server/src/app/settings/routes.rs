//! Routes as JSON, and what the evaluator runs.

use super::page::checked_page;
use crate::app::rules_json::{BodyError, Condition, Lowering, SetBody, refuse};
use crate::rest::ids::OfferRef;
use proto_model::OfferId;
use proto_rules::{ExpressionError, Route, RouteError, RouteList, RouteTable, RouteTableParts, To};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Exactly one of `destination` and `offer_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Route)]
pub struct RouteBody {
    /// 1-64 of `a-z`, `0-9`, `_`, `-`; once in the offer.
    #[schema(example = "germany")]
    pub id: String,
    /// Lower goes first; the routes of one priority share their clicks.
    #[serde(default)]
    pub priority: u8,
    /// The route's part of the clicks of its priority.
    #[serde(default = "one")]
    #[schema(minimum = 1)]
    pub weight: u32,
    /// Absent = every click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// A landing page of this offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://shop.example/de")]
    pub destination: Option<String>,
    /// Another offer: the click becomes one on that offer, wherever its own routes lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_id: Option<OfferRef>,
}

fn one() -> u32 {
    1
}

/// A table, and the landing pages that it names by number.
pub struct Lowered {
    pub table: RouteTable,
    pub pages: Vec<String>,
}

pub struct Lists<'b> {
    pub strict: bool,
    pub routes: &'b [RouteBody],
    pub fallbacks: &'b [RouteBody],
    pub sets: &'b [SetBody],
}

/// Where each node of each condition stands, by list and place in it.
#[derive(Default)]
struct Places {
    routes: Vec<Vec<String>>,
    fallbacks: Vec<Vec<String>>,
}

pub fn lower(offer: OfferId, lists: &Lists<'_>) -> Result<Lowered, BodyError> {
    let mut lowering = Lowering::default();
    for (index, set) in lists.sets.iter().enumerate() {
        lowering.set(set, &format!("/sets/{index}"))?;
    }
    let mut pages = Vec::new();
    let (routes, of_routes) = list(lists.routes, RouteList::Routes, &mut lowering, &mut pages)?;
    let (fallbacks, of_fallbacks) = list(lists.fallbacks, RouteList::Fallbacks, &mut lowering, &mut pages)?;
    let Lowering { string_sets, cidr_sets, .. } = lowering;
    let places = Places { routes: of_routes, fallbacks: of_fallbacks };
    let parts = RouteTableParts {
        offer,
        pages: u32::try_from(pages.len()).unwrap_or(u32::MAX),
        strict: lists.strict,
        routes,
        fallbacks,
        string_sets,
        cidr_sets,
    };
    let table =
        RouteTable::try_new(parts).map_err(|error| refuse(pointer(&error, &places), error.full_message()))?;
    Ok(Lowered { table, pages })
}

type Listed = (Vec<Route>, Vec<Vec<String>>);

fn list(
    bodies: &[RouteBody],
    list: RouteList,
    lowering: &mut Lowering,
    pages: &mut Vec<String>,
) -> Result<Listed, BodyError> {
    let (mut routes, mut places) = (Vec::new(), Vec::new());
    for (index, body) in bodies.iter().enumerate() {
        let at = format!("/{list}/{index}");
        let (nodes, of_nodes) = match &body.when {
            Some(when) => lowering.expression(when, &format!("{at}/when"))?,
            None => (Vec::new(), Vec::new()),
        };
        let to = match (&body.destination, body.offer_id) {
            (Some(page), None) => To::Page(number(pages, checked_page(&format!("{at}/destination"), page)?)),
            (None, Some(offer)) => To::Offer(offer.0),
            _ => return Err(refuse(at, "give exactly one of `destination` and `offer_id`")),
        };
        let RouteBody { id, priority, weight, .. } = body.clone();
        routes.push(Route { id, priority, weight, nodes, to });
        places.push(of_nodes);
    }
    Ok((routes, places))
}

/// Routes may share a page.
fn number(pages: &mut Vec<String>, page: String) -> u32 {
    let known = pages.iter().position(|other| *other == page);
    let at = known.unwrap_or_else(|| {
        pages.push(page);
        pages.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Where in the body an error of the table belongs.
fn pointer(error: &RouteError, places: &Places) -> String {
    let Some((list, position)) = error.place() else {
        return match error {
            RouteError::TooMany { list, .. } => format!("/{list}"),
            RouteError::Sets(_) => "/sets".to_owned(),
            _ => "/routes".to_owned(),
        };
    };
    let at = format!("/{list}/{position}");
    let nodes = match list {
        RouteList::Routes => places.routes.get(position),
        RouteList::Fallbacks => places.fallbacks.get(position),
    };
    match error {
        RouteError::Id { .. } | RouteError::DuplicateId { .. } => format!("{at}/id"),
        RouteError::NoWeight { .. } => format!("{at}/weight"),
        RouteError::Itself { .. } => format!("{at}/offer_id"),
        RouteError::Condition { problem: ExpressionError::Node { position, .. }, .. } => {
            nodes.and_then(|nodes| nodes.get(*position).cloned()).unwrap_or(at)
        }
        RouteError::Condition { .. } => format!("{at}/when"),
        _ => at,
    }
}
