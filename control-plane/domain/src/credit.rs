//! Gives the parts of a conversion's credit to whom a decision names, and takes them from whom it no longer does.

use crate::attribution::{Choice, Credited};
use crate::error::DomainError;
use crate::notify;
use crate::order::{Commission, CommissionStatus, Conversion, ConversionStatus};
use crate::posting::Mover;
use crate::reason;
use proto_model::{Amount, Currency, DerivedId};

/// Writes a decision down. Gives the commissions that are a partner's anew.
pub(crate) fn credit(
    mover: &mut Mover<'_, '_>,
    conversion: &mut Conversion,
    choice: Choice<'_>,
) -> Result<Vec<DerivedId>, DomainError> {
    conversion.decision = choice.decision;
    let credited = match choice.credited {
        Ok(credited) => credited,
        Err(why) => {
            (conversion.status, conversion.reason) = (ConversionStatus::Unattributed, Some(why));
            return Ok(Vec::new());
        }
    };
    (conversion.status, conversion.reason) = (ConversionStatus::Attributed, None);
    for (part, held) in &mut conversion.commissions {
        if held.share > 0 && credited.iter().all(|credited| credited.part != *part) {
            take(mover, held)?;
        }
    }
    let mut anew = Vec::new();
    for credited in &credited {
        anew.extend(give(mover, conversion, credited)?);
    }
    Ok(anew)
}

/// A commission that goes to another partner is first taken from the one who had it.
fn give(
    mover: &mut Mover<'_, '_>,
    conversion: &mut Conversion,
    credited: &Credited<'_>,
) -> Result<Option<DerivedId>, DomainError> {
    let mut fresh = fresh(conversion.id, credited);
    let id = fresh.id;
    // What was once approved for the partner is not held again, under whatever offer.
    let own = conversion.commissions.values().filter(|held| held.partner == fresh.partner);
    fresh.approved_at = own.filter_map(|held| held.approved_at).min();
    let Some(mut held) = conversion.commissions.remove(&credited.part) else {
        conversion.commissions.insert(credited.part, fresh);
        return Ok(Some(id));
    };
    if held.partner == fresh.partner {
        let anew = held.share == 0;
        let Commission { share, offer, terms_version, plan, hold, trust_pixel, .. } = fresh;
        let held = Commission { share, offer, terms_version, plan, hold, trust_pixel, ..held };
        conversion.commissions.insert(credited.part, held);
        return Ok(anew.then_some(id));
    }
    take(mover, &mut held)?;
    fresh.postings = held.postings;
    conversion.commissions.insert(credited.part, fresh);
    Ok(Some(id))
}

/// Undoes a commission, and tells the partner who had it.
fn take(mover: &mut Mover<'_, '_>, held: &mut Commission) -> Result<(), DomainError> {
    let lost = held.amount;
    if matches!(held.status, CommissionStatus::Pending | CommissionStatus::Approved) {
        mover.undo(held)?;
        let kind = match held.status {
            CommissionStatus::ClawedBack => notify::COMMISSION_CLAWED_BACK,
            _ => notify::COMMISSION_REVERSED,
        };
        mover.step.notify(kind, held.partner, held.id, lost, mover.order_id);
    }
    held.share = 0;
    Ok(())
}

fn fresh(conversion: DerivedId, credited: &Credited<'_>) -> Commission {
    let Credited { part, share, won } = credited;
    Commission {
        id: part.commission(conversion),
        part: *part,
        share: *share,
        partner: won.credit.partner,
        offer: won.terms.offer,
        terms_version: won.terms.version,
        plan: won.plan.plan.clone(),
        hold: won.terms.hold,
        trust_pixel: won.terms.trust_pixel,
        amount: Amount::new(0, Currency::NONE),
        arithmetic: None,
        status: CommissionStatus::Pending,
        reason: reason::AWAITING_AMOUNT,
        hold_until: None,
        approved_at: None,
        statement: None,
        postings: 0,
    }
}
