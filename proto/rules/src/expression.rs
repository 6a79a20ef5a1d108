//! From a condition as it is published to what the evaluator runs: all checks, and values turned into what
//! compares fast.

use crate::cidr::Networks;
use crate::error::{ExpressionError, NodeProblem, SetError};
use crate::field::{Field, FieldKind, Operator, Value};
use crate::rule_set::{
    CidrSet, MAX_DEPTH, MAX_NODES, MAX_SET_VALUES, MAX_SETS, MAX_TEXT_BYTES, Node, StringSet,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the conditions of one rule set or one table look values up in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets {
    pub(crate) codes: Vec<Vec<u64>>,
    pub(crate) texts: Vec<Vec<Box<str>>>,
    pub(crate) networks: Vec<Networks>,
}

/// Set numbers index the lists in [`Sets`]; each was checked to be there.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Code {
        field: Field,
        operator: Operator,
        value: u64,
    },
    Text {
        field: Field,
        operator: Operator,
        value: Box<str>,
    },
    InCodes {
        field: Field,
        set: usize,
    },
    InTexts {
        field: Field,
        set: usize,
    },
    InNetworks {
        set: usize,
    },
    /// 1..=[`MAX_DEPTH`] operands.
    And(u32),
    Or(u32),
    Not,
    Constant(bool),
}

/// What ids and names of sets look like.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn check_sets(string_sets: &[StringSet], cidr_sets: &[CidrSet]) -> Result<(), SetError> {
    let count = string_sets.len() + cidr_sets.len();
    if count > MAX_SETS {
        return Err(SetError::TooMany { count });
    }
    let texts = string_sets.iter().map(|set| set.values.len());
    let networks = cidr_sets.iter().map(|set| set.cidrs.len());
    let count = texts.chain(networks).sum();
    if count > MAX_SET_VALUES {
        return Err(SetError::TooManyValues { count });
    }
    let mut seen = BTreeSet::new();
    let string_names = string_sets.iter().map(|set| &set.name).enumerate();
    let cidr_names = cidr_sets.iter().map(|set| &set.name).enumerate();
    for (position, name) in string_names.chain(cidr_names) {
        if !is_name(name) {
            return Err(SetError::Name { position, name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(SetError::Duplicate { name: name.clone() });
        }
    }
    for set in string_sets {
        if let Some(position) = set.values.iter().position(|value| value.len() > MAX_TEXT_BYTES) {
            return Err(SetError::ValueTooLong { name: set.name.clone(), position });
        }
    }
    Ok(())
}

/// Builds each set once for each way it is read.
pub(crate) struct Compiler<'p> {
    string_sets: &'p [StringSet],
    cidr_sets: &'p [CidrSet],
    sets: Sets,
    built_codes: BTreeMap<(u32, Field), usize>,
    built_texts: BTreeMap<u32, usize>,
}

impl<'p> Compiler<'p> {
    pub(crate) fn new(string_sets: &'p [StringSet], cidr_sets: &'p [CidrSet]) -> Result<Self, SetError> {
        check_sets(string_sets, cidr_sets)?;
        let networks = cidr_sets.iter().map(|set| Networks::new(&set.cidrs)).collect();
        let sets = Sets { networks, ..Sets::default() };
        let (built_codes, built_texts) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { string_sets, cidr_sets, sets, built_codes, built_texts })
    }

    pub(crate) fn finish(self) -> Sets {
        self.sets
    }

    pub(crate) fn expression(&mut self, nodes: &[Node]) -> Result<Vec<Op>, ExpressionError> {
        if nodes.is_empty() {
            return Err(ExpressionError::Empty);
        }
        if nodes.len() > MAX_NODES {
            return Err(ExpressionError::TooManyNodes { count: nodes.len() });
        }
        let mut ops = Vec::with_capacity(nodes.len());
        let mut depth = 0;
        for (position, node) in nodes.iter().enumerate() {
            let at = |problem| ExpressionError::Node { position, problem };
            ops.push(self.node(node).map_err(at)?);
            depth = depth_after(depth, node).map_err(at)?;
        }
        if depth == 1 { Ok(ops) } else { Err(ExpressionError::Unjoined { left: depth as usize }) }
    }

    fn node(&mut self, node: &Node) -> Result<Op, NodeProblem> {
        match node {
            Node::Compare { field, operator, value } => compare(*field, *operator, value),
            Node::InSet { field, set } => self.in_set(*field, *set),
            Node::InCidrs { set } => {
                let index = *set as usize;
                let known = index < self.cidr_sets.len();
                known.then_some(Op::InNetworks { set: index }).ok_or(NodeProblem::UnknownSet { set: *set })
            }
            Node::And(count) => Ok(Op::And(*count)),
            Node::Or(count) => Ok(Op::Or(*count)),
            Node::Not => Ok(Op::Not),
            Node::Constant(value) => Ok(Op::Constant(*value)),
        }
    }

    fn in_set(&mut self, field: Field, set: u32) -> Result<Op, NodeProblem> {
        let source = self.string_sets.get(set as usize).ok_or(NodeProblem::UnknownSet { set })?;
        if field.kind() == FieldKind::Text {
            let built = self.built_texts.get(&set).copied().unwrap_or_else(|| {
                let texts = source.values.iter().map(|value| value.as_str().into()).collect();
                self.sets.texts.push(sorted(texts));
                self.sets.texts.len() - 1
            });
            self.built_texts.insert(set, built);
            return Ok(Op::InTexts { field, set: built });
        }
        if let Some(built) = self.built_codes.get(&(set, field)) {
            return Ok(Op::InCodes { field, set: *built });
        }
        let mut codes = Vec::with_capacity(source.values.len());
        for value in &source.values {
            codes.push(field.code_of(value).ok_or_else(|| NodeProblem::SetValue {
                field,
                set: source.name.clone(),
                value: value.clone(),
            })?);
        }
        self.sets.codes.push(sorted(codes));
        let built = self.sets.codes.len() - 1;
        self.built_codes.insert((set, field), built);
        Ok(Op::InCodes { field, set: built })
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

fn compare(field: Field, operator: Operator, value: &Value) -> Result<Op, NodeProblem> {
    if !operator.fits(field.kind()) {
        return Err(NodeProblem::Operator { field, operator });
    }
    let bad_value = |value: &dyn std::fmt::Display| NodeProblem::Value { field, value: value.to_string() };
    match (field.kind(), value) {
        (_, Value::Text(text)) if text.len() > MAX_TEXT_BYTES => Err(NodeProblem::TextTooLong),
        (FieldKind::Text, Value::Text(text)) => {
            let searches = matches!(operator, Operator::Contains | Operator::StartsWith);
            if searches && text.is_empty() {
                return Err(NodeProblem::EmptyText);
            }
            Ok(Op::Text { field, operator, value: text.as_str().into() })
        }
        (FieldKind::Code, Value::Text(text)) => {
            let value = field.code_of(text).ok_or_else(|| bad_value(text))?;
            Ok(Op::Code { field, operator, value })
        }
        (FieldKind::Number, Value::Number(number)) => {
            let value = u64::try_from(*number).ok().filter(|value| field.range().contains(value));
            Ok(Op::Code { field, operator, value: value.ok_or_else(|| bad_value(number))? })
        }
        (FieldKind::Number, Value::Text(text)) => Err(bad_value(text)),
        (FieldKind::Text | FieldKind::Code, Value::Number(number)) => Err(bad_value(number)),
    }
}

/// How many conditions wait after `node`, when `depth` waited before it.
fn depth_after(depth: u32, node: &Node) -> Result<u32, NodeProblem> {
    let needed = match node {
        Node::And(0) | Node::Or(0) => return Err(NodeProblem::NoOperands),
        Node::And(count) | Node::Or(count) => *count,
        Node::Not => 1,
        Node::Compare { .. } | Node::InSet { .. } | Node::InCidrs { .. } | Node::Constant(_) => 0,
    };
    let rest = depth.checked_sub(needed).ok_or(NodeProblem::MissingOperands { needed, there: depth })?;
    if rest >= MAX_DEPTH { Err(NodeProblem::TooDeep) } else { Ok(rest + 1) }
}
