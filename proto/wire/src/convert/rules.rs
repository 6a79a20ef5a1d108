//! Rule sets to and from snapshot chunks. Numbers are checked here, meaning by [`RuleSet::try_new`].

use super::conditions::{
    BadNetwork, cidr_sets_from_wire, cidr_sets_to_wire, nodes_from_wire, nodes_to_wire,
    string_sets_from_wire, string_sets_to_wire,
};
use crate::edge_v1;
use proto_model::VerdictKind;
use proto_rules::{CidrError, Rule, RuleError, RuleSet, RuleSetParts};

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

impl From<BadNetwork> for RuleSetError {
    fn from(BadNetwork { set, source }: BadNetwork) -> Self {
        Self::Cidr { set, source }
    }
}

pub fn rule_set_to_wire(rules: &RuleSet) -> edge_v1::RuleSet {
    let parts = rules.parts();
    edge_v1::RuleSet {
        version: parts.version,
        rules: parts.rules.iter().map(rule_to_wire).collect(),
        string_sets: string_sets_to_wire(&parts.string_sets),
        cidr_sets: cidr_sets_to_wire(&parts.cidr_sets),
    }
}

fn rule_to_wire(rule: &Rule) -> edge_v1::Rule {
    edge_v1::Rule {
        id: rule.id.clone(),
        action: rule.action.code().into(),
        nodes: nodes_to_wire(&rule.nodes),
    }
}

pub fn rule_set_from_wire(rules: &edge_v1::RuleSet) -> Result<RuleSet, RuleSetError> {
    Ok(RuleSet::try_new(RuleSetParts {
        version: rules.version,
        rules: rules.rules.iter().map(rule_from_wire).collect::<Result<_, _>>()?,
        string_sets: string_sets_from_wire(&rules.string_sets),
        cidr_sets: cidr_sets_from_wire(&rules.cidr_sets)?,
    })?)
}

fn rule_from_wire(rule: &edge_v1::Rule) -> Result<Rule, RuleSetError> {
    let action = u8::try_from(rule.action).ok().and_then(VerdictKind::from_code);
    let unknown = || RuleSetError::Action { rule: rule.id.clone(), action: rule.action };
    let malformed = |position| RuleSetError::Node { rule: rule.id.clone(), position };
    Ok(Rule {
        id: rule.id.clone(),
        action: action.ok_or_else(unknown)?,
        nodes: nodes_from_wire(&rule.nodes).map_err(malformed)?,
    })
}
