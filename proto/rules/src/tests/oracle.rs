//! The evaluator against a slow one that walks a tree, compares texts and scans lists.

use super::networks::any_cidr;
use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Clone, Debug)]
enum Tree {
    Leaf(Node),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

fn lower(tree: &Tree, out: &mut Vec<Node>) {
    match tree {
        Tree::Leaf(node) => out.push(node.clone()),
        Tree::Not(inner) => {
            lower(inner, out);
            out.push(Node::Not);
        }
        Tree::And(all) | Tree::Or(all) => {
            all.iter().for_each(|one| lower(one, out));
            let count = u32::try_from(all.len()).unwrap();
            out.push(if matches!(tree, Tree::And(_)) { Node::And(count) } else { Node::Or(count) });
        }
    }
}

fn field_text(field: Field, facts: &Facts<'_>) -> Option<String> {
    match field {
        Field::Country => Some(facts.country.code().to_owned()),
        Field::Device => Some(facts.device.as_str().to_owned()),
        Field::Os => Some(facts.os.to_owned()),
        Field::Browser => Some(facts.browser.to_owned()),
        Field::UserAgent => Some(facts.user_agent.to_owned()),
        Field::ReferrerHost => Some(facts.referrer_host.to_owned()),
        Field::Link => facts.link.map(|id| id.to_string()),
        Field::Offer => facts.offer.map(|id| id.to_string()),
        Field::Partner => facts.partner.map(|id| id.to_string()),
        Field::Advertiser => facts.advertiser.map(|id| id.to_string()),
        Field::Hit => Some(facts.hit.as_str().to_owned()),
        Field::Region => Some(facts.region.to_owned()),
        Field::City => Some(facts.city.to_owned()),
        Field::Language => Some(facts.language.to_owned()).filter(|tag| !tag.is_empty()),
        Field::Connection => Some(facts.connection.to_owned()),
        Field::Hour | Field::Asn | Field::Weekday | Field::LocalHour | Field::LocalWeekday => {
            number(field, facts).map(|number| number.to_string())
        }
    }
}

/// Counts from Thursday, 1970-01-01; the facts of these tests are never before that.
fn number(field: Field, facts: &Facts<'_>) -> Option<i64> {
    let secs = facts.at.0 / 1_000_000;
    let local = secs + i64::from(facts.utc_offset_secs);
    let weekday = |secs: i64| [4, 5, 6, 7, 1, 2, 3][usize::try_from(secs / 86_400 % 7).unwrap()];
    match field {
        Field::Hour => Some(secs / 3_600 % 24),
        Field::LocalHour => Some(local / 3_600 % 24),
        Field::Weekday => Some(weekday(secs)),
        Field::LocalWeekday => Some(weekday(local)),
        Field::Asn => facts.asn.map(i64::from),
        _ => unreachable!(),
    }
}

fn slow_leaf(node: &Node, parts: &RuleSetParts, facts: &Facts<'_>) -> bool {
    match node {
        Node::Compare { field, operator, value: Value::Number(value) } => {
            let number = number(*field, facts);
            match operator {
                Operator::Eq => number == Some(*value),
                Operator::Ne => number != Some(*value),
                Operator::Lt => number.is_some_and(|number| number < *value),
                Operator::Le => number.is_some_and(|number| number <= *value),
                Operator::Gt => number.is_some_and(|number| number > *value),
                Operator::Ge => number.is_some_and(|number| number >= *value),
                _ => unreachable!(),
            }
        }
        Node::Compare { field, operator, value: Value::Text(value) } => {
            let text = field_text(*field, facts);
            match operator {
                Operator::Eq => text.as_ref() == Some(value),
                Operator::Ne => text.as_ref() != Some(value),
                Operator::Contains => text.unwrap().contains(value.as_str()),
                Operator::StartsWith => text.unwrap().starts_with(value.as_str()),
                _ => unreachable!(),
            }
        }
        Node::InSet { field, set } => {
            let text = field_text(*field, facts);
            parts.string_sets[*set as usize].values.iter().any(|value| Some(value) == text.as_ref())
        }
        Node::InCidrs { set } => {
            parts.cidr_sets[*set as usize].cidrs.iter().any(|cidr| cidr.contains(facts.ip))
        }
        Node::Constant(value) => *value,
        Node::And(_) | Node::Or(_) | Node::Not => unreachable!(),
    }
}

fn slow(tree: &Tree, parts: &RuleSetParts, facts: &Facts<'_>) -> bool {
    match tree {
        Tree::Leaf(node) => slow_leaf(node, parts, facts),
        Tree::And(all) => all.iter().all(|one| slow(one, parts, facts)),
        Tree::Or(any) => any.iter().any(|one| slow(one, parts, facts)),
        Tree::Not(inner) => !slow(inner, parts, facts),
    }
}

fn slow_verdict(trees: &[(VerdictKind, Tree)], parts: &RuleSetParts, facts: &Facts<'_>) -> VerdictKind {
    let mut flagged = false;
    for (action, tree) in trees {
        if slow(tree, parts, facts) {
            match action {
                VerdictKind::Block => return VerdictKind::Block,
                VerdictKind::Flag => flagged = true,
                VerdictKind::Allow => break,
            }
        }
    }
    if flagged { VerdictKind::Flag } else { VerdictKind::Allow }
}

const TEXTS: &[&str] = &["", "a", "ab", "b", "bot", "abot", "中文"];

/// A value of `field` that hits have as well, and often.
fn value_of(field: Field, pick: usize) -> String {
    let id = |prefix: &str| format!("{prefix}_0000000{}", pick % 3 + 1);
    let at = |list: &[&str]| list[pick % list.len()].to_owned();
    match field {
        Field::Country => at(&["CN", "US", "ZZ"]),
        Field::Device => at(&["mobile", "desktop", "unknown"]),
        Field::Hit => at(&["click", "conversion"]),
        Field::Link => id("lnk"),
        Field::Offer => id("off"),
        Field::Partner => id("ptn"),
        Field::Advertiser => id("adv"),
        Field::Hour | Field::LocalHour => (pick % 24).to_string(),
        Field::Weekday | Field::LocalWeekday => (pick % 7 + 1).to_string(),
        Field::Asn => (pick % 4 + 1).to_string(),
        Field::Language => at(&["en", "zh", "yue"]),
        Field::Os
        | Field::Browser
        | Field::UserAgent
        | Field::ReferrerHost
        | Field::Region
        | Field::City
        | Field::Connection => at(TEXTS),
    }
}

fn any_field() -> impl Strategy<Value = Field> {
    prop::sample::select(Field::ALL)
}

fn any_compare() -> impl Strategy<Value = Node> {
    let operator = prop::sample::select(Operator::ALL);
    let parts = (any_field(), operator, 0usize..100);
    parts.prop_filter_map("a comparison that is refused", |(field, operator, pick)| {
        let text = value_of(field, pick);
        let searches = matches!(operator, Operator::Contains | Operator::StartsWith);
        if !operator.fits(field.kind()) || (searches && text.is_empty()) {
            return None;
        }
        let value = match field.kind() {
            FieldKind::Number => Value::Number(text.parse().unwrap()),
            FieldKind::Text | FieldKind::Code => Value::Text(text),
        };
        Some(Node::Compare { field, operator, value })
    })
}

/// Set `n` holds values of the n-th field.
fn any_leaf() -> impl Strategy<Value = Node> {
    prop_oneof![
        6 => any_compare(),
        3 => (0..Field::ALL.len()).prop_map(|at| Node::InSet { field: Field::ALL[at], set: u32::try_from(at).unwrap() }),
        2 => (0u32..2).prop_map(|set| Node::InCidrs { set }),
        1 => any::<bool>().prop_map(Node::Constant),
    ]
}

fn any_tree() -> impl Strategy<Value = Tree> {
    any_leaf().prop_map(Tree::Leaf).prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::Or),
            inner.prop_map(|tree| Tree::Not(Box::new(tree))),
        ]
    })
}

prop_compose! {
    fn any_facts()(
        picks in prop::collection::vec(0usize..100, Field::ALL.len()), has in any::<[bool; 6]>(), ip in any::<u32>(),
        network in any_cidr(), at in 100_000_000_000i64..100_000_000_000_000, from_network: bool,
        utc_offset_secs in -50_400i32..=50_400,
    ) -> Facts<'static> {
        let value = |field: Field| value_of(field, picks[usize::from(field.code()) - 1]);
        let text = |field: Field| TEXTS[picks[usize::from(field.code()) - 1] % TEXTS.len()];
        Facts {
            country: Country::parse(&value(Field::Country)),
            device: DeviceClass::parse(&value(Field::Device)).unwrap(),
            region: text(Field::Region), city: text(Field::City), connection: text(Field::Connection),
            asn: value(Field::Asn).parse().ok().filter(|_| has[4]),
            language: if has[5] { ["en", "zh", "yue"][picks[usize::from(Field::Language.code()) - 1] % 3] } else { "" },
            os: text(Field::Os), browser: text(Field::Browser),
            user_agent: text(Field::UserAgent), referrer_host: text(Field::ReferrerHost),
            ip: if from_network { network.address() } else { IpAddr::V4(Ipv4Addr::from_bits(ip)) },
            link: value(Field::Link).parse().ok().filter(|_| has[0]),
            offer: value(Field::Offer).parse().ok().filter(|_| has[1]),
            partner: value(Field::Partner).parse().ok().filter(|_| has[2]),
            advertiser: value(Field::Advertiser).parse().ok().filter(|_| has[3]),
            hit: HitKind::parse(&value(Field::Hit)).unwrap(),
            at: UnixMicros(at),
            utc_offset_secs,
        }
    }
}

prop_compose! {
    fn any_rules()(
        trees in prop::collection::vec((prop::sample::select(VerdictKind::ALL), any_tree()), 0..6),
        picks in prop::collection::vec(prop::collection::vec(0usize..100, 0..3), Field::ALL.len()),
        cidrs in prop::collection::vec(prop::collection::vec(any_cidr(), 0..5), 2),
    ) -> (Vec<(VerdictKind, Tree)>, RuleSetParts) {
        let rules = trees.iter().enumerate().map(|(at, (action, tree))| {
            let mut nodes = Vec::new();
            lower(tree, &mut nodes);
            Rule { id: format!("r{at}"), action: *action, nodes }
        });
        let values = |at: usize| picks[at].iter().map(|pick| value_of(Field::ALL[at], *pick)).collect();
        let parts = RuleSetParts {
            version: 1,
            rules: rules.collect(),
            string_sets: (0..picks.len()).map(|at| StringSet { name: format!("s{at}"), values: values(at) }).collect(),
            cidr_sets: cidrs.iter().enumerate().map(|(at, c)| CidrSet { name: format!("c{at}"), cidrs: c.clone() }).collect(),
        };
        (trees, parts)
    }
}

proptest! {
    #[test]
    fn agrees_with_the_slow_evaluator((trees, parts) in any_rules(), hits in prop::collection::vec(any_facts(), 1..6)) {
        let set = RuleSet::try_new(parts.clone()).map_err(|e| TestCaseError::fail(e.full_message()))?;
        for facts in &hits {
            let verdict = evaluate(&set, facts);
            prop_assert_eq!(verdict.kind, slow_verdict(&trees, &parts, facts), "{:?} on {:?}", trees, facts);
        }
    }

    #[test]
    fn any_nodes_are_refused_or_run(
        nodes in prop::collection::vec(prop_oneof![
            3 => any_leaf(),
            1 => (any_field(), prop::sample::select(Operator::ALL), ".{0,3}").prop_map(|(field, operator, text)|
                Node::Compare { field, operator, value: Value::Text(text) }),
            1 => any::<i64>().prop_map(|n| Node::Compare { field: Field::Hour, operator: Operator::Le, value: Value::Number(n) }),
            1 => (0u32..40).prop_map(Node::And),
            1 => any::<u32>().prop_map(Node::Or),
            1 => Just(Node::Not),
        ], 0..70),
        facts in any_facts(),
    ) {
        let mut parts = parts(Vec::new());
        parts.rules.push(Rule { id: "any".into(), action: VerdictKind::Block, nodes });
        if let Ok(set) = RuleSet::try_new(parts) {
            evaluate(&set, &facts);
        }
    }
}
