//! `Idempotency-Key`: a retry with the same key and body acts once.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

const HEADER: &str = "idempotency-key";
const MAX_LEN: usize = 128;

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let fits = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        let detail = format!("Idempotency-Key must be 1 to {MAX_LEN} visible ASCII characters, once.");
        return Err(Problem::bad_request("invalid_idempotency_key", detail));
    }
    Ok(Some(text.to_owned()))
}

/// The key of a call that moves money.
pub struct RequiredKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for RequiredKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers)?.map(Self).ok_or_else(|| {
            let detail =
                "This call moves money: send an Idempotency-Key of your own, the same for each retry.";
            Problem::bad_request("idempotency_key_missing", detail)
        })
    }
}

/// Nothing or a well-formed key: for calls that a retry does not harm anyway.
pub struct OptionalKey;

impl<S: Send + Sync> FromRequestParts<S> for OptionalKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(|_| Self)
    }
}
