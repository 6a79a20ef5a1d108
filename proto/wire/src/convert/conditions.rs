//! Conditions, and the sets they look values up in, to and from snapshot chunks.

use crate::edge_v1::{self, rule_node};
use proto_rules::{Cidr, CidrError, CidrSet, Field, FieldKind, Node, Operator, StringSet, Value};

/// A set that holds something that is not a network.
pub(super) struct BadNetwork {
    pub(super) set: String,
    pub(super) source: CidrError,
}

pub(super) fn string_sets_to_wire(sets: &[StringSet]) -> Vec<edge_v1::StringSet> {
    let to_wire = |set: &StringSet| edge_v1::StringSet { name: set.name.clone(), values: set.values.clone() };
    sets.iter().map(to_wire).collect()
}

pub(super) fn cidr_sets_to_wire(sets: &[CidrSet]) -> Vec<edge_v1::CidrSet> {
    let to_wire = |set: &CidrSet| edge_v1::CidrSet {
        name: set.name.clone(),
        cidrs: set.cidrs.iter().map(Cidr::to_string).collect(),
    };
    sets.iter().map(to_wire).collect()
}

pub(super) fn string_sets_from_wire(sets: &[edge_v1::StringSet]) -> Vec<StringSet> {
    let from_wire =
        |set: &edge_v1::StringSet| StringSet { name: set.name.clone(), values: set.values.clone() };
    sets.iter().map(from_wire).collect()
}

pub(super) fn cidr_sets_from_wire(sets: &[edge_v1::CidrSet]) -> Result<Vec<CidrSet>, BadNetwork> {
    let from_wire = |set: &edge_v1::CidrSet| {
        let bad = |source| BadNetwork { set: set.name.clone(), source };
        let cidrs = set.cidrs.iter().map(|text| text.parse().map_err(bad));
        Ok(CidrSet { name: set.name.clone(), cidrs: cidrs.collect::<Result<_, _>>()? })
    };
    sets.iter().map(from_wire).collect()
}

pub(super) fn nodes_to_wire(nodes: &[Node]) -> Vec<edge_v1::RuleNode> {
    nodes.iter().map(|node| edge_v1::RuleNode { node: Some(node_to_wire(node)) }).collect()
}

/// Fails with the place of the first node that this software does not know.
pub(super) fn nodes_from_wire(nodes: &[edge_v1::RuleNode]) -> Result<Vec<Node>, usize> {
    let read = |(position, node): (usize, &edge_v1::RuleNode)| {
        node.node.as_ref().and_then(node_from_wire).ok_or(position)
    };
    nodes.iter().enumerate().map(read).collect()
}

fn node_to_wire(node: &Node) -> rule_node::Node {
    match node {
        Node::Compare { field, operator, value } => {
            let (text, number) = match value {
                Value::Text(text) => (text.clone(), 0),
                Value::Number(number) => (String::new(), *number),
            };
            let (field, operator) = (field.code().into(), operator.code().into());
            rule_node::Node::Compare(edge_v1::Compare { field, operator, text, number })
        }
        Node::InSet { field, set } => {
            rule_node::Node::InSet(edge_v1::InSet { field: field.code().into(), set: *set })
        }
        Node::InCidrs { set } => rule_node::Node::InCidrs(edge_v1::InCidrs { set: *set }),
        Node::And(operands) => rule_node::Node::And(*operands),
        Node::Or(operands) => rule_node::Node::Or(*operands),
        Node::Not => rule_node::Node::Not(true),
        Node::Constant(value) => rule_node::Node::Constant(*value),
    }
}

fn node_from_wire(node: &rule_node::Node) -> Option<Node> {
    match node {
        rule_node::Node::Compare(compare) => {
            let field = field(compare.field)?;
            let operator = u8::try_from(compare.operator).ok().and_then(Operator::from_code)?;
            let value = match field.kind() {
                FieldKind::Number if compare.text.is_empty() => Value::Number(compare.number),
                FieldKind::Text | FieldKind::Code if compare.number == 0 => Value::Text(compare.text.clone()),
                _ => return None,
            };
            Some(Node::Compare { field, operator, value })
        }
        rule_node::Node::InSet(in_set) => Some(Node::InSet { field: field(in_set.field)?, set: in_set.set }),
        rule_node::Node::InCidrs(in_cidrs) => Some(Node::InCidrs { set: in_cidrs.set }),
        rule_node::Node::And(operands) => Some(Node::And(*operands)),
        rule_node::Node::Or(operands) => Some(Node::Or(*operands)),
        rule_node::Node::Not(true) => Some(Node::Not),
        rule_node::Node::Not(false) => None,
        rule_node::Node::Constant(value) => Some(Node::Constant(*value)),
    }
}

fn field(code: u32) -> Option<Field> {
    u8::try_from(code).ok().and_then(Field::from_code)
}
