//! What happens to an order on its way: events, and the passing of its hold.

use crate::error::DomainError;
use crate::intake::{ConversionKey, OrderEvent, OrderEventKind, Settled};
use crate::journey::is_usable;
use crate::lifecycle;
use crate::order::{Conflict, Conversion, Order, OrderEventRecord};
use crate::reason;
use crate::state::ShardState;
use crate::step::Step;
use proto_model::AdvertiserId;
use proto_model::event::Authority;

/// Gives the id of the order when it changed.
pub(crate) fn event(
    step: &mut Step<'_>,
    state: &mut ShardState,
    advertiser: AdvertiserId,
    event: &OrderEvent,
) -> Result<Option<String>, DomainError> {
    let known = state.orders.get(&event.order_id).is_some_and(|order| order.knows(&event.event_id));
    if known {
        return Ok(None);
    }
    let order = state.orders.entry(event.order_id.clone()).or_default();
    order.order_id.clone_from(&event.order_id);
    let record = OrderEventRecord {
        event_id: event.event_id.clone(),
        kind: event.kind,
        amount: event.amount,
        occurred_at: event.occurred_at,
        source: event.source.clone(),
        ordinal: step.ordinal,
    };
    for conversion in order.conversions.values_mut() {
        note_unusable(conversion, &record);
    }
    order.events.push(record);
    lifecycle::refresh(step, advertiser, order, &[])?;
    Ok(Some(event.order_id.clone()))
}

/// The job says that time is up; the clock of the intake decides. An order that is unknown or not due is
/// left alone.
pub(crate) fn hold_elapsed(
    step: &mut Step<'_>,
    state: &mut ShardState,
    advertiser: AdvertiserId,
    order_id: &str,
) -> Result<Option<String>, DomainError> {
    let Some(order) = state.orders.get_mut(order_id) else { return Ok(None) };
    let changed = lifecycle::refresh(step, advertiser, order, &[])?;
    Ok(changed.then(|| order_id.to_owned()))
}

/// A commission stands on a statement now.
pub(crate) fn settled(state: &mut ShardState, settled: &Settled) -> Option<String> {
    let order = state.orders.get_mut(&settled.order_id)?;
    let mut commissions = order.conversions.values_mut().flat_map(|c| c.commissions.values_mut());
    let commission = commissions.find(|commission| commission.id == settled.commission)?;
    if commission.statement == Some(settled.statement) {
        return None;
    }
    commission.statement = Some(settled.statement);
    Some(settled.order_id.clone())
}

impl Order {
    fn knows(&self, event_id: &str) -> bool {
        self.events.iter().any(|event| event.event_id == event_id)
    }
}

/// Keeps visible which amounts of the order's events do not count for this conversion.
pub(crate) fn note_unusable_amounts(order: &mut Order, key: &ConversionKey) {
    let Some(conversion) = order.conversions.get_mut(key) else { return };
    for record in &order.events {
        note_unusable(conversion, record);
    }
}

fn note_unusable(conversion: &mut Conversion, record: &OrderEventRecord) {
    let Some(amount) = record.amount else { return };
    // These only fill a gap, so that another currency contradicts nothing.
    let fills = matches!(record.kind, OrderEventKind::Placed | OrderEventKind::Paid);
    let differs = conversion.amount.is_some_and(|believed| believed.currency != amount.currency);
    let reason = match () {
        () if !is_usable(amount) => reason::INVALID_AMOUNT,
        () if differs && !fills => reason::CURRENCY_DIFFERS,
        () => return,
    };
    conversion.conflict(Conflict {
        authority: Authority::Signed,
        amount: record.amount,
        click: None,
        source: record.source.clone(),
        ordinal: record.ordinal,
        reason,
    });
}
