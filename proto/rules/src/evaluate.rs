//! Runs a rule set over one hit. Neither allocates nor fails.

use crate::expression::{Op, Sets};
use crate::facts::{Codes, Facts};
use crate::field::{Field, Operator};
use crate::rule_set::RuleSet;
use proto_model::VerdictKind;

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
    let mut run = Run::new(&rule_set.program().sets, facts);
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
pub(crate) struct Run<'a> {
    sets: &'a Sets,
    facts: &'a Facts<'a>,
    codes: Codes,
    in_codes: Memo,
    in_networks: Memo,
}

impl<'a> Run<'a> {
    pub(crate) fn new(sets: &'a Sets, facts: &'a Facts<'a>) -> Self {
        let (in_codes, in_networks) = (Memo::default(), Memo::default());
        Self { sets, facts, codes: Codes::of(facts), in_codes, in_networks }
    }

    /// The stack is the low bits of a word, newest lowest: `compile` bounds its depth to 32.
    pub(crate) fn matches(&mut self, ops: &[Op]) -> bool {
        let mut stack: u64 = 0;
        for op in ops {
            let value = match op {
                Op::Code { field, operator, value } => {
                    compare_code(*operator, self.codes.get(*field), *value)
                }
                Op::Text { field, operator, value } => {
                    compare_text(*operator, self.facts.text(*field), value)
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
        let values = self.sets.codes.get(set);
        self.in_codes.recall(set, || values.is_some_and(|values| values.binary_search(&code).is_ok()))
    }

    fn in_texts(&self, field: Field, set: usize) -> bool {
        let text = self.facts.text(field);
        let holds = |values: &Vec<Box<str>>| values.binary_search_by(|value| (**value).cmp(text)).is_ok();
        self.sets.texts.get(set).is_some_and(holds)
    }

    fn in_networks(&mut self, set: usize) -> bool {
        let networks = self.sets.networks.get(set);
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

fn compare_code(operator: Operator, code: u64, value: u64) -> bool {
    match operator {
        Operator::Eq => code == value,
        Operator::Ne => code != value,
        Operator::Lt => code < value,
        Operator::Le => code <= value,
        // What is absent is above nothing.
        Operator::Gt => code > value && code != Codes::ABSENT,
        Operator::Ge => code >= value && code != Codes::ABSENT,
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
