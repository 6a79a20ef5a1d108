//! Rule sets survive the wire.

use proto_model::VerdictKind;
use proto_rules::{CidrSet, Field, Node, Operator, Rule, RuleSet, RuleSetParts, StringSet, Value};
use proto_wire::convert::{RuleSetError, rule_set_from_wire, rule_set_to_wire};
use proto_wire::edge_v1::{self, rule_node};

fn compare(field: Field, operator: Operator, text: &str) -> Node {
    Node::Compare { field, operator, value: Value::Text(text.into()) }
}

/// Each kind of node, field and operator once.
fn every_node() -> RuleSet {
    let nodes = vec![
        compare(Field::Country, Operator::Eq, "CN"),
        compare(Field::Device, Operator::Ne, "crawler"),
        compare(Field::UserAgent, Operator::Contains, "bot"),
        compare(Field::ReferrerHost, Operator::StartsWith, "shop."),
        Node::Or(2),
        Node::InSet { field: Field::Os, set: 0 },
        Node::InCidrs { set: 0 },
        Node::Not,
        Node::Constant(true),
        Node::And(6),
    ];
    let hours = [Operator::Lt, Operator::Le, Operator::Gt, Operator::Ge].map(|operator| Node::Compare {
        field: Field::Hour,
        operator,
        value: Value::Number(6),
    });
    let hours = hours.into_iter().chain([Node::Or(4)]).collect();
    RuleSet::try_new(RuleSetParts {
        version: 12,
        rules: vec![
            Rule { id: "first".into(), action: VerdictKind::Block, nodes },
            Rule { id: "night".into(), action: VerdictKind::Flag, nodes: hours },
            Rule { id: "rest".into(), action: VerdictKind::Allow, nodes: vec![Node::Constant(true)] },
        ],
        string_sets: vec![StringSet { name: "systems".into(), values: vec!["Linux".into(), "Haiku".into()] }],
        cidr_sets: vec![CidrSet {
            name: "office".into(),
            cidrs: ["203.0.113.0/24", "2001:db8::/32"].map(|cidr| cidr.parse().unwrap()).to_vec(),
        }],
    })
    .unwrap()
}

#[test]
fn a_rule_set_reads_back() {
    let rules = every_node();
    assert_eq!(rule_set_from_wire(&rule_set_to_wire(&rules)), Ok(rules));
}

#[test]
fn what_is_unknown_or_invalid_is_refused_by_place() {
    let node = |rule: &str, position| RuleSetError::Node { rule: rule.into(), position };
    type Change = fn(&mut edge_v1::RuleSet);
    fn set(rules: &mut edge_v1::RuleSet, position: usize, node: Option<rule_node::Node>) {
        rules.rules[0].nodes[position].node = node;
    }
    fn a_compare(field: u32, operator: u32, text: &str, number: i64) -> Option<rule_node::Node> {
        Some(rule_node::Node::Compare(edge_v1::Compare { field, operator, text: text.into(), number }))
    }
    let cases: [(Change, RuleSetError); 7] = [
        (|r| set(r, 0, None), node("first", 0)),
        (|r| set(r, 7, Some(rule_node::Node::Not(false))), node("first", 7)),
        (|r| set(r, 1, a_compare(99, 1, "x", 0)), node("first", 1)),
        (|r| set(r, 1, a_compare(1, 265, "CN", 0)), node("first", 1)),
        (|r| set(r, 1, a_compare(1, 1, "CN", 5)), node("first", 1)),
        (|r| set(r, 1, a_compare(12, 1, "6", 6)), node("first", 1)),
        (|r| r.rules[1].action = 3, RuleSetError::Action { rule: "night".into(), action: 3 }),
    ];
    for (change, error) in cases {
        let mut wire = rule_set_to_wire(&every_node());
        change(&mut wire);
        assert_eq!(rule_set_from_wire(&wire), Err(error));
    }
    let mut wire = rule_set_to_wire(&every_node());
    wire.cidr_sets[0].cidrs[0] = "203.0.113.7/24".into();
    assert!(matches!(rule_set_from_wire(&wire), Err(RuleSetError::Cidr { set, .. }) if set == "office"));
    wire.cidr_sets.clear();
    assert!(matches!(rule_set_from_wire(&wire), Err(RuleSetError::Rules(_))), "a set that is not there");
}
