//! What can be wrong with a rule set. Every message names the place and what is expected there.

use crate::cidr::CidrError;
use crate::field::{Field, Operator};
use crate::rule_set::{MAX_DEPTH, MAX_NODES, MAX_RULES, MAX_SET_VALUES, MAX_SETS, MAX_TEXT_BYTES};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("rule set version must be at least 1 (0 means that a tenant has no rules)")]
    VersionZero,
    #[error("too many rules: {count}, at most {MAX_RULES}")]
    TooManyRules { count: usize },
    /// `position` counts from 0 in the list of rules.
    #[error("rule at position {position}: id `{id}` must be 1-64 characters of a-z, 0-9, `_` and `-`")]
    RuleId { position: usize, id: String },
    #[error("rule at position {position}: id `{id}` is already used by the rule at position {earlier}")]
    DuplicateRule { position: usize, earlier: usize, id: String },
    #[error("rule `{rule}`")]
    Condition {
        rule: String,
        #[source]
        problem: ExpressionError,
    },
    #[error(transparent)]
    Sets(#[from] SetError),
}

/// What can be wrong with the sets that conditions share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("too many sets: {count}, at most {MAX_SETS}")]
    TooMany { count: usize },
    #[error("too many set values: {count} in all sets together, at most {MAX_SET_VALUES}")]
    TooManyValues { count: usize },
    #[error("set at position {position}: name `{name}` must be 1-64 characters of a-z, 0-9, `_` and `-`")]
    Name { position: usize, name: String },
    #[error("set `{name}` is defined twice; give each set its own name")]
    Duplicate { name: String },
    #[error("set `{name}`, value {position}: longer than {MAX_TEXT_BYTES} bytes")]
    ValueTooLong { name: String, position: usize },
    #[error("set `{name}`, value {position}: bad network")]
    Cidr {
        name: String,
        position: usize,
        #[source]
        source: CidrError,
    },
}

/// What can be wrong with one condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("is empty; give it a condition")]
    Empty,
    #[error("has {count} nodes, at most {MAX_NODES}; move long lists of values into a set")]
    TooManyNodes { count: usize },
    #[error("leaves {left} conditions unjoined; join them with `and` or `or`")]
    Unjoined { left: usize },
    /// `position` counts from 0 in the list of nodes.
    #[error("node {position}")]
    Node {
        position: usize,
        #[source]
        problem: NodeProblem,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeProblem {
    #[error("`{}` cannot be compared with `{}`", .field.as_str(), .operator.as_str())]
    Operator { field: Field, operator: Operator },
    #[error("`{value}` is not a value of `{}`; expected {}", .field.as_str(), .field.expects())]
    Value { field: Field, value: String },
    #[error("an empty text would match every hit; use a constant instead")]
    EmptyText,
    #[error("text is longer than {MAX_TEXT_BYTES} bytes")]
    TextTooLong,
    #[error("there is no set number {set}")]
    UnknownSet { set: u32 },
    #[error("value {value:?} of set `{set}` is not a value of `{}`; expected {}", .field.as_str(), .field.expects())]
    SetValue { field: Field, set: String, value: String },
    #[error("`and` and `or` join at least one condition")]
    NoOperands,
    #[error("needs {needed} conditions before it, there are {there}")]
    MissingOperands { needed: u32, there: u32 },
    #[error("nested too deeply: more than {MAX_DEPTH} conditions wait to be joined")]
    TooDeep,
}

impl RuleError {
    /// The message with its causes, on one line, for people.
    pub fn full_message(&self) -> String {
        full_message(self)
    }
}

pub(crate) fn full_message(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
}
