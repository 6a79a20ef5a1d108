//! What the commerce side tells us over the API about its orders.

use super::{App, clock};
use crate::error::AppError;
use control_plane_domain::intake::{Input, OrderEvent, OrderEventKind, ShardKey, Source};
use proto_model::{AdvertiserId, Amount, TenantId, UnixMicros};

#[derive(Clone, Debug)]
pub struct NewOrderEvent {
    pub advertiser: AdvertiserId,
    pub order_id: String,
    /// The sender's id of this event; a second one with the same id changes nothing.
    pub event_id: String,
    pub kind: OrderEventKind,
    pub amount: Option<Amount>,
    /// `None` = now.
    pub occurred_at: Option<UnixMicros>,
}

/// 1 to 128 bytes without control characters: what edges accept, too.
pub fn checked_text(field: &'static str, text: &str) -> Result<(), AppError> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err(AppError::invalid(field, "use 1 to 128 bytes, no control characters"));
    }
    Ok(())
}

pub fn checked_amount(amount: Option<Amount>) -> Result<(), AppError> {
    if amount.is_some_and(|amount| !(0..=proto_model::money::MAX_MINOR).contains(&amount.minor)) {
        return Err(AppError::invalid("amount", "use 0 to 10^15 minor units"));
    }
    Ok(())
}

/// Writes the event to the advertiser's intake and gives back its ordinal there. `request_id` is kept as
/// the source, for the explanation.
pub async fn record_order_event(
    app: &App,
    tenant: TenantId,
    event: NewOrderEvent,
    request_id: &str,
) -> Result<u64, AppError> {
    checked_text("order_id", &event.order_id)?;
    checked_text("event_id", &event.event_id)?;
    checked_amount(event.amount)?;
    app.store.get_advertiser(tenant, event.advertiser).await.map_err(AppError::of("advertiser"))?;
    let now = clock::now();
    let input = Input::OrderEvent(OrderEvent {
        order_id: event.order_id,
        event_id: event.event_id,
        kind: event.kind,
        amount: event.amount,
        occurred_at: event.occurred_at.unwrap_or(now),
        source: Source::Api(request_id.to_owned()),
    });
    let shard = ShardKey::advertiser(tenant, event.advertiser);
    Ok(app.store.append_intake(shard, &input, now).await?)
}
