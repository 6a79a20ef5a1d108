//! A commission's life: pending, approved, undone. Where it should stand is a function of the order, not
//! of the sequence in which things were heard; the ledger is then moved there.

use crate::commission::{Worth, worth};
use crate::error::DomainError;
use crate::journey::Journey;
use crate::notify;
use crate::order::{Arithmetic, Commission, CommissionStatus, Conversion, ConversionStatus, Order, Part};
use crate::posting::{Goal, Mover};
use crate::reason;
use crate::shares::{Standing, split, standings};
use crate::step::Step;
use crate::terms::Plan;
use proto_model::event::Authority;
use proto_model::{AdvertiserId, Amount, Currency, DerivedId, UnixMicros};
use std::collections::BTreeMap;

/// What a commission should be now with all of the credit, and why.
struct Target {
    goal: Goal,
    reason: &'static str,
    hold_until: Option<UnixMicros>,
    arithmetic: Option<Arithmetic>,
}

/// Brings every commission of the order to where it should stand. `anew` became a partner's in this very step. Says
/// whether anything changed.
pub(crate) fn refresh(
    step: &mut Step<'_>,
    advertiser: AdvertiserId,
    order: &mut Order,
    anew: &[DerivedId],
) -> Result<bool, DomainError> {
    let journey = Journey::of(&order.events);
    let standings = standings(order, &journey);
    let mut changed = false;
    for (conversion, standing) in order.conversions.values_mut().zip(standings) {
        let mut mover = Mover { step: &mut *step, advertiser, order_id: &order.order_id };
        if refresh_one(&mut mover, conversion, &standing, journey.delivered, anew)? {
            conversion.last_ordinal = step.ordinal;
            changed = true;
        }
    }
    Ok(changed)
}

fn refresh_one(
    mover: &mut Mover<'_, '_>,
    conversion: &mut Conversion,
    standing: &Standing,
    delivered: bool,
    anew: &[DerivedId],
) -> Result<bool, DomainError> {
    let mut commissions = std::mem::take(&mut conversion.commissions);
    let shares = shares(&commissions);
    let mut changed = false;
    for (place, commission) in commissions.values_mut().enumerate() {
        let before = commission.clone();
        let part = |whole: Amount| part_of(whole, &shares, place);
        let target = target(conversion, commission, standing, delivered, mover.step.now);
        let goal = target.goal.map(part);
        mover.move_to(commission, goal)?;
        if let (Goal::Undone, Some(left)) = (goal, target.arithmetic) {
            commission.amount = Amount::new(0, left.result().currency);
        }
        commission.hold_until = target.hold_until;
        commission.arithmetic = target.arithmetic;
        if before.status != commission.status || commission.status != CommissionStatus::Approved {
            commission.reason = target.reason;
        }
        announce(mover, &before, commission, anew.contains(&commission.id));
        changed |= *commission != before;
    }
    conversion.commissions = commissions;
    Ok(changed)
}

/// How the credit is shared out among the commissions of a conversion, in their order.
pub(crate) fn shares(commissions: &BTreeMap<Part, Commission>) -> Vec<i64> {
    commissions.values().map(|commission| i64::from(commission.share)).collect()
}

/// What falls to the one at this place of what it would be worth with all of the credit. Where all have the same terms,
/// the parts add up to what one alone would have.
pub(crate) fn part_of(whole: Amount, shares: &[i64], place: usize) -> Amount {
    let minor = split(i128::from(whole.minor), shares).get(place).copied().unwrap_or_default();
    Amount::new(minor, whole.currency)
}

fn target(
    conversion: &Conversion,
    commission: &Commission,
    standing: &Standing,
    delivered: bool,
    now: UnixMicros,
) -> Target {
    let undone = |reason, arithmetic| Target { goal: Goal::Undone, reason, hold_until: None, arithmetic };
    if conversion.status == ConversionStatus::Unattributed || commission.share == 0 {
        return undone(reason::NOT_CREDITED, None);
    }
    let arithmetic = match (standing.gone, worth(&commission.plan, standing.net)) {
        (Some(why), found) => return undone(why, nothing_left(commission, found)),
        (None, Worth::OutOfRange) => return undone(reason::COMMISSION_OUT_OF_RANGE, None),
        (None, Worth::AwaitingAmount) => {
            return Target {
                goal: Goal::Pending(Amount::new(0, Currency::NONE)),
                reason: reason::AWAITING_AMOUNT,
                hold_until: None,
                arithmetic: None,
            };
        }
        (None, Worth::Known(arithmetic)) => arithmetic,
    };
    let worth = arithmetic.result();
    let waits = |reason, hold_until| Target {
        goal: Goal::Pending(worth),
        reason,
        hold_until,
        arithmetic: Some(arithmetic),
    };
    if commission.approved_at.is_none() && !is_confirmed(conversion, commission, standing) {
        return waits(reason::AWAITING_CONFIRMATION, None);
    }
    match release(conversion, commission, delivered, now) {
        Ok(reason) => {
            Target { goal: Goal::Approved(worth), reason, hold_until: None, arithmetic: Some(arithmetic) }
        }
        Err((reason, until)) => waits(reason, until),
    }
}

/// The arithmetic of a commission of which nothing is left.
fn nothing_left(commission: &Commission, found: Worth) -> Option<Arithmetic> {
    match (&commission.plan, found) {
        (Plan::Flat(amount), _) => Some(Arithmetic::Flat { result: Amount::new(0, amount.currency) }),
        (_, Worth::Known(arithmetic)) => Some(arithmetic),
        _ => None,
    }
}

/// Whether somebody better than a browser stands behind the conversion, and, where the commission is a
/// part of it, behind its amount.
fn is_confirmed(conversion: &Conversion, commission: &Commission, standing: &Standing) -> bool {
    let amount_is_sure = match commission.plan {
        Plan::Flat(_) => true,
        Plan::Percentage(_) => standing.basis >= Some(Authority::TokenPostback),
    };
    commission.trust_pixel || (conversion.authority >= Authority::TokenPostback && amount_is_sure)
}

/// Why a confirmed commission is released, or what it waits for and until when at most. What was once
/// approved is not held again.
fn release(
    conversion: &Conversion,
    commission: &Commission,
    delivered: bool,
    now: UnixMicros,
) -> Result<&'static str, (&'static str, Option<UnixMicros>)> {
    let hold = commission.hold;
    let until = hold.days.map(|days| conversion.occurred_at.plus_days(days));
    if !hold.until_delivered && hold.days.is_none() {
        return Ok(reason::NO_HOLD);
    }
    if hold.until_delivered && delivered {
        return Ok(reason::DELIVERED);
    }
    if until.is_some_and(|until| now >= until) || commission.approved_at.is_some() {
        return Ok(reason::HOLD_ELAPSED);
    }
    Err((if hold.until_delivered { reason::AWAITING_DELIVERY } else { reason::AWAITING_HOLD }, until))
}

/// Tells the partner what changed.
fn announce(mover: &mut Mover<'_, '_>, before: &Commission, after: &Commission, is_new: bool) {
    use CommissionStatus::{Approved, ClawedBack, Pending, Reversed};
    let mut tell = |kind, amount| {
        mover.step.notify(kind, after.partner, after.id, amount, mover.order_id);
    };
    if is_new {
        tell(notify::CONVERSION_ATTRIBUTED, after.amount);
    }
    match (before.status, after.status) {
        (Reversed | ClawedBack, Pending | Approved) => tell(notify::COMMISSION_RESTORED, after.amount),
        (Pending | Approved, Reversed) => tell(notify::COMMISSION_REVERSED, before.amount),
        (Pending | Approved, ClawedBack) => tell(notify::COMMISSION_CLAWED_BACK, before.amount),
        (Pending, Pending) | (Approved, Approved) if !is_new && before.amount != after.amount => {
            tell(notify::COMMISSION_AMENDED, after.amount);
        }
        _ => {}
    }
    if after.status == Approved && before.approved_at.is_none() {
        tell(notify::COMMISSION_APPROVED, after.amount);
    }
}
