use super::*;
use proto_rules::{Field, Node, Operator, Value};

fn lower(json: &str) -> Result<RuleSet, String> {
    let body: RuleSetBody = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let written = serde_json::to_string(&body).unwrap();
    assert_eq!(serde_json::from_str::<RuleSetBody>(&written).unwrap(), body, "what is stored reads back");
    body.lower(3).map_err(|error| error.to_string())
}

fn compare(field: Field, operator: Operator, value: &str) -> Node {
    Node::Compare { field, operator, value: Value::Text(value.into()) }
}

#[test]
fn a_tree_becomes_postfix() {
    let set = lower(
        r#"{"rules":[{"id":"night-bots","action":"flag","when":{"all":[
            {"field":"hour","lt":6},
            {"not":{"field":"country","in_set":"home"}},
            {"any":[{"field":"ip","in":["203.0.113.0/24"]},{"field":"ip","in_set":"lab"},{"always":true}]},
            {"field":"country","in":["CN"]},
            {"field":"device","in":["mobile","tablet"]},
            {"field":"device","eq":"mobile"}]}}],
           "sets":[{"name":"home","values":["CN"]},{"name":"lab","networks":["198.51.100.0/24"]}]}"#,
    )
    .unwrap();
    assert_eq!(set.version(), 3);
    let expected = vec![
        Node::Compare { field: Field::Hour, operator: Operator::Lt, value: Value::Number(6) },
        Node::InSet { field: Field::Country, set: 0 },
        Node::Not,
        Node::InCidrs { set: 1 },
        Node::InCidrs { set: 0 },
        Node::Constant(true),
        Node::Or(3),
        compare(Field::Country, Operator::Eq, "CN"),
        Node::InSet { field: Field::Device, set: 1 },
        compare(Field::Device, Operator::Eq, "mobile"),
        Node::And(6),
    ];
    assert_eq!(set.parts().rules[0].nodes, expected);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let rule = |when: &str| format!(r#"{{"rules":[{{"id":"r","action":"block","when":{when}}}]}}"#);
    let deep = format!("{}{}{}", r#"{"not":"#.repeat(40), r#"{"always":true}"#, "}".repeat(40));
    let cases = [
        (rule(r#"{"field":"land","eq":"CN"}"#), "/rules/0/when/field: `land` is not a field"),
        (rule(r#"{"field":"country","eq":"China"}"#), "/rules/0/when/eq: "),
        (
            rule(r#"{"any":[{"always":true},{"field":"device","in":["mobil","tablet"]}]}"#),
            "/rules/0/when/any/1/in: ",
        ),
        (rule(r#"{"field":"country","in":[]}"#), "/rules/0/when/in: an empty list"),
        (rule(r#"{"field":"country","in_set":"x"}"#), "/rules/0/when/in_set: there is no set"),
        (rule(r#"{"field":"ip","in":["10.0.0.1/8"]}"#), "/rules/0/when/in/0: "),
        (rule(r#"{"field":"ip","eq":"10.0.0.1"}"#), "/rules/0/when/field: "),
        (rule(r#"{"all":[]}"#), "/rules/0/when: "),
        (rule("{}"), "exactly one"),
        (rule(r#"{"field":"country"}"#), "exactly one"),
        (rule(r#"{"eq":"CN"}"#), "exactly one"),
        (rule(r#"{"field":"country","eq":"CN","ne":"US"}"#), "exactly one"),
        (rule(r#"{"field":"country","eq":"CN","all":[]}"#), "exactly one"),
        (rule(r#"{"all":[],"any":[]}"#), "exactly one"),
        (rule(r#"{"sometimes":true}"#), "unknown field"),
        (rule(&deep), "nested too deeply"),
        (r#"{"rules":[{"id":"R!","action":"block","when":{"always":true}}]}"#.into(), "/rules/0/id: "),
        (r#"{"rules":[{"id":"r","action":"drop","when":{"always":true}}]}"#.into(), "/rules/0/action: "),
        (r#"{"rules":[],"sets":[{"name":"s","networks":["10.0.0.1/8"]}]}"#.into(), "/sets/0/networks/0: "),
        (r#"{"rules":[],"sets":[{"name":"s"}]}"#.into(), "/sets/0: "),
        (r#"{"rules":[],"extra":1}"#.into(), "unknown field"),
    ];
    for (json, expected) in cases {
        let error = lower(&json).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
