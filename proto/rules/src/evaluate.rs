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
    let mut run = Run::new(rule_set.program(), facts);
    let mut kind = VerdictKind::Allow;
    let mut rule_id = None;
    for (rule, source) in rule_set.program().rules.iter().zip(&rule_set.parts().rules) {
        if !run.matches(&rule.ops) {
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

/// One evaluation: the facts, and what was found out about them so far.
struct Run<'a> {
    program: &'a Program,
    facts: &'a Facts<'a>,
    codes: Codes,
    in_codes: Memo,
    in_networks: Memo,
}

impl<'a> Run<'a> {
    fn new(program: &'a Program, facts: &'a Facts<'a>) -> Self {
        let (in_codes, in_networks) = (Memo::default(), Memo::default());
        Self { program, facts, codes: Codes::of(facts), in_codes, in_networks }
    }

    /// The stack is the low bits of a word, newest lowest: `compile` bounds its depth to 32.
    fn matches(&mut self, ops: &[Op]) -> bool {
        let mut stack: u64 = 0;
        for op in ops {
            let value = match op {
                Op::Code { field, operator, value } => {
                    compare_code(*operator, self.codes.get(*field), *value)
                }
                Op::Text { field, operator, value } => {
                    compare_text(*operator, text(*field, self.facts), value)
                }
                Op::InCodes { field, set } => self.in_codes(*field, *set),
                Op::InTexts { field, set } => self.in_texts(*field, *set),
                Op::InNetworks { set } => self.in_networks(*set),
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

    fn in_codes(&mut self, field: Field, set: usize) -> bool {
        let code = self.codes.get(field);
        let values = self.program.code_sets.get(set);
        self.in_codes.recall(set, || values.is_some_and(|values| values.binary_search(&code).is_ok()))
    }

    fn in_texts(&self, field: Field, set: usize) -> bool {
        let text = text(field, self.facts);
        let holds = |values: &Vec<Box<str>>| values.binary_search_by(|value| (**value).cmp(text)).is_ok();
        self.program.text_sets.get(set).is_some_and(holds)
    }

    fn in_networks(&mut self, set: usize) -> bool {
        let networks = self.program.networks.get(set);
        self.in_networks.recall(set, || networks.is_some_and(|networks| networks.contains(self.facts.ip)))
    }
}

/// Rules share sets, and searching a large one is the dearest step: each is searched once for a hit.
#[derive(Default)]
struct Memo {
    known: u64,
    held: u64,
}

impl Memo {
    /// Answers question `number` from memory, or finds out. From 64 on nothing is remembered.
    fn recall(&mut self, number: usize, find_out: impl FnOnce() -> bool) -> bool {
        let Some(bit) = u32::try_from(number).ok().and_then(|n| 1u64.checked_shl(n)) else {
            return find_out();
        };
        if self.known & bit == 0 {
            self.known |= bit;
            self.held |= if find_out() { bit } else { 0 };
        }
        self.held & bit != 0
    }
}

/// What fields with codes hold, by field; found once for all rules.
struct Codes([u64; Field::ALL.len() + 1]);

impl Codes {
    /// A conversion without a click has no link, say. Ids have 40 bits, so that this equals no value.
    const ABSENT: u64 = u64::MAX;

    fn of(facts: &Facts<'_>) -> Self {
        let hour = facts.at.0.div_euclid(HOUR_US).rem_euclid(24);
        let known = [
            (Field::Country, Some(pack_country(facts.country.bytes()))),
            (Field::Device, Some(u64::from(facts.device.code()))),
            (Field::Hit, Some(u64::from(facts.hit.code()))),
            (Field::Hour, u64::try_from(hour).ok()),
            (Field::Link, facts.link.map(LinkId::get)),
            (Field::Offer, facts.offer.map(OfferId::get)),
            (Field::Partner, facts.partner.map(PartnerId::get)),
            (Field::Advertiser, facts.advertiser.map(AdvertiserId::get)),
        ];
        let mut codes = [Self::ABSENT; Field::ALL.len() + 1];
        for (field, code) in known {
            codes[usize::from(field.code())] = code.unwrap_or(Self::ABSENT);
        }
        Self(codes)
    }

    fn get(&self, field: Field) -> u64 {
        self.0[usize::from(field.code())]
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

fn compare_code(operator: Operator, code: u64, value: u64) -> bool {
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
