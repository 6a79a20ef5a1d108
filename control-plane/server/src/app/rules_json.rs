//! Rule sets as JSON: what operators publish and what the database keeps. A condition is a readable tree
//! here; the evaluator wants postfix order over numbered sets, which [`RuleSetBody::lower`] makes.
//!
//! ```json
//! {"rules": [{"id": "block-cn-mobile", "action": "block", "when": {"all": [
//!     {"field": "country", "in": ["CN"]}, {"field": "device", "eq": "mobile"}]}}]}
//! ```

use proto_model::VerdictKind;
use proto_rules::{CidrSet, Field, Node, Operator, Rule, RuleError, RuleSet, RuleSetParts, StringSet, Value};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Deeper than a person reads, shallow enough to walk recursively.
const MAX_TREE_DEPTH: usize = 16;

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
/// Fields: `country`, `device`, `os`, `browser`, `user_agent`, `referrer_host`, `link`, `offer`, `partner`,
/// `advertiser`, `hit` (`click` or `conversion`), `hour` (UTC, a number) and `ip` (only `in`, `in_set`).
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

/// Text, or a whole number for `hour`.
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
pub struct RuleBodyError {
    pub pointer: String,
    pub message: String,
}

fn refuse(pointer: impl Into<String>, message: impl Into<String>) -> RuleBodyError {
    RuleBodyError { pointer: pointer.into(), message: message.into() }
}

impl RuleSetBody {
    /// The evaluator's form, checked; `version` is stamped on every verdict.
    pub fn lower(&self, version: u32) -> Result<RuleSet, RuleBodyError> {
        let mut lowering = Lowering::default();
        for (index, set) in self.sets.iter().enumerate() {
            lowering.set(set, &format!("/sets/{index}"))?;
        }
        let mut rules = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            rules.push(lowering.rule(rule, &format!("/rules/{index}"))?);
        }
        let Lowering { string_sets, cidr_sets, places, .. } = lowering;
        let ids: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        RuleSet::try_new(RuleSetParts { version, rules, string_sets, cidr_sets })
            .map_err(|error| refuse(place_of(&error, &ids, &places), error.full_message()))
    }
}

/// Where in the body an error of the evaluator's compiler belongs.
fn place_of(error: &RuleError, ids: &[String], places: &[Vec<String>]) -> String {
    let rule = |id: &String| ids.iter().position(|known| known == id);
    match error {
        RuleError::Node { rule: id, position, .. } => rule(id)
            .and_then(|index| places.get(index)?.get(*position).cloned())
            .unwrap_or_else(|| "/rules".to_owned()),
        RuleError::RuleId { position, .. } | RuleError::DuplicateRule { position, .. } => {
            format!("/rules/{position}/id")
        }
        RuleError::EmptyRule { rule: id }
        | RuleError::TooManyNodes { rule: id, .. }
        | RuleError::Unjoined { rule: id, .. } => {
            rule(id).map_or_else(|| "/rules".to_owned(), |index| format!("/rules/{index}/when"))
        }
        RuleError::VersionZero | RuleError::TooManyRules { .. } => "/rules".to_owned(),
        RuleError::TooManySets { .. }
        | RuleError::TooManyValues { .. }
        | RuleError::SetName { .. }
        | RuleError::DuplicateSet { .. }
        | RuleError::SetValueTooLong { .. }
        | RuleError::SetCidr { .. } => "/sets".to_owned(),
    }
}

#[derive(Default)]
struct Lowering {
    string_sets: Vec<StringSet>,
    cidr_sets: Vec<CidrSet>,
    /// Lists written in place; they become sets with made-up names.
    inline: usize,
    /// For each rule, the pointer of each of its nodes.
    places: Vec<Vec<String>>,
}

impl Lowering {
    fn set(&mut self, set: &SetBody, at: &str) -> Result<(), RuleBodyError> {
        if set.name.starts_with("inline-") {
            return Err(refuse(format!("{at}/name"), "names that start with `inline-` are reserved"));
        }
        let taken = self.string_sets.iter().map(|s| &s.name).chain(self.cidr_sets.iter().map(|s| &s.name));
        if taken.into_iter().any(|name| *name == set.name) {
            return Err(refuse(format!("{at}/name"), "another set has this name"));
        }
        match (&set.values, &set.networks) {
            (Some(values), None) => {
                self.string_sets.push(StringSet { name: set.name.clone(), values: values.clone() });
            }
            (None, Some(networks)) => {
                let cidrs = networks_of(networks, &format!("{at}/networks"))?;
                self.cidr_sets.push(CidrSet { name: set.name.clone(), cidrs });
            }
            _ => return Err(refuse(at, "give either `values` or `networks`")),
        }
        Ok(())
    }

    fn rule(&mut self, rule: &RuleBody, at: &str) -> Result<Rule, RuleBodyError> {
        let action = VerdictKind::parse(&rule.action).ok_or_else(|| {
            let message = format!("`{}` is not an action; use allow, flag or block", rule.action);
            refuse(format!("{at}/action"), message)
        })?;
        let mut nodes = Vec::new();
        self.places.push(Vec::new());
        self.condition(&rule.when, &mut nodes, &format!("{at}/when"), MAX_TREE_DEPTH)?;
        Ok(Rule { id: rule.id.clone(), action, nodes })
    }

    fn condition(
        &mut self,
        condition: &Condition,
        nodes: &mut Vec<Node>,
        at: &str,
        depth: usize,
    ) -> Result<(), RuleBodyError> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| refuse(at, "nested too deeply; use several rules or a set"))?;
        let (node, place) = match condition.shape(at)? {
            Shape::All(parts) => {
                (Node::And(self.parts(parts, nodes, &format!("{at}/all"), depth)?), at.to_owned())
            }
            Shape::Any(parts) => {
                (Node::Or(self.parts(parts, nodes, &format!("{at}/any"), depth)?), at.to_owned())
            }
            Shape::Not(part) => {
                self.condition(part, nodes, &format!("{at}/not"), depth)?;
                (Node::Not, at.to_owned())
            }
            Shape::Always(value) => (Node::Constant(value), at.to_owned()),
            Shape::Compare(field, operator, value) => {
                let value = match value {
                    Scalar::Text(text) => Value::Text(text.clone()),
                    Scalar::Number(number) => Value::Number(*number),
                };
                let field = field_of(field, at)?;
                (Node::Compare { field, operator, value }, format!("{at}/{}", operator.as_str()))
            }
            Shape::In(field, values) => (self.inline_set(field, values, at)?, format!("{at}/in")),
            Shape::InSet(field, name) => (self.named_set(field, name, at)?, format!("{at}/in_set")),
        };
        nodes.push(node);
        if let Some(places) = self.places.last_mut() {
            places.push(place);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        parts: &[Condition],
        nodes: &mut Vec<Node>,
        at: &str,
        depth: usize,
    ) -> Result<u32, RuleBodyError> {
        for (index, part) in parts.iter().enumerate() {
            self.condition(part, nodes, &format!("{at}/{index}"), depth)?;
        }
        u32::try_from(parts.len()).map_err(|_| refuse(at, "too many parts"))
    }

    fn inline_set(&mut self, field: &str, values: &[String], at: &str) -> Result<Node, RuleBodyError> {
        if values.is_empty() {
            return Err(refuse(format!("{at}/in"), "an empty list matches nothing; name at least one value"));
        }
        self.inline += 1;
        let name = format!("inline-{}", self.inline);
        if field == "ip" {
            let cidrs = networks_of(values, &format!("{at}/in"))?;
            self.cidr_sets.push(CidrSet { name, cidrs });
            return Ok(Node::InCidrs { set: last_index(self.cidr_sets.len()) });
        }
        let field = field_of(field, at)?;
        if let [value] = values {
            return Ok(Node::Compare { field, operator: Operator::Eq, value: typed(field, value) });
        }
        // Rules often repeat a list; the evaluator needs it once.
        let same = self.string_sets.iter().position(|set| set.values == values);
        let index = same.unwrap_or_else(|| {
            self.string_sets.push(StringSet { name, values: values.to_vec() });
            self.string_sets.len() - 1
        });
        Ok(Node::InSet { field, set: u32::try_from(index).unwrap_or(u32::MAX) })
    }

    fn named_set(&self, field: &str, name: &str, at: &str) -> Result<Node, RuleBodyError> {
        let unknown =
            |kind: &str| refuse(format!("{at}/in_set"), format!("there is no set of {kind} named `{name}`"));
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        if field == "ip" {
            let index = self.cidr_sets.iter().position(|set| set.name == name);
            return index.map(|i| Node::InCidrs { set: number(i) }).ok_or_else(|| unknown("networks"));
        }
        let field = field_of(field, at)?;
        let index = self.string_sets.iter().position(|set| set.name == name);
        index.map(|i| Node::InSet { field, set: number(i) }).ok_or_else(|| unknown("values"))
    }
}

/// A text in a list of a numeric field stands for its number.
fn typed(field: Field, text: &str) -> Value {
    match text.parse() {
        Ok(number) if field == Field::Hour => Value::Number(number),
        _ => Value::Text(text.to_owned()),
    }
}

fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}

fn networks_of(texts: &[String], at: &str) -> Result<Vec<proto_rules::Cidr>, RuleBodyError> {
    let read = |(index, text): (usize, &String)| {
        text.parse()
            .map_err(|error: proto_rules::CidrError| refuse(format!("{at}/{index}"), error.to_string()))
    };
    texts.iter().enumerate().map(read).collect()
}

fn field_of(text: &str, at: &str) -> Result<Field, RuleBodyError> {
    Field::parse(text).ok_or_else(|| {
        let known: Vec<_> = Field::ALL.iter().map(|field| field.as_str()).collect();
        let message = format!("`{text}` is not a field; use one of {}, ip", known.join(", "));
        refuse(format!("{at}/field"), message)
    })
}

/// A [`Condition`] that names exactly one thing.
enum Shape<'a> {
    All(&'a [Condition]),
    Any(&'a [Condition]),
    Not(&'a Condition),
    Always(bool),
    Compare(&'a str, Operator, &'a Scalar),
    In(&'a str, &'a [String]),
    InSet(&'a str, &'a str),
}

impl Condition {
    fn shape(&self, at: &str) -> Result<Shape<'_>, RuleBodyError> {
        let mut shapes = Vec::new();
        shapes.extend(self.all.as_deref().map(Shape::All));
        shapes.extend(self.any.as_deref().map(Shape::Any));
        shapes.extend(self.not.as_deref().map(Shape::Not));
        shapes.extend(self.always.map(Shape::Always));
        let joins = shapes.len();
        let field = self.field.as_deref();
        let name = field.unwrap_or_default();
        let comparisons = [
            (Operator::Eq, &self.eq),
            (Operator::Ne, &self.ne),
            (Operator::Lt, &self.lt),
            (Operator::Le, &self.le),
            (Operator::Gt, &self.gt),
            (Operator::Ge, &self.ge),
            (Operator::Contains, &self.contains),
            (Operator::StartsWith, &self.starts_with),
        ];
        for (operator, value) in comparisons {
            shapes.extend(value.as_ref().map(|value| Shape::Compare(name, operator, value)));
        }
        shapes.extend(self.one_of.as_deref().map(|values| Shape::In(name, values)));
        shapes.extend(self.in_set.as_deref().map(|set| Shape::InSet(name, set)));
        let right = match field {
            Some(_) => joins == 0,
            None => joins == 1,
        };
        match (shapes.pop(), shapes.is_empty() && right) {
            (Some(shape), true) => Ok(shape),
            _ => Err(refuse(
                at,
                "give exactly one of all, any, not, always, or a field with exactly one of eq, ne, lt, le, gt, ge, \
                 contains, starts_with, in, in_set",
            )),
        }
    }
}

#[cfg(test)]
#[path = "rules_json_tests.rs"]
mod tests;
