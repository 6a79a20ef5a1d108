//! Rule sets as they are published: parts anybody can build, and the validated whole.

use crate::cidr::Cidr;
use crate::compile::{Program, compile};
use crate::error::RuleError;
use crate::field::{Field, Operator, Value};
use proto_model::VerdictKind;
use std::fmt;

pub const MAX_RULES: usize = 256;
/// Of one rule.
pub const MAX_NODES: usize = 64;
/// Conditions that wait to be joined; the evaluator keeps them as bits of one word.
pub const MAX_DEPTH: u32 = 32;
/// String sets and network sets together.
pub const MAX_SETS: usize = 64;
/// In all sets together.
pub const MAX_SET_VALUES: usize = 100_000;
pub const MAX_TEXT_BYTES: usize = 512;

/// One step of an expression in postfix order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// An absent id (a click without a partner, say) equals nothing: `ne` holds, all else does not.
    Compare {
        field: Field,
        operator: Operator,
        value: Value,
    },
    /// Index into [`RuleSetParts::string_sets`].
    InSet {
        field: Field,
        set: u32,
    },
    /// The client's address; index into [`RuleSetParts::cidr_sets`].
    InCidrs {
        set: u32,
    },
    /// Joins that many conditions before it.
    And(u32),
    Or(u32),
    Not,
    Constant(bool),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Recorded with each hit the rule decides; 1-64 characters of `[a-z0-9_-]`.
    pub id: String,
    /// What a hit is that the rule matches.
    pub action: VerdictKind,
    pub nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StringSet {
    pub name: String,
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CidrSet {
    pub name: String,
    pub cidrs: Vec<Cidr>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RuleSetParts {
    /// From 1; rises with each publication.
    pub version: u32,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
    pub string_sets: Vec<StringSet>,
    pub cidr_sets: Vec<CidrSet>,
}

/// A rule set that [`crate::evaluate`] can run.
#[derive(Clone)]
pub struct RuleSet {
    parts: RuleSetParts,
    program: Program,
}

impl RuleSet {
    pub fn try_new(parts: RuleSetParts) -> Result<Self, RuleError> {
        let program = compile(&parts)?;
        Ok(Self { parts, program })
    }

    pub fn parts(&self) -> &RuleSetParts {
        &self.parts
    }

    pub fn into_parts(self) -> RuleSetParts {
        self.parts
    }

    pub fn version(&self) -> u32 {
        self.parts.version
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

/// The program follows from the parts.
impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for RuleSet {}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}
