//! Rule sets to and from snapshot chunks. Numbers are checked here, meaning by [`RuleSet::try_new`].

use crate::edge_v1::{self, rule_node};
use proto_model::VerdictKind;
use proto_rules::{
    Cidr, CidrError, CidrSet, Field, FieldKind, Node, Operator, Rule, RuleError, RuleSet, RuleSetParts,
    StringSet, Value,
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleSetError {
    #[error("rule `{rule}` has action {action}, which this software does not know (upgrade it)")]
    Action { rule: String, action: u32 },
    #[error("rule `{rule}`, node {position}: unknown or malformed (is the control plane newer?)")]
    Node { rule: String, position: usize },
    #[error("set `{set}` holds something that is not a network")]
    Cidr {
        set: String,
        #[source]
        source: CidrError,
    },
    #[error("the rule set is not valid")]
    Rules(#[from] RuleError),
}

pub fn rule_set_to_wire(rules: &RuleSet) -> edge_v1::RuleSet {
    let parts = rules.parts();
    edge_v1::RuleSet {
        version: parts.version,
        rules: parts.rules.iter().map(rule_to_wire).collect(),
        string_sets: parts
            .string_sets
            .iter()
            .map(|set| edge_v1::StringSet { name: set.name.clone(), values: set.values.clone() })
            .collect(),
        cidr_sets: parts
            .cidr_sets
            .iter()
            .map(|set| edge_v1::CidrSet {
                name: set.name.clone(),
                cidrs: set.cidrs.iter().map(Cidr::to_string).collect(),
            })
            .collect(),
    }
}

fn rule_to_wire(rule: &Rule) -> edge_v1::Rule {
    let nodes = rule.nodes.iter().map(|node| edge_v1::RuleNode { node: Some(node_to_wire(node)) });
    edge_v1::Rule { id: rule.id.clone(), action: rule.action.code().into(), nodes: nodes.collect() }
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

pub fn rule_set_from_wire(rules: &edge_v1::RuleSet) -> Result<RuleSet, RuleSetError> {
    let string_sets =
        rules.string_sets.iter().map(|set| StringSet { name: set.name.clone(), values: set.values.clone() });
    Ok(RuleSet::try_new(RuleSetParts {
        version: rules.version,
        rules: rules.rules.iter().map(rule_from_wire).collect::<Result<_, _>>()?,
        string_sets: string_sets.collect(),
        cidr_sets: rules.cidr_sets.iter().map(cidr_set_from_wire).collect::<Result<_, _>>()?,
    })?)
}

fn rule_from_wire(rule: &edge_v1::Rule) -> Result<Rule, RuleSetError> {
    let action = u8::try_from(rule.action).ok().and_then(VerdictKind::from_code);
    let unknown = || RuleSetError::Action { rule: rule.id.clone(), action: rule.action };
    let nodes = rule.nodes.iter().enumerate().map(|(position, node)| {
        let malformed = || RuleSetError::Node { rule: rule.id.clone(), position };
        node.node.as_ref().and_then(node_from_wire).ok_or_else(malformed)
    });
    Ok(Rule {
        id: rule.id.clone(),
        action: action.ok_or_else(unknown)?,
        nodes: nodes.collect::<Result<_, _>>()?,
    })
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

fn cidr_set_from_wire(set: &edge_v1::CidrSet) -> Result<CidrSet, RuleSetError> {
    let cidrs = set
        .cidrs
        .iter()
        .map(|text| text.parse().map_err(|source| RuleSetError::Cidr { set: set.name.clone(), source }));
    Ok(CidrSet { name: set.name.clone(), cidrs: cidrs.collect::<Result<_, _>>()? })
}
