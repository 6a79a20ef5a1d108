//! Rule sets as JSON: what operators publish and what the database keeps. A condition is a readable tree
//! here; the evaluator wants postfix order over numbered sets, which [`RuleSetBody::lower`] makes.
//!
//! ```json
//! {"rules": [{"id": "block-cn-mobile", "action": "block", "when": {"all": [
//!     {"field": "country", "in": ["CN"]}, {"field": "device", "eq": "mobile"}]}}]}
//! ```

use proto_model::VerdictKind;
use proto_rules::{ExpressionError, Rule, RuleError, RuleSet, RuleSetParts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod lowering;

pub(crate) use lowering::Lowering;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleSetBody)]
pub struct RuleSetBody {
    /// In order; `allow` and `block` end the evaluation, the first `flag` is remembered.
    pub rules: Vec<RuleBody>,
    /// Lists that rules share by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetBody>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rule)]
pub struct RuleBody {
    /// Recorded with each hit that the rule decides; 1-64 of `a-z`, `0-9`, `_`, `-`.
    #[schema(example = "block-cn")]
    pub id: String,
    /// `allow`, `flag` or `block`.
    #[schema(example = "block")]
    pub action: String,
    pub when: Condition,
}

/// Either `values` (texts) or `networks` (for the field `ip`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleSetList)]
pub struct SetBody {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["203.0.113.0/24"]))]
    pub networks: Option<Vec<String>>,
}

/// Exactly one of `all`, `any`, `not`, `always`, or `field` with exactly one comparison.
///
/// Texts: `country`, `region`, `city`, `device`, `os`, `browser`, `language` (`en`), `connection` (`4g`),
/// `user_agent`, `referrer_host`, `link`, `offer`, `partner`, `advertiser`, `hit` (`click` or `conversion`).
/// Numbers: `asn`, `hour` and `weekday` (1 = Monday) in UTC, `local_hour` and `local_weekday` in the offer's time
/// zone. And `ip` (only `in`, `in_set`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RuleCondition, example = json!({"field": "country", "in": ["CN"]}))]
pub struct Condition {
    /// True when every part is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub all: Option<Vec<Condition>>,
    /// True when one part is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub any: Option<Vec<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub not: Option<Box<Condition>>,
    /// `true`: every hit; `false`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eq: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ne: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub le: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ge: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<Scalar>,
    /// One of these texts; for `ip`: inside one of these networks.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// The name of a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_set: Option<String>,
}

/// Text, or a whole number for a numeric field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RuleValue)]
pub enum Scalar {
    Number(i64),
    Text(String),
}

/// What is wrong, and where: a JSON pointer into the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct BodyError {
    pub pointer: String,
    pub message: String,
}

pub(crate) fn refuse(pointer: impl Into<String>, message: impl Into<String>) -> BodyError {
    BodyError { pointer: pointer.into(), message: message.into() }
}

impl RuleSetBody {
    /// The evaluator's form, checked; `version` is stamped on every verdict.
    pub fn lower(&self, version: u32) -> Result<RuleSet, BodyError> {
        let mut lowering = Lowering::default();
        for (index, set) in self.sets.iter().enumerate() {
            lowering.set(set, &format!("/sets/{index}"))?;
        }
        let mut rules = Vec::with_capacity(self.rules.len());
        let mut places = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let at = format!("/rules/{index}");
            let action = action_of(&rule.action, &at)?;
            let (nodes, places_of_nodes) = lowering.expression(&rule.when, &format!("{at}/when"))?;
            rules.push(Rule { id: rule.id.clone(), action, nodes });
            places.push(places_of_nodes);
        }
        let Lowering { string_sets, cidr_sets, .. } = lowering;
        let ids: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        RuleSet::try_new(RuleSetParts { version, rules, string_sets, cidr_sets })
            .map_err(|error| refuse(place_of(&error, &ids, &places), error.full_message()))
    }
}

fn action_of(text: &str, at: &str) -> Result<VerdictKind, BodyError> {
    VerdictKind::parse(text).ok_or_else(|| {
        let message = format!("`{text}` is not an action; use allow, flag or block");
        refuse(format!("{at}/action"), message)
    })
}

/// Where in the body an error of the evaluator's compiler belongs.
fn place_of(error: &RuleError, ids: &[String], places: &[Vec<String>]) -> String {
    let rule = |id: &String| ids.iter().position(|known| known == id);
    match error {
        RuleError::Condition { rule: id, problem: ExpressionError::Node { position, .. } } => rule(id)
            .and_then(|index| places.get(index)?.get(*position).cloned())
            .unwrap_or_else(|| "/rules".to_owned()),
        RuleError::RuleId { position, .. } | RuleError::DuplicateRule { position, .. } => {
            format!("/rules/{position}/id")
        }
        RuleError::Condition { rule: id, .. } => {
            rule(id).map_or_else(|| "/rules".to_owned(), |index| format!("/rules/{index}/when"))
        }
        RuleError::VersionZero | RuleError::TooManyRules { .. } => "/rules".to_owned(),
        RuleError::Sets(_) => "/sets".to_owned(),
    }
}

#[cfg(test)]
#[path = "rules_json_tests.rs"]
mod tests;
