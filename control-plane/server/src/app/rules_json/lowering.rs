//! A readable tree becomes postfix order over numbered sets.

use super::{BodyError, Condition, Scalar, SetBody, refuse};
use proto_rules::{CidrSet, Field, FieldKind, Node, Operator, StringSet, Value};

/// Deeper than a person reads, shallow enough to walk recursively.
const MAX_TREE_DEPTH: usize = 16;

#[derive(Default)]
pub(crate) struct Lowering {
    pub(crate) string_sets: Vec<StringSet>,
    pub(crate) cidr_sets: Vec<CidrSet>,
    /// Lists written in place; they become sets with made-up names.
    inline: usize,
    /// Of the condition in hand, the pointer of each of its nodes.
    places: Vec<String>,
}

impl Lowering {
    pub(crate) fn set(&mut self, set: &SetBody, at: &str) -> Result<(), BodyError> {
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

    /// The nodes of a condition, and the pointer of each.
    pub(crate) fn expression(
        &mut self,
        condition: &Condition,
        at: &str,
    ) -> Result<(Vec<Node>, Vec<String>), BodyError> {
        let mut nodes = Vec::new();
        self.places.clear();
        self.condition(condition, &mut nodes, at, MAX_TREE_DEPTH)?;
        Ok((nodes, std::mem::take(&mut self.places)))
    }

    fn condition(
        &mut self,
        condition: &Condition,
        nodes: &mut Vec<Node>,
        at: &str,
        depth: usize,
    ) -> Result<(), BodyError> {
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
        self.places.push(place);
        Ok(())
    }

    fn parts(
        &mut self,
        parts: &[Condition],
        nodes: &mut Vec<Node>,
        at: &str,
        depth: usize,
    ) -> Result<u32, BodyError> {
        for (index, part) in parts.iter().enumerate() {
            self.condition(part, nodes, &format!("{at}/{index}"), depth)?;
        }
        u32::try_from(parts.len()).map_err(|_| refuse(at, "too many parts"))
    }

    fn inline_set(&mut self, field: &str, values: &[String], at: &str) -> Result<Node, BodyError> {
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

    fn named_set(&self, field: &str, name: &str, at: &str) -> Result<Node, BodyError> {
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
        Ok(number) if field.kind() == FieldKind::Number => Value::Number(number),
        _ => Value::Text(text.to_owned()),
    }
}

fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}

fn networks_of(texts: &[String], at: &str) -> Result<Vec<proto_rules::Cidr>, BodyError> {
    let read = |(index, text): (usize, &String)| {
        text.parse()
            .map_err(|error: proto_rules::CidrError| refuse(format!("{at}/{index}"), error.to_string()))
    };
    texts.iter().enumerate().map(read).collect()
}

fn field_of(text: &str, at: &str) -> Result<Field, BodyError> {
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
    fn shape(&self, at: &str) -> Result<Shape<'_>, BodyError> {
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
