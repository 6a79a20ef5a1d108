//! What every request goes through: an id, a span, a net under panics, security headers, and errors as
//! problems.

use super::problem::Problem;
use crate::app::clock;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use proto_model::DerivedId;
use std::any::Any;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Ours alone: a caller's id could be made to look like somebody else's in logs and explanations.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

pub async fn wrap(mut request: Request, next: Next) -> Response {
    let id = DerivedId(clock::random()).text("req");
    request.extensions_mut().insert(RequestId(id.clone()));
    // The route, not the path: paths hold ids of customers, queries hold tokens.
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", %id, method = %request.method(), route);
    let started = Instant::now();
    async {
        let response = next.run(request).await;
        let mut response = finish(response, &id);
        let micros = started.elapsed().as_micros();
        tracing::debug!(status = response.status().as_u16(), micros, "answered");
        secure(&mut response, &id);
        response
    }
    .instrument(span)
    .await
}

/// Error responses become problems, whoever made them.
fn finish(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.render(id);
    }
    let status = response.status();
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !(status.is_client_error() || status.is_server_error()) || is_page {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut rendered = Problem::of_status(status).render(id);
    if let Some(allow) = allow {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    rendered
}

fn secure(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    let defaults = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in defaults {
        // A page may have set a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// A panic is a bug of ours; the caller gets a problem and the process lives on.
pub fn caught(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::internal().into_response()
}
