//! The money engine: one input of a shard, in intake order, against the shard's state.

use crate::conversion;
pub use crate::error::DomainError;
use crate::intake::{Input, IntakeItem, ShardKey, Touch};
use crate::orders;
use crate::settle;
use crate::state::{Effect, Needs, ShardState};
use crate::step::Step;
use crate::terms::OfferTerms;
use crate::touches;
use proto_model::OfferId;
use std::collections::BTreeSet;

/// Decides what `item` brings about, and brings `state` to where it stands afterwards. The caller makes
/// the effects durable in their order; on an error it throws `state` away.
///
/// What was seen before changes no money: conversions are known by their key, order events by their id,
/// credits by theirs, statements by partner, currency and period.
pub fn apply(shard: ShardKey, state: &mut ShardState, item: &IntakeItem) -> Result<Vec<Effect>, DomainError> {
    let misrouted = DomainError::Misrouted { input: item.input.kind(), shard };
    // The head is taken out so that postings and the rest of the state can change side by side.
    let mut head = state.ledger;
    let mut step = Step::new(shard, item, &mut head);
    let order = match (&item.input, shard.advertiser) {
        (Input::Terms(terms), Some(_)) => {
            put_terms(&mut step, state, terms);
            None
        }
        (Input::Touch(touch), Some(_)) => {
            bind(&mut step, state, touch);
            None
        }
        (Input::Conversion(report), Some(advertiser)) => {
            Some(conversion::report(&mut step, state, advertiser, report)?)
        }
        (Input::OrderEvent(event), Some(advertiser)) => orders::event(&mut step, state, advertiser, event)?,
        (Input::HoldElapsed { order_id }, Some(advertiser)) => {
            orders::hold_elapsed(&mut step, state, advertiser, order_id)?
        }
        (Input::Settled(settled), Some(_)) => orders::settled(state, settled),
        (Input::PartnerCredit(credit), None) => {
            settle::credit(&mut step, state, credit)?;
            None
        }
        (Input::ClosePeriod { through }, None) => {
            settle::close(&mut step, state, *through)?;
            None
        }
        _ => return Err(misrouted),
    };
    let effects = step.finish(order);
    state.ledger = head;
    Ok(effects)
}

/// Which parts of the state `apply` may read or change for this input.
pub fn needs(input: &Input) -> Needs {
    let order = |order_id: &str| Needs { order_id: Some(order_id.to_owned()), ..Needs::default() };
    match input {
        Input::Terms(terms) => Needs { offers: [terms.offer].into(), ..Needs::default() },
        Input::Touch(touch) => Needs { customer: Some(touch.customer), ..Needs::default() },
        Input::Conversion(report) => Needs {
            customer: report.customer,
            offers: report.click.iter().map(|credit| credit.click.offer).collect(),
            ..order(&report.key.order_id)
        },
        Input::OrderEvent(event) => order(&event.order_id),
        Input::HoldElapsed { order_id } => order(order_id),
        Input::Settled(settled) => order(&settled.order_id),
        Input::PartnerCredit(credit) => Needs { credit: Some(credit.id), ..Needs::default() },
        Input::ClosePeriod { through } => {
            Needs { all_open_credits: true, statements_through: Some(*through), ..Needs::default() }
        }
    }
}

/// Of which offers it may read the terms besides, as the parts that [`needs`] names tell: beside the report's own click
/// the customer's touches compete, or those that an earlier report of this conversion met.
pub fn needs_more(input: &Input, found: &ShardState) -> BTreeSet<OfferId> {
    let Input::Conversion(report) = input else { return BTreeSet::new() };
    let bound = report.customer.and_then(|customer| found.touches.get(&customer));
    let bound = bound.map_or_else(Vec::new, |bound| touches::considered(bound));
    let order = found.orders.get(&report.key.order_id);
    let known = order.and_then(|order| order.conversions.get(&report.key));
    let met = known.into_iter().flat_map(|conversion| &conversion.decision.candidates);
    let clicks = bound.into_iter().map(|touch| &touch.click).chain(met.map(|candidate| &candidate.credit));
    clicks.map(|credit| credit.click.offer).collect()
}

/// A version that is known already stands as it is.
fn put_terms(step: &mut Step<'_>, state: &mut ShardState, terms: &OfferTerms) {
    let versions = state.terms.entry(terms.offer).or_default();
    if let Err(place) = versions.binary_search_by_key(&terms.version, |known| known.version) {
        versions.insert(place, terms.clone());
        step.effect(Effect::PutTerms(terms.clone()));
    }
}

fn bind(step: &mut Step<'_>, state: &mut ShardState, touch: &Touch) {
    let touches = state.touches.entry(touch.customer).or_default();
    if touches::takes(touches, touch) {
        touches.push(touch.clone());
        step.effect(Effect::PutTouch(touch.clone()));
    }
}
