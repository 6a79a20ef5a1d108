//! Fraud rules and an offer's routes: a validated, bounded form of what operators publish, and the evaluator
//! that both share.
//!
//! The edge runs it on each hit, the control plane replays it: both get the same verdict from the same
//! facts. An expression is a list of nodes in postfix order (operands before their operator), so that
//! evaluating it needs neither recursion nor allocation. Everything that can be wrong with a rule set is
//! found by [`RuleSet::try_new`] and [`RouteTable::try_new`]; [`evaluate`], [`choose`] and [`follow`] cannot fail.
//!
//! Pure: no clock, no randomness, no I/O, no floats, no serialization.

mod chain;
mod choose;
mod cidr;
mod compile;
mod error;
mod evaluate;
mod expression;
mod facts;
mod field;
mod routes;
mod rule_set;

pub use chain::{Arrival, MAX_HOPS, MAX_VISITS, Stop, follow};
pub use choose::choose;
pub use cidr::{Cidr, CidrError, Networks};
pub use error::{ExpressionError, NodeProblem, RuleError, SetError};
pub use evaluate::{Verdict, evaluate};
pub use facts::Facts;
pub use field::{Field, FieldKind, HitKind, Operator, Value};
pub use routes::{MAX_PAGES, MAX_ROUTES, Route, RouteError, RouteList, RouteTable, RouteTableParts, To};
pub use rule_set::{
    CidrSet, MAX_DEPTH, MAX_NODES, MAX_RULES, MAX_SET_VALUES, MAX_SETS, MAX_TEXT_BYTES, Node, Rule, RuleSet,
    RuleSetParts, StringSet,
};

#[cfg(test)]
mod tests;
