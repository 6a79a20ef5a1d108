//! Health. Public, so it names parts and states, never causes: those are in the log.

use super::Api;
use crate::app::health::Status;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `degraded` (works, but somebody should look) or `unavailable`.
    #[schema(example = "ok")]
    pub status: &'static str,
    pub version: &'static str,
    pub parts: Vec<PartHealth>,
}

#[derive(serde::Serialize, ToSchema)]
pub struct PartHealth {
    #[schema(example = "money")]
    pub part: &'static str,
    /// `starting`, `ok`, `degraded` or `failed`.
    #[schema(example = "ok")]
    pub status: &'static str,
}

#[derive(serde::Serialize, ToSchema)]
pub struct Probe {
    /// `ok` or `unavailable`.
    pub status: &'static str,
}

fn text(status: &Status) -> &'static str {
    match status {
        Status::Starting => "starting",
        Status::Ok => "ok",
        Status::Degraded(_) => "degraded",
        Status::Failed(_) => "failed",
    }
}

/// How the control plane is doing
#[utoipa::path(get, path = "/v1/health", tag = "health",
    responses((status = 200, description = "Overall and part by part", body = Health)))]
pub async fn health(State(api): State<Api>) -> Json<Health> {
    let parts = api.app().health.parts();
    let degraded = parts.iter().any(|(_, status)| matches!(status, Status::Degraded(_)));
    let status = match (api.app().health.is_ready(), degraded) {
        (false, _) => "unavailable",
        (true, true) => "degraded",
        (true, false) => "ok",
    };
    let parts = parts.iter().map(|(part, status)| PartHealth { part, status: text(status) }).collect();
    Json(Health { status, version: env!("CARGO_PKG_VERSION"), parts })
}

/// The process answers
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "It does", body = Probe)))]
pub async fn live() -> Json<Probe> {
    Json(Probe { status: "ok" })
}

/// Every part does its work
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Send traffic", body = Probe),
    (status = 503, description = "Not now", body = super::problem::ProblemBody,
        content_type = "application/problem+json")))]
pub async fn ready(State(api): State<Api>) -> Result<Json<Probe>, super::Problem> {
    if api.app().health.is_ready() {
        return Ok(Json(Probe { status: "ok" }));
    }
    let detail = "The control plane is starting or a part of it has failed; see /v1/health.";
    Err(super::Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
}
