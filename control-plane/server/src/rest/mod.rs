//! REST `/v1`: translates between HTTP and the use cases. Who may call what stands in [`policy`]; what an
//! error looks like in [`problem`]; what the API promises in `openapi.json`, which a test keeps true.

mod advertisers;
mod alerts;
mod api_keys;
mod attribution;
mod auth;
mod body;
mod click_caps;
mod clicks;
mod commissions;
mod conversions;
mod customers;
mod deployment;
mod domains;
mod edge_health;
mod edges;
mod envelope;
mod explain;
mod health;
mod hits;
mod idempotency;
pub mod ids;
mod journal;
mod ledger;
mod links;
mod metrics;
mod offers;
mod openapi;
mod order_events;
mod page;
mod partners;
pub mod policy;
mod postbacks;
pub(crate) mod problem;
mod programs;
mod reports;
mod rule_report;
mod rule_sets;
mod serve;
mod settlements;
mod signals;
mod statements;
mod tenants;
mod terms;
mod touches;

pub use openapi::openapi_json;
pub(crate) use serve::serve;

use crate::app::App;
use crate::live;
use axum::Json;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use control_plane_store::Store;
use http::{HeaderValue, StatusCode, header};
use page::{CursorKey, Slice};
use problem::{Problem, Reply};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// What handlers share.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    cursors: CursorKey,
}

impl Api {
    fn new(app: Arc<App>) -> Self {
        let cursors = CursorKey::new(&app.authority.api_mac("cursor", b""));
        Self(Arc::new(Inner { app, cursors }))
    }

    pub fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    pub fn store(&self) -> &Store {
        &self.0.app.store
    }

    /// Opens the page that a request asks for. `scope` must name the list, its owner and its filters.
    fn slice(&self, scope: String, limit: Option<u32>, cursor: Option<&str>) -> Result<Slice<'_>, Problem> {
        Slice::open(&self.0.cursors, scope, limit, cursor)
    }
}

/// Limit and cursor of a list without filters.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Tells `null` (`Some(None)`) from absent (`None`).
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// 201, where the new thing stands, and what it is.
pub struct Created<T>(pub String, pub T);

impl<T: serde::Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.1)).into_response();
        if let Ok(location) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// The whole HTTP surface of the control plane: the API and the live page.
pub fn router(app: Arc<App>) -> Router {
    let api = Api::new(Arc::clone(&app));
    let (routes, _) = openapi::routes().split_for_parts();
    routes
        .route_layer(from_fn_with_state(api.clone(), policy::enforce))
        .with_state(api)
        .merge(live::router(app))
        .fallback(async || Problem::of_status(StatusCode::NOT_FOUND))
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
        .layer(CatchPanicLayer::custom(envelope::caught))
        .layer(from_fn(envelope::wrap))
}
