//! Runs a rule set over one hit. Neither allocates nor fails.

use crate::compile::{Op, Program};
use crate::field::{Field, HitKind, Operator, pack_country};
use crate::rule_set::RuleSet;
use proto_model::time::{HOUR_US, UnixMicros};
use proto_model::{AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId, VerdictKind};
use std::net::IpAddr;

/// What is known of a hit when it is judged. Absent texts are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    pub country: Country,
    pub device: DeviceClass,
    pub os: &'a str,
    pub browser: &'a str,
    pub user_agent: &'a str,
    /// Lower case.
    pub referrer_host: &'a str,
    pub ip: IpAddr,
    pub link: Option<LinkId>,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub advertiser: Option<AdvertiserId>,
    pub hit: HitKind,
    pub at: UnixMicros,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict<'r> {
    pub kind: VerdictKind,
    /// The rule that decided; `None` when none matched.
    pub rule_id: Option<&'r str>,
    pub rule_set_version: u32,
}

/// Asks the rules in order. A match that blocks ends it. A match that allows ends it too, which is how
/// an exception is written: before the rules it is an exception to. The first match that flags is
/// remembered and the evaluation goes on, so that a later rule may still block; a flag once raised is
/// not taken back by a later allow.
pub fn evaluate<'r>(rule_set: &'r RuleSet, facts: &Facts<'_>) -> Verdict<'r> {
    let program = rule_set.program();
    let mut kind = VerdictKind::Allow;
    let mut rule_id = None;
    for (rule, source) in program.rules.iter().zip(&rule_set.parts().rules) {
        if !matches(program, &rule.ops, facts) {
            continue;
        }
        let flagged = kind == VerdictKind::Flag;
        match rule.action {
            VerdictKind::Flag if flagged => {}
            VerdictKind::Flag => (kind, rule_id) = (VerdictKind::Flag, Some(source.id.as_str())),
            VerdictKind::Allow if flagged => break,
            VerdictKind::Allow | VerdictKind::Block => {
                (kind, rule_id) = (rule.action, Some(source.id.as_str()));
                break;
            }
        }
    }
    Verdict { kind, rule_id, rule_set_version: rule_set.version() }
}

/// The stack is the low bits of a word, newest lowest: `compile` bounds its depth to 32.
fn matches(program: &Program, ops: &[Op], facts: &Facts<'_>) -> bool {
    let mut stack: u64 = 0;
    for op in ops {
        let value = match op {
            Op::Code { field, operator, value } => compare_code(*operator, code(*field, facts), *value),
            Op::Text { field, operator, value } => compare_text(*operator, text(*field, facts), value),
            Op::InCodes { field, set } => {
                let values = program.code_sets.get(*set);
                let code = code(*field, facts);
                values.zip(code).is_some_and(|(values, code)| values.binary_search(&code).is_ok())
            }
            Op::InTexts { field, set } => {
                let text = text(*field, facts);
                let holds = |values: &Vec<Box<str>>| values.binary_search_by(|v| (**v).cmp(text)).is_ok();
                program.text_sets.get(*set).is_some_and(holds)
            }
            Op::InNetworks { set } => program.networks.get(*set).is_some_and(|n| n.contains(facts.ip)),
            Op::And(count) => {
                let operands = (1 << count) - 1;
                let all = stack & operands == operands;
                stack >>= count;
                all
            }
            Op::Or(count) => {
                let operands = (1 << count) - 1;
                let any = stack & operands != 0;
                stack >>= count;
                any
            }
            Op::Not => {
                stack ^= 1;
                continue;
            }
            Op::Constant(value) => *value,
        };
        stack = stack << 1 | u64::from(value);
    }
    stack & 1 == 1
}

/// `None` when the hit has no such thing, e.g. a conversion without a click has no link.
fn code(field: Field, facts: &Facts<'_>) -> Option<u64> {
    match field {
        Field::Country => Some(pack_country(facts.country.bytes())),
        Field::Device => Some(u64::from(facts.device.code())),
        Field::Hit => Some(u64::from(facts.hit.code())),
        Field::Hour => u64::try_from(facts.at.0.div_euclid(HOUR_US).rem_euclid(24)).ok(),
        Field::Link => facts.link.map(LinkId::get),
        Field::Offer => facts.offer.map(OfferId::get),
        Field::Partner => facts.partner.map(PartnerId::get),
        Field::Advertiser => facts.advertiser.map(AdvertiserId::get),
        Field::Os | Field::Browser | Field::UserAgent | Field::ReferrerHost => None,
    }
}

fn text<'a>(field: Field, facts: &Facts<'a>) -> &'a str {
    match field {
        Field::Os => facts.os,
        Field::Browser => facts.browser,
        Field::UserAgent => facts.user_agent,
        Field::ReferrerHost => facts.referrer_host,
        Field::Country
        | Field::Device
        | Field::Link
        | Field::Offer
        | Field::Partner
        | Field::Advertiser
        | Field::Hit
        | Field::Hour => "",
    }
}

fn compare_code(operator: Operator, code: Option<u64>, value: u64) -> bool {
    let Some(code) = code else { return operator == Operator::Ne };
    match operator {
        Operator::Eq => code == value,
        Operator::Ne => code != value,
        Operator::Lt => code < value,
        Operator::Le => code <= value,
        Operator::Gt => code > value,
        Operator::Ge => code >= value,
        Operator::Contains | Operator::StartsWith => false,
    }
}

fn compare_text(operator: Operator, text: &str, value: &str) -> bool {
    match operator {
        Operator::Eq => text == value,
        Operator::Ne => text != value,
        Operator::Contains => text.contains(value),
        Operator::StartsWith => text.starts_with(value),
        Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => false,
    }
}
