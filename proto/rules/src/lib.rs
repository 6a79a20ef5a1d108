//! Fraud rules: a validated, bounded form of what operators publish, and its evaluator.
//!
//! The edge runs it on each hit, the control plane replays it: both get the same verdict from the same
//! facts. An expression is a list of nodes in postfix order (operands before their operator), so that
//! evaluating it needs neither recursion nor allocation. Everything that can be wrong with a rule set is
//! found by [`RuleSet::try_new`]; [`evaluate`] cannot fail.
//!
//! Pure: no clock, no randomness, no I/O, no floats, no serialization.

mod cidr;
mod compile;
mod error;
mod evaluate;
mod field;
mod rule_set;

pub use cidr::{Cidr, CidrError};
pub use error::{NodeProblem, RuleError};
pub use evaluate::{Facts, Verdict, evaluate};
pub use field::{Field, FieldKind, HitKind, Operator, Value};
pub use rule_set::{
    CidrSet, MAX_DEPTH, MAX_NODES, MAX_RULES, MAX_SET_VALUES, MAX_SETS, MAX_TEXT_BYTES, Node, Rule, RuleSet,
    RuleSetParts, StringSet,
};

#[cfg(test)]
mod tests;
