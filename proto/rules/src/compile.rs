//! From published parts to what the evaluator runs: all checks, and values turned into what compares fast.

use crate::cidr::Ranges;
use crate::error::{NodeProblem, RuleError};
use crate::field::{Field, FieldKind, Operator, Value};
use crate::rule_set::{
    MAX_DEPTH, MAX_NODES, MAX_RULES, MAX_SET_VALUES, MAX_SETS, MAX_TEXT_BYTES, Node, Rule, RuleSetParts,
};
use proto_model::VerdictKind;
use std::collections::{BTreeMap, BTreeSet};

/// Rules in order; `rules[i]` is the program of `parts.rules[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) rules: Vec<RuleProgram>,
    pub(crate) code_sets: Vec<Vec<u64>>,
    pub(crate) text_sets: Vec<Vec<Box<str>>>,
    pub(crate) networks: Vec<Ranges>,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleProgram {
    pub(crate) action: VerdictKind,
    pub(crate) ops: Vec<Op>,
}

/// Set numbers index the lists in [`Program`]; each was checked to be there.
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

pub(crate) fn compile(parts: &RuleSetParts) -> Result<Program, RuleError> {
    check_bounds(parts)?;
    check_rule_ids(&parts.rules)?;
    check_sets(parts)?;
    let mut builder = Builder::new(parts);
    let mut rules = Vec::with_capacity(parts.rules.len());
    for rule in &parts.rules {
        rules.push(RuleProgram { action: rule.action, ops: builder.rule(rule)? });
    }
    let networks = parts.cidr_sets.iter().map(|set| Ranges::new(&set.cidrs)).collect();
    Ok(Program { rules, code_sets: builder.code_sets, text_sets: builder.text_sets, networks })
}

fn check_bounds(parts: &RuleSetParts) -> Result<(), RuleError> {
    if parts.version == 0 {
        return Err(RuleError::VersionZero);
    }
    if parts.rules.len() > MAX_RULES {
        return Err(RuleError::TooManyRules { count: parts.rules.len() });
    }
    let sets = parts.string_sets.len() + parts.cidr_sets.len();
    if sets > MAX_SETS {
        return Err(RuleError::TooManySets { count: sets });
    }
    let texts = parts.string_sets.iter().map(|set| set.values.len());
    let networks = parts.cidr_sets.iter().map(|set| set.cidrs.len());
    let values = texts.chain(networks).sum();
    if values > MAX_SET_VALUES {
        return Err(RuleError::TooManyValues { count: values });
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn check_rule_ids(rules: &[Rule]) -> Result<(), RuleError> {
    let mut seen = BTreeMap::new();
    for (position, rule) in rules.iter().enumerate() {
        let id = rule.id.clone();
        if !is_name(&id) {
            return Err(RuleError::RuleId { position, id });
        }
        if let Some(earlier) = seen.insert(rule.id.as_str(), position) {
            return Err(RuleError::DuplicateRule { position, earlier, id });
        }
    }
    Ok(())
}

fn check_sets(parts: &RuleSetParts) -> Result<(), RuleError> {
    let mut seen = BTreeSet::new();
    let string_names = parts.string_sets.iter().map(|set| &set.name).enumerate();
    let cidr_names = parts.cidr_sets.iter().map(|set| &set.name).enumerate();
    for (position, name) in string_names.chain(cidr_names) {
        if !is_name(name) {
            return Err(RuleError::SetName { position, name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(RuleError::DuplicateSet { name: name.clone() });
        }
    }
    for set in &parts.string_sets {
        if let Some(position) = set.values.iter().position(|value| value.len() > MAX_TEXT_BYTES) {
            return Err(RuleError::SetValueTooLong { name: set.name.clone(), position });
        }
    }
    Ok(())
}

/// Builds each set once for each way it is read.
struct Builder<'p> {
    parts: &'p RuleSetParts,
    code_sets: Vec<Vec<u64>>,
    text_sets: Vec<Vec<Box<str>>>,
    built_codes: BTreeMap<(u32, Field), usize>,
    built_texts: BTreeMap<u32, usize>,
}

impl<'p> Builder<'p> {
    fn new(parts: &'p RuleSetParts) -> Self {
        Self {
            parts,
            code_sets: Vec::new(),
            text_sets: Vec::new(),
            built_codes: BTreeMap::new(),
            built_texts: BTreeMap::new(),
        }
    }

    fn rule(&mut self, rule: &Rule) -> Result<Vec<Op>, RuleError> {
        let named = || rule.id.clone();
        if rule.nodes.is_empty() {
            return Err(RuleError::EmptyRule { rule: named() });
        }
        if rule.nodes.len() > MAX_NODES {
            return Err(RuleError::TooManyNodes { rule: named(), count: rule.nodes.len() });
        }
        let mut ops = Vec::with_capacity(rule.nodes.len());
        let mut depth = 0;
        for (position, node) in rule.nodes.iter().enumerate() {
            let at = |problem| RuleError::Node { rule: named(), position, problem };
            ops.push(self.node(node).map_err(at)?);
            depth = depth_after(depth, node).map_err(at)?;
        }
        if depth != 1 {
            return Err(RuleError::Unjoined { rule: named(), left: depth as usize });
        }
        Ok(ops)
    }

    fn node(&mut self, node: &Node) -> Result<Op, NodeProblem> {
        match node {
            Node::Compare { field, operator, value } => compare(*field, *operator, value),
            Node::InSet { field, set } => self.in_set(*field, *set),
            Node::InCidrs { set } => {
                let index = *set as usize;
                let known = index < self.parts.cidr_sets.len();
                known.then_some(Op::InNetworks { set: index }).ok_or(NodeProblem::UnknownSet { set: *set })
            }
            Node::And(count) => Ok(Op::And(*count)),
            Node::Or(count) => Ok(Op::Or(*count)),
            Node::Not => Ok(Op::Not),
            Node::Constant(value) => Ok(Op::Constant(*value)),
        }
    }

    fn in_set(&mut self, field: Field, set: u32) -> Result<Op, NodeProblem> {
        let source = self.parts.string_sets.get(set as usize).ok_or(NodeProblem::UnknownSet { set })?;
        if field.kind() == FieldKind::Text {
            let built = self.built_texts.get(&set).copied().unwrap_or_else(|| {
                let texts = source.values.iter().map(|value| value.as_str().into()).collect();
                self.text_sets.push(sorted(texts));
                self.text_sets.len() - 1
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
        self.code_sets.push(sorted(codes));
        let built = self.code_sets.len() - 1;
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
            let value = u64::try_from(*number).ok().filter(|hour| *hour <= 23);
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
