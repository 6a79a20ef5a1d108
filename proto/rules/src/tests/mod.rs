//! Shared by the tests: a small notation for rule sets and a hit to judge.

mod cases;
mod chains;
mod choices;
mod networks;
mod oracle;
mod refusals;

use crate::*;
use proto_model::time::HOUR_US;
use proto_model::{AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId, UnixMicros, VerdictKind};

/// A phone in Shenzhen that clicks on a Friday at 22:30 UTC, which is 6:30 on Saturday there.
fn click() -> Facts<'static> {
    Facts {
        country: Country::parse("CN"),
        region: "Guangdong",
        city: "Shenzhen",
        asn: Some(4134),
        device: DeviceClass::Mobile,
        os: "Android",
        browser: "Chrome",
        language: "zh",
        connection: "4g",
        user_agent: "Mozilla/5.0 (Linux; Android 15) Chrome/140",
        referrer_host: "blog.example.com",
        ip: "203.0.113.7".parse().unwrap(),
        link: LinkId::new(1),
        offer: OfferId::new(2),
        partner: PartnerId::new(3),
        advertiser: AdvertiserId::new(4),
        hit: HitKind::Click,
        at: UnixMicros(20_000 * 24 * HOUR_US + 22 * HOUR_US + HOUR_US / 2),
        utc_offset_secs: 8 * 3_600,
    }
}

/// `country eq CN; hour ge 22; and 2` in postfix order; `partner in 0` is string set 0, `ip in 0` is
/// network set 0; `''` is the empty text.
fn nodes(text: &str) -> Vec<Node> {
    text.split(';').map(|step| node(step.trim())).collect()
}

fn node(step: &str) -> Node {
    let words: Vec<&str> = step.splitn(3, ' ').collect();
    match words[..] {
        ["and", count] => Node::And(count.parse().unwrap()),
        ["or", count] => Node::Or(count.parse().unwrap()),
        ["not"] => Node::Not,
        ["true"] => Node::Constant(true),
        ["false"] => Node::Constant(false),
        ["ip", "in", set] => Node::InCidrs { set: set.parse().unwrap() },
        [field, "in", set] => Node::InSet { field: Field::parse(field).unwrap(), set: set.parse().unwrap() },
        [field, operator, value] => Node::Compare {
            field: Field::parse(field).unwrap(),
            operator: Operator::parse(operator).unwrap(),
            value: match value.parse() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Text(value.trim_matches('\'').to_owned()),
            },
        },
        _ => panic!("cannot read {step:?}"),
    }
}

fn rule(id: &str, action: VerdictKind, expression: &str) -> Rule {
    Rule { id: id.to_owned(), action, nodes: nodes(expression) }
}

fn string_set(name: &str, values: &[&str]) -> StringSet {
    StringSet { name: name.to_owned(), values: values.iter().map(|v| (*v).to_owned()).collect() }
}

fn cidr_set(name: &str, cidrs: &[&str]) -> CidrSet {
    CidrSet { name: name.to_owned(), cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect() }
}

/// Sets that the cases refer to by number.
fn parts(rules: Vec<Rule>) -> RuleSetParts {
    RuleSetParts {
        version: 7,
        rules,
        string_sets: vec![
            string_set("partners", &["ptn_00000003", "ptn_00000009", "ptn_00000003"]),
            string_set("countries", &["US", "CN", "ZZ"]),
            string_set("browsers", &["curl", "", "Chrome"]),
            string_set("night", &["22", "23", "0"]),
        ],
        cidr_sets: vec![
            cidr_set("doc", &["198.51.100.0/24", "203.0.113.0/25", "2001:db8::/32"]),
            cidr_set("everything", &["0.0.0.0/0"]),
        ],
    }
}
