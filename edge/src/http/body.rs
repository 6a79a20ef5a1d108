//! Bodies of requests: bounded in length and in time.

use super::worker::Hit;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use proto_model::Reason;
use std::time::Duration;

/// What a target takes.
#[derive(Clone, Copy)]
pub struct Kind {
    pub takes: fn(&HeaderMap) -> bool,
    /// In bytes.
    pub max: usize,
}

/// All of it within `limit`, or why not, with the status that says so.
pub async fn read<B>(
    hit: &Hit<'_>,
    body: B,
    kind: Kind,
    limit: Duration,
) -> Result<Bytes, (StatusCode, Reason)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const TOO_LARGE: (StatusCode, Reason) = (StatusCode::PAYLOAD_TOO_LARGE, Reason::BodyTooLarge);
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if !(kind.takes)(&hit.parts.headers) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::UnsupportedMediaType));
    }
    // Said before a byte of it is asked for.
    let announced = hit.parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|len| usize::try_from(len).unwrap_or(usize::MAX) > kind.max) {
        return Err(TOO_LARGE);
    }
    let body = std::pin::pin!(Limited::new(body, kind.max));
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, Reason::MalformedRequest)),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, Reason::RequestTimeout)),
    }
}
