//! The live page: one server-rendered look at clicks, conversions, money and edges, for the operator who
//! has followed a one-time login link. It reads only; whatever changes something is the API.

mod language;
mod page;
mod view;
mod why;

use crate::app::{App, keys};
use crate::rest::problem::Problem;
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use language::Words;
use std::sync::Arc;

const COOKIE: &str = "tributary_session";
const STYLE: &str = include_str!("../../templates/live.css");
/// Nothing but our own stylesheet: no script at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Lenient, unlike the API: people edit addresses by hand.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub struct Asked {
    lang: Option<String>,
    tenant: Option<String>,
    refresh: Option<String>,
    token: Option<String>,
}

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(live))
        .route("/live.css", get(style))
        .route("/login", get(login))
        .route("/login/{token}", get(login_by_path))
        .route("/logout", post(logout))
        .with_state(app)
}

async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, STYLE)
}

async fn live(State(app): State<Arc<App>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let words = Words::choose(asked.lang.as_deref(), &headers);
    let signed_in = cookie(&headers).is_some_and(|token| keys::session_is_valid(&app, token));
    if !signed_in {
        return sign_in(words, false);
    }
    match view::build(&app, words, &asked).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn login(
    State(app): State<Arc<App>>,
    method: Method,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let token = asked.token.clone().unwrap_or_default();
    redeem(&app, &method, &token, &asked, &headers)
}

async fn login_by_path(
    State(app): State<Arc<App>>,
    method: Method,
    Path(token): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    redeem(&app, &method, &token, &asked, &headers)
}

fn redeem(app: &App, method: &Method, token: &str, asked: &Asked, headers: &HeaderMap) -> Response {
    let words = Words::choose(asked.lang.as_deref(), headers);
    // A preview asks with HEAD; it must not use the link up.
    let session = (*method == Method::GET).then(|| keys::redeem_login(app, token));
    match session {
        Some(Ok(session)) => {
            (StatusCode::SEE_OTHER, set_cookie(&session, None), Redirect::to("/")).into_response()
        }
        Some(Err(_)) => sign_in(words, !token.is_empty()),
        None => sign_in(words, false),
    }
}

async fn logout() -> impl IntoResponse {
    (set_cookie("", Some(0)), Redirect::to("/"))
}

/// Without `Max-Age` it lives as long as the browser; the session inside has its own end.
fn set_cookie(value: &str, max_age: Option<u32>) -> [(HeaderName, String); 1] {
    let age = max_age.map(|secs| format!("; Max-Age={secs}")).unwrap_or_default();
    [(header::SET_COOKIE, format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{age}"))]
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn sign_in(words: Words, refused: bool) -> Response {
    render(StatusCode::UNAUTHORIZED, &page::LoginPage { w: words, refused })
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::VARY, HeaderValue::from_static("accept-language, cookie")),
    ];
    (status, headers, Html(html)).into_response()
}
