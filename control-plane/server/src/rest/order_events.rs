//! Order events: what happened to an order on its way to the customer.

use super::auth::Tenant;
use super::body::Body;
use super::envelope::RequestId;
use super::idempotency::OptionalKey;
use super::ids::{AdvertiserRef, AmountView, Time};
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::orders::{self, NewOrderEvent};
use axum::Json;
use axum::extract::State;
use control_plane_domain::intake::OrderEventKind;
use http::StatusCode;
use utoipa::ToSchema;

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrderEvent)]
pub struct OrderEventBody {
    advertiser_id: AdvertiserRef,
    order_id: String,
    /// Your id of this event: a second one with the same id changes nothing.
    event_id: String,
    /// `placed`, `amended`, `paid`, `partially_delivered`, `delivered`, `returned`, `refunded`, `cancelled`,
    /// `charged_back` or `chargeback_won`.
    #[schema(example = "delivered")]
    kind: String,
    /// `amended`: the new order amount. `refunded`, `returned`: the part that went back; absent = all of it.
    amount: Option<AmountView>,
    /// Now by default.
    occurred_at: Option<Time>,
}

#[derive(serde::Serialize, ToSchema)]
pub struct OrderEventAccepted {
    /// `accepted`: it will be applied in the order of the advertiser's intake.
    pub status: &'static str,
    pub intake_ordinal: u64,
}

/// Report what happened to an order
#[utoipa::path(post, path = "/v1/order-events", tag = "tracking", request_body = OrderEventBody,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 128 visible ASCII characters; `event_id` already makes a retry harmless")),
    responses((status = 202, description = "Written to the intake", body = OrderEventAccepted)))]
pub async fn report_order_event(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    RequestId(request_id): RequestId,
    // Checked only: the event id makes a retry harmless.
    _: OptionalKey,
    Body(body): Body<OrderEventBody>,
) -> Reply<(StatusCode, Json<OrderEventAccepted>)> {
    let kind = OrderEventKind::parse(&body.kind).ok_or_else(|| {
        let known: Vec<_> = OrderEventKind::ALL.iter().map(|(_, name)| *name).collect();
        Problem::invalid_field("/kind", "unknown_value", format!("expected one of {}", known.join(", ")))
    })?;
    let event = NewOrderEvent {
        advertiser: body.advertiser_id.0,
        order_id: body.order_id,
        event_id: body.event_id,
        kind,
        amount: body.amount.map(|amount| amount.read("/amount")).transpose()?,
        occurred_at: body.occurred_at.map(|time| time.0),
    };
    let intake_ordinal = orders::record_order_event(api.app(), tenant, event, &request_id).await?;
    Ok((StatusCode::ACCEPTED, Json(OrderEventAccepted { status: "accepted", intake_ordinal })))
}
