//! Settlement: closing a period.

use super::auth::Tenant;
use super::body::Body;
use super::idempotency::RequiredKey;
use super::ids::Time;
use super::statements::{StatementView, statement_view};
use super::{Api, Reply};
use crate::app::close_once::{self, CloseRequest};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use utoipa::ToSchema;

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettlement {
    /// Everything credited up to then; now by default.
    through: Option<Time>,
}

/// A closed period.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Settlement)]
pub struct SettlementView {
    pub through: Time,
    /// One for each partner and currency with something to settle.
    pub statements: Vec<StatementView>,
}

/// Close a period
///
/// What was credited up to `through` becomes statements, and positive balances become payouts. With the same
/// `Idempotency-Key` and body, a retry closes the same period again and gives the same statements.
#[utoipa::path(post, path = "/v1/settlements", tag = "money", request_body = NewSettlement,
    params(("Idempotency-Key" = String, Header, description = "Your own; 1 to 128 visible ASCII characters")),
    responses((status = 201, description = "The statements of the period", body = SettlementView)))]
pub async fn close_period(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    RequiredKey(key): RequiredKey,
    Body(new): Body<NewSettlement>,
) -> Reply<(StatusCode, Json<SettlementView>)> {
    let request = CloseRequest { through: new.through.map(|time| time.0), idempotency_key: key };
    let closed = close_once::close(api.app(), tenant, &request).await?;
    let view = SettlementView {
        through: Time(closed.through),
        statements: closed
            .statements
            .iter()
            .map(|statement| statement_view(statement, closed.recorded_at))
            .collect(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}
