//! Reading request bodies and queries strictly: unknown keys, repeated keys and wrong types are errors that
//! name their place.

use super::problem::{FieldError, Problem};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Segment;
use std::collections::HashSet;
use std::fmt;

/// The largest request body.
pub const MAX_BODY: usize = 1 << 20;

/// A JSON body of exactly the shape `T`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::of_status(rejection.status()))?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    ["application/json", "application/merge-patch+json"].iter().any(|kind| essence.eq_ignore_ascii_case(kind))
}

/// Reads `bytes` as a `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // The first pass finds what typed reading may miss: repeated keys anywhere, and text after the value.
    serde_json::from_slice::<NoRepeats>(bytes).map_err(|error| {
        Problem::bad_request("invalid_json", format!("The body is not valid JSON: {error}."))
    })?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let text = error.into_inner().to_string();
        let message = text.split(" at line ").next().unwrap_or_default();
        Problem::invalid(vec![FieldError::new(pointer, code_of(message), message)])
    })
}

fn code_of(message: &str) -> &'static str {
    let known = [
        ("unknown field", "unknown_field"),
        ("missing field", "missing_field"),
        ("unknown variant", "unknown_value"),
        ("invalid type", "invalid_type"),
    ];
    known.iter().find(|(start, _)| message.starts_with(start)).map_or("invalid_value", |(_, code)| code)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

/// Any JSON in which no object names a key twice; two readers could disagree on such an object.
struct NoRepeats;

impl<'de> serde::Deserialize<'de> for NoRepeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoRepeats)
    }
}

impl<'de> Visitor<'de> for NoRepeats {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Self>()?;
            if !seen.insert(key) {
                return Err(A::Error::custom("an object names the same key twice"));
            }
        }
        Ok(self)
    }
}

/// A query string of exactly the shape `T` (which must deny unknown fields).
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // No text that we keep has one, and PostgreSQL would not even compare with it.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::bad_request("invalid_query", "The query string holds a NUL character."));
        }
        Query::<T>::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let detail = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, why)| why);
            Problem::bad_request("invalid_query", format!("The query string is not understood: {detail}."))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        name: String,
        inner: Option<Vec<Shape>>,
    }

    #[test]
    fn wrong_bodies_name_their_place() {
        let deep = "[".repeat(10_000);
        let cases: &[(&str, &str, &str)] = &[
            (r#"{"name":"a","nome":1}"#, "invalid_request", "/nome unknown_field"),
            (
                r#"{"name":"a","inner":[{"name":"b"},{"name":7}]}"#,
                "invalid_request",
                "/inner/1/name invalid_type",
            ),
            (r#"{"inner":[]}"#, "invalid_request", " missing_field"),
            (r#"{"name":"a","name":"b"}"#, "invalid_json", ""),
            (r#"{"name":"a"} x"#, "invalid_json", ""),
            ("", "invalid_json", ""),
            ("\u{feff}{}", "invalid_json", ""),
            (&deep, "invalid_json", ""),
        ];
        for (text, code, place) in cases {
            let problem = parse::<Shape>(text.as_bytes()).unwrap_err();
            let found: Vec<_> = problem.errors.iter().map(|e| format!("{} {}", e.pointer, e.code)).collect();
            assert_eq!((problem.code, found.join(",").as_str()), (*code, *place), "{:.60}", text);
        }
        assert_eq!(parse::<Shape>(br#"{"name":"a"}"#).unwrap(), Shape { name: "a".into(), inner: None });
    }
}
