//! Where an offer's clicks go: routes with a condition each, in the same form as rules and run by the same
//! evaluator.

use crate::error::{ExpressionError, SetError, full_message};
use crate::expression::{Compiler, Op, Sets, is_name};
use crate::rule_set::{CidrSet, Node, StringSet};
use proto_model::OfferId;
use std::collections::BTreeSet;
use std::fmt;

/// Of each of an offer's two lists: a choice keeps its matches as bits of one word.
pub const MAX_ROUTES: usize = 64;
/// Alternative landing pages of one offer.
pub const MAX_PAGES: u32 = 64;

/// Where a route leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum To {
    /// A landing page of the offer itself, by its number in the offer's list of them.
    Page(u32),
    /// Whatever becomes of a click on that offer.
    Offer(OfferId),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// 1-64 characters of `[a-z0-9_-]`, once in the table.
    pub id: String,
    /// Lower goes first; the routes of one priority share their clicks.
    pub priority: u8,
    /// The route's part of the clicks of its priority, at least 1.
    pub weight: u32,
    /// Empty = always.
    pub nodes: Vec<Node>,
    pub to: To,
}

/// Which of an offer's two lists is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RouteList {
    /// While the offer takes clicks.
    Routes,
    /// When it does not: paused, expired, over its cap, or strict and no route matches.
    Fallbacks,
}

impl fmt::Display for RouteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Routes => "routes",
            Self::Fallbacks => "fallbacks",
        })
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RouteTableParts {
    /// Whose table it is.
    pub offer: OfferId,
    /// How many alternative landing pages the offer has.
    pub pages: u32,
    /// A click that no route matches is not for this offer, rather than for its own landing page.
    pub strict: bool,
    pub routes: Vec<Route>,
    pub fallbacks: Vec<Route>,
    pub string_sets: Vec<StringSet>,
    pub cidr_sets: Vec<CidrSet>,
}

impl RouteTableParts {
    /// A table that changes nothing.
    pub fn plain(offer: OfferId) -> Self {
        let (routes, fallbacks) = (Vec::new(), Vec::new());
        let (string_sets, cidr_sets) = (Vec::new(), Vec::new());
        Self { offer, pages: 0, strict: false, routes, fallbacks, string_sets, cidr_sets }
    }

    pub fn list(&self, list: RouteList) -> &[Route] {
        match list {
            RouteList::Routes => &self.routes,
            RouteList::Fallbacks => &self.fallbacks,
        }
    }
}

/// What can be wrong with a table. Routes are named by their list and their place in it, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("too many {list}: {count}, at most {MAX_ROUTES}")]
    TooMany { list: RouteList, count: usize },
    #[error("too many landing pages: {0}, at most {MAX_PAGES}")]
    TooManyPages(u32),
    #[error("{list}, position {position}: id `{id}` must be 1-64 characters of a-z, 0-9, `_` and `-`")]
    Id { list: RouteList, position: usize, id: String },
    #[error("{list}, position {position}: id `{id}` is already used in this table")]
    DuplicateId { list: RouteList, position: usize, id: String },
    #[error(
        "{list}, position {position}: a weight is at least 1; take the route away if it shall get nothing"
    )]
    NoWeight { list: RouteList, position: usize },
    #[error("{list}, position {position}: there is no landing page number {page}")]
    UnknownPage { list: RouteList, position: usize, page: u32 },
    #[error("{list}, position {position}: leads to the offer itself; name another one or a landing page")]
    Itself { list: RouteList, position: usize },
    #[error("{list}, position {position}")]
    Condition {
        list: RouteList,
        position: usize,
        #[source]
        problem: ExpressionError,
    },
    #[error(transparent)]
    Sets(#[from] SetError),
}

impl RouteError {
    /// The route that is at fault, when it is one.
    pub fn place(&self) -> Option<(RouteList, usize)> {
        match self {
            Self::Id { list, position, .. }
            | Self::DuplicateId { list, position, .. }
            | Self::NoWeight { list, position }
            | Self::UnknownPage { list, position, .. }
            | Self::Itself { list, position }
            | Self::Condition { list, position, .. } => Some((*list, *position)),
            Self::TooMany { .. } | Self::TooManyPages(_) | Self::Sets(_) => None,
        }
    }

    /// The message with its causes, on one line, for people.
    pub fn full_message(&self) -> String {
        full_message(self)
    }
}

/// A route as the evaluator runs it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) priority: u8,
    pub(crate) weight: u32,
    /// Empty = always.
    pub(crate) ops: Vec<Op>,
    pub(crate) to: To,
    /// In the published list.
    pub(crate) position: usize,
}

/// A table that [`crate::choose`] can run.
#[derive(Clone)]
pub struct RouteTable {
    parts: RouteTableParts,
    /// Both in order of priority.
    pub(crate) routes: Vec<Program>,
    pub(crate) fallbacks: Vec<Program>,
    pub(crate) sets: Sets,
}

impl RouteTable {
    pub fn try_new(parts: RouteTableParts) -> Result<Self, RouteError> {
        if parts.pages > MAX_PAGES {
            return Err(RouteError::TooManyPages(parts.pages));
        }
        let mut compiler = Compiler::new(&parts.string_sets, &parts.cidr_sets)?;
        let mut ids = BTreeSet::new();
        let routes = compile(&parts, RouteList::Routes, &mut compiler, &mut ids)?;
        let fallbacks = compile(&parts, RouteList::Fallbacks, &mut compiler, &mut ids)?;
        let sets = compiler.finish();
        Ok(Self { parts, routes, fallbacks, sets })
    }

    pub fn parts(&self) -> &RouteTableParts {
        &self.parts
    }

    pub fn strict(&self) -> bool {
        self.parts.strict
    }

    pub fn has_fallbacks(&self) -> bool {
        !self.fallbacks.is_empty()
    }
}

fn compile<'p>(
    parts: &'p RouteTableParts,
    list: RouteList,
    compiler: &mut Compiler<'p>,
    ids: &mut BTreeSet<&'p str>,
) -> Result<Vec<Program>, RouteError> {
    let routes = parts.list(list);
    if routes.len() > MAX_ROUTES {
        return Err(RouteError::TooMany { list, count: routes.len() });
    }
    let mut programs = Vec::with_capacity(routes.len());
    for (position, route) in routes.iter().enumerate() {
        check(parts, list, position, route)?;
        if !ids.insert(&route.id) {
            return Err(RouteError::DuplicateId { list, position, id: route.id.clone() });
        }
        let at = |problem| RouteError::Condition { list, position, problem };
        let ops = if route.nodes.is_empty() {
            Vec::new()
        } else {
            compiler.expression(&route.nodes).map_err(at)?
        };
        let Route { priority, weight, to, .. } = *route;
        programs.push(Program { priority, weight, ops, to, position });
    }
    // Stable: within a priority the order is the author's.
    programs.sort_by_key(|program| program.priority);
    Ok(programs)
}

fn check(parts: &RouteTableParts, list: RouteList, position: usize, route: &Route) -> Result<(), RouteError> {
    if !is_name(&route.id) {
        return Err(RouteError::Id { list, position, id: route.id.clone() });
    }
    if route.weight == 0 {
        return Err(RouteError::NoWeight { list, position });
    }
    match route.to {
        To::Page(page) if page >= parts.pages => Err(RouteError::UnknownPage { list, position, page }),
        To::Offer(offer) if offer == parts.offer => Err(RouteError::Itself { list, position }),
        To::Page(_) | To::Offer(_) => Ok(()),
    }
}

/// The programs follow from the parts.
impl PartialEq for RouteTable {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for RouteTable {}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}
