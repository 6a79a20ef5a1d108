//! From published rules to what the evaluator runs.

use crate::error::RuleError;
use crate::expression::{Compiler, Op, Sets, is_name};
use crate::rule_set::{MAX_RULES, Rule, RuleSetParts};
use proto_model::VerdictKind;
use std::collections::BTreeMap;

/// Rules in order; `rules[i]` is the program of `parts.rules[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) rules: Vec<RuleProgram>,
    pub(crate) sets: Sets,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleProgram {
    pub(crate) action: VerdictKind,
    pub(crate) ops: Vec<Op>,
}

pub(crate) fn compile(parts: &RuleSetParts) -> Result<Program, RuleError> {
    if parts.version == 0 {
        return Err(RuleError::VersionZero);
    }
    if parts.rules.len() > MAX_RULES {
        return Err(RuleError::TooManyRules { count: parts.rules.len() });
    }
    check_rule_ids(&parts.rules)?;
    let mut compiler = Compiler::new(&parts.string_sets, &parts.cidr_sets)?;
    let mut rules = Vec::with_capacity(parts.rules.len());
    for rule in &parts.rules {
        let named = |problem| RuleError::Condition { rule: rule.id.clone(), problem };
        rules
            .push(RuleProgram { action: rule.action, ops: compiler.expression(&rule.nodes).map_err(named)? });
    }
    Ok(Program { rules, sets: compiler.finish() })
}

fn check_rule_ids(rules: &[Rule]) -> Result<(), RuleError> {
    let mut seen = BTreeMap::new();
    for (position, rule) in rules.iter().enumerate() {
        let id = rule.id.clone();
        if !is_name(&id) {
            return Err(RuleError::RuleId { position, id });
        }
        if let Some(earlier) = seen.insert(rule.id.as_str(), position) {
            return Err(RuleError::DuplicateRule { position, earlier, id });
        }
    }
    Ok(())
}
