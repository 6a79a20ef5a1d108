use super::*;
use VerdictKind::{Block, Flag};

fn refusal(parts: RuleSetParts) -> String {
    match RuleSet::try_new(parts) {
        Ok(set) => panic!("accepted {set:?}"),
        Err(error) => error.full_message(),
    }
}

#[test]
fn a_bad_node_is_named() {
    let many = "true; ".repeat(MAX_NODES) + "true";
    let deep = "true; ".repeat(usize::try_from(MAX_DEPTH).unwrap()) + "true; and 33";
    let long = format!("os eq {}", "x".repeat(MAX_TEXT_BYTES + 1));
    let cases = [
        ("country lt CN", "node 0: `country` cannot be compared with `lt`"),
        ("true; user_agent ge x", "node 1: `user_agent` cannot be compared with `ge`"),
        ("hour contains 1", "node 0: `hour` cannot be compared with `contains`"),
        ("country eq China", "node 0: `China` is not a value of `country`; expected a two-letter"),
        ("country eq cn", "node 0: `cn` is not a value"),
        ("true; country eq 5", "node 1: `5` is not a value of `country`"),
        (
            "device eq phone",
            "node 0: `phone` is not a value of `device`; expected a device class: unknown, desktop",
        ),
        ("hit eq view", "expected click, conversion, impression or touch"),
        ("link eq off_00000001", "expected a link id"),
        ("hour eq noon", "expected an hour from 0 to 23"),
        ("hour eq 24", "`24` is not a value of `hour`"),
        ("hour eq -1", "`-1` is not a value of `hour`"),
        ("os eq 5", "`5` is not a value of `os`; expected a text"),
        ("weekday eq 0", "`0` is not a value of `weekday`; expected a day from 1 (Monday) to 7 (Sunday)"),
        ("local_weekday eq 8", "`8` is not a value of `local_weekday`"),
        ("local_hour eq 24", "`24` is not a value of `local_hour`; expected an hour from 0 to 23"),
        ("asn eq 0", "`0` is not a value of `asn`; expected the number of a network"),
        ("asn eq 4294967296", "`4294967296` is not a value of `asn`"),
        ("language eq EN", "`EN` is not a value of `language`; expected the primary tag"),
        ("language eq en-us", "`en-us` is not a value of `language`"),
        ("language eq e", "`e` is not a value of `language`"),
        ("language contains en", "`language` cannot be compared with `contains`"),
        ("os contains ''", "node 0: an empty text would match every hit"),
        (&long, "node 0: text is longer than 512 bytes"),
        ("os in 4", "node 0: there is no set number 4"),
        ("true; ip in 2", "node 1: there is no set number 2"),
        ("country in 0", "node 0: value \"ptn_00000003\" of set `partners` is not a value of `country`"),
        ("hour in 1", "node 0: value \"US\" of set `countries` is not a value of `hour`"),
        ("true; and 0", "node 1: `and` and `or` join at least one condition"),
        ("true; or 2", "node 1: needs 2 conditions before it, there are 1"),
        ("not", "node 0: needs 1 conditions before it, there are 0"),
        ("true; and 4294967295", "node 1: needs 4294967295 conditions"),
        (&deep, "node 32: nested too deeply: more than 32"),
        ("true; true", "leaves 2 conditions unjoined"),
        (&many, "has 65 nodes, at most 64"),
    ];
    for (expression, expected) in cases {
        let message = refusal(parts(vec![rule("fine", Flag, "true"), rule("bad", Block, expression)]));
        assert!(message.contains(expected), "{expression}\n  gave {message}\n  not  {expected}");
        assert!(message.contains("rule `bad`"), "{message}");
    }
}

#[test]
fn a_bad_set_of_rules_is_named() {
    let good = || parts(vec![rule("a", Block, "true")]);
    let with = |change: &dyn Fn(&mut RuleSetParts)| {
        let mut parts = good();
        change(&mut parts);
        refusal(parts)
    };
    let renamed = |id: &str| with(&|p| p.rules[0].id = id.to_owned());
    let values = vec!["x".to_owned(); MAX_SET_VALUES];
    let cases = [
        (with(&|p| p.version = 0), "version must be at least 1"),
        (with(&|p| p.rules[0].nodes.clear()), "rule `a`: is empty"),
        (
            with(&|p| p.rules.push(rule("a", Flag, "true"))),
            "position 1: id `a` is already used by the rule at position 0",
        ),
        (with(&|p| p.rules = vec![p.rules[0].clone(); MAX_RULES + 1]), "too many rules: 257, at most 256"),
        (with(&|p| p.cidr_sets = vec![p.cidr_sets[0].clone(); 61]), "too many sets: 65, at most 64"),
        (with(&|p| p.string_sets[0].values = values.clone()), "too many set values: 100013"),
        (with(&|p| p.string_sets[1].name = "partners".into()), "set `partners` is defined twice"),
        (with(&|p| p.cidr_sets[0].name = "partners".into()), "set `partners` is defined twice"),
        (with(&|p| p.cidr_sets[1].name = "No".into()), "set at position 1: name `No`"),
        (with(&|p| p.string_sets[2].values[1] = "y".repeat(513)), "set `browsers`, value 1: longer than"),
        (renamed(""), "rule at position 0: id ``"),
        (renamed("Über"), "id `Über` must be 1-64 characters"),
        (renamed(&"a".repeat(65)), "must be 1-64 characters"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "gave {message}\n  not {expected}");
    }
    assert!(RuleSet::try_new(good()).is_ok());
}

#[test]
fn a_rule_set_gives_its_parts_back() {
    let parts = parts(vec![rule("a", Block, "country eq CN; not")]);
    let set = RuleSet::try_new(parts.clone()).unwrap();
    assert_eq!((set.version(), set.parts()), (7, &parts));
    assert_eq!(set, RuleSet::try_new(parts.clone()).unwrap());
    assert_eq!(set.into_parts(), parts);
}
