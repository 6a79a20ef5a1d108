//! Order events: what happened to an order on its way to the customer.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::envelope::RequestId;
use super::explain::SourceView;
use super::idempotency::OptionalKey;
use super::ids::{AdvertiserRef, AmountView, Id, Time};
use super::page::List;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::orders::{self, NewOrderEvent};
use axum::Json;
use axum::extract::State;
use control_plane_domain::intake::OrderEventKind;
use control_plane_store::order_events::OrderEventRow;
use http::StatusCode;
use utoipa::{IntoParams, ToSchema};

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

/// One event as it was taken.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = RecordedOrderEvent)]
pub struct OrderEventView {
    pub advertiser_id: AdvertiserRef,
    pub intake_ordinal: u64,
    pub order_id: String,
    pub event_id: String,
    #[schema(example = "delivered")]
    pub kind: &'static str,
    pub amount: Option<AmountView>,
    pub occurred_at: Time,
    pub recorded_at: Time,
    pub source: SourceView,
}

impl From<OrderEventRow> for OrderEventView {
    fn from(row: OrderEventRow) -> Self {
        Self {
            advertiser_id: Id(row.advertiser),
            intake_ordinal: row.ordinal,
            order_id: row.event.order_id,
            event_id: row.event.event_id,
            kind: row.event.kind.as_str(),
            amount: row.event.amount.map(AmountView::from),
            occurred_at: Time(row.event.occurred_at),
            recorded_at: Time(row.recorded_at),
            source: (&row.event.source).into(),
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderEventQuery {
    order_id: String,
    advertiser_id: Option<AdvertiserRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the events of an order
///
/// As they were taken: also one that came again and changed nothing.
#[utoipa::path(get, path = "/v1/order-events", tag = "tracking", params(OrderEventQuery),
    responses((status = 200, description = "A page, by advertiser, oldest first", body = List<OrderEventView>)))]
pub async fn list_order_events(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<OrderEventQuery>,
) -> Reply<Json<List<OrderEventView>>> {
    let advertiser = query.advertiser_id.map(|id| id.0);
    let scope = format!("{tenant} order-events {advertiser:?} {:?}", query.order_id);
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let (order_id, limit) = (&query.order_id, slice.limit + 1);
    let rows = api.store().list_order_events(tenant, order_id, advertiser, slice.skip(), limit).await?;
    Ok(Json(slice.skipped(rows).map(OrderEventView::from)))
}
