//! Reports of a conversion: the first makes it, later ones confirm, complete, amend or contradict it.
//!
//! For each thing a report states (amount, click, coupon), the highest authority that stated it is
//! believed. An equal or lower one that says otherwise is kept as a conflict and changes nothing.

use crate::attribution::{Choice, Evidence};
use crate::credit::credit;
use crate::error::DomainError;
use crate::intake::{ClickCredit, ConversionReport, CustomerRef, Touch, Vouched};
use crate::journey::is_usable;
use crate::lifecycle;
use crate::order::{
    AmountSource, Candidate, CandidateOrigin, Commission, CommissionStatus, Conflict, Conversion,
    ConversionStatus, Decision, MAX_CONFLICTS, MAX_PIXEL_CONVERSIONS, Order,
};
use crate::orders;
use crate::posting::Mover;
use crate::reason;
use crate::state::ShardState;
use crate::step::Step;
use crate::terms::OfferTerms;
use crate::touches;
use proto_model::event::Authority;
use proto_model::{AdvertiserId, Amount, OfferId, UnixMicros};
use std::collections::BTreeMap;

/// What a decision may look at besides the report.
struct Known<'a> {
    terms: &'a BTreeMap<OfferId, Vec<OfferTerms>>,
    touches: &'a BTreeMap<CustomerRef, Vec<Touch>>,
}

impl<'a> Known<'a> {
    fn touches_of(&self, customer: Option<CustomerRef>) -> Vec<&'a Touch> {
        let bound = customer.and_then(|customer| self.touches.get(&customer));
        bound.map_or_else(Vec::new, |bound| touches::considered(bound))
    }
}

/// Takes a report in. Gives the id of the order, which always changes: repetitions are counted.
pub(crate) fn report(
    step: &mut Step<'_>,
    state: &mut ShardState,
    advertiser: AdvertiserId,
    report: &ConversionReport,
) -> Result<String, DomainError> {
    let known = Known { terms: &state.terms, touches: &state.touches };
    let order_id = &report.key.order_id;
    let order = state.orders.entry(order_id.clone()).or_default();
    order.order_id.clone_from(order_id);
    let currency = |order: &Order| {
        order.conversions.get(&report.key).map(|conversion| conversion.amount.map(|a| a.currency))
    };
    let before = currency(order);
    let mut credited = Vec::new();
    if is_one_pixel_too_many(order, report) {
        order.refused_pixels = order.refused_pixels.saturating_add(1);
        return Ok(order_id.clone());
    }
    match order.conversions.get_mut(&report.key) {
        Some(conversion) => {
            let mut merge = Merge { conversion, report, ordinal: step.ordinal, changed: false, conflicts: 0 };
            merge.amount();
            merge.coupon();
            let choice = merge.click(step, &known);
            let settled = merge.finish();
            if let Some(choice) = choice {
                let mut mover = Mover { step: &mut *step, advertiser, order_id };
                credited = credit(&mut mover, settled, choice)?;
            }
        }
        None => {
            let (conversion, choice) = admit(step, advertiser, &known, report);
            let conversion = order.conversions.entry(report.key.clone()).or_insert(conversion);
            let mut mover = Mover { step: &mut *step, advertiser, order_id };
            credited = credit(&mut mover, conversion, choice)?;
        }
    }
    if currency(order) != before {
        orders::note_unusable_amounts(order, &report.key);
    }
    lifecycle::refresh(step, advertiser, order, &credited)?;
    Ok(order_id.clone())
}

fn is_one_pixel_too_many(order: &Order, report: &ConversionReport) -> bool {
    let claimed = order.conversions.values().filter(|known| known.authority == Authority::Pixel);
    // A conversion that several share weighs as much as they are.
    let claimed: usize = claimed.map(|known| known.commissions.len().max(1)).sum();
    report.authority == Authority::Pixel
        && !order.conversions.contains_key(&report.key)
        && claimed >= MAX_PIXEL_CONVERSIONS
}

/// A conversion that nobody has reported before, and who it goes to.
fn admit<'a>(
    step: &Step<'_>,
    advertiser: AdvertiserId,
    known: &Known<'a>,
    report: &ConversionReport,
) -> (Conversion, Choice<'a>) {
    let choice = Evidence {
        tenant: step.shard.tenant,
        goal: &report.key.goal,
        occurred_at: report.occurred_at,
        click: report.click,
        touches: &known.touches_of(report.customer),
        terms: known.terms,
        earlier: &[],
        authority: report.authority,
    }
    .decide();
    let amount = report.amount.filter(|amount| is_usable(*amount));
    let mut conversion = Conversion {
        id: report.key.id(step.shard.tenant, advertiser),
        key: report.key.clone(),
        authority: report.authority,
        amount,
        amount_authority: amount.map(|_| report.authority),
        amount_source: amount.map(|_| amount_source(report, step.ordinal)),
        customer: report.customer,
        coupon: report.coupon.clone(),
        occurred_at: report.occurred_at,
        status: ConversionStatus::Unattributed,
        reason: None,
        decision: Decision::default(),
        conflicts: Vec::new(),
        more_conflicts: 0,
        duplicates: 0,
        commissions: BTreeMap::new(),
        first_ordinal: step.ordinal,
        last_ordinal: step.ordinal,
    };
    if amount != report.amount {
        conversion.conflict(conflict(report, step.ordinal, reason::INVALID_AMOUNT));
    }
    (conversion, choice)
}

fn amount_source(report: &ConversionReport, ordinal: u64) -> AmountSource {
    AmountSource { source: report.source.clone(), ordinal }
}

fn conflict(report: &ConversionReport, ordinal: u64, reason: &'static str) -> Conflict {
    Conflict {
        authority: report.authority,
        amount: report.amount,
        click: report.click,
        source: report.source.clone(),
        ordinal,
        reason,
    }
}

impl Conversion {
    /// Keeps a conflict visible. The same one again only counts as a repetition.
    pub(crate) fn conflict(&mut self, conflict: Conflict) {
        let same = |known: &Conflict| {
            let said = (known.authority, known.amount, known.click, known.reason);
            said == (conflict.authority, conflict.amount, conflict.click, conflict.reason)
        };
        if self.conflicts.iter().any(same) {
            self.duplicates = self.duplicates.saturating_add(1);
        } else if self.conflicts.len() < MAX_CONFLICTS {
            self.conflicts.push(conflict);
        } else {
            self.more_conflicts = self.more_conflicts.saturating_add(1);
        }
    }
}

impl Decision {
    fn won(&self) -> Option<&Candidate> {
        self.winner.and_then(|index| self.candidates.get(index))
    }

    /// The click that won, where only a page vouches for it. It has no authority of its own: the report that led to
    /// it named nobody's click.
    fn of_page(&self) -> Option<ClickCredit> {
        let of_page = self.won().filter(|winner| winner.origin == CandidateOrigin::PageTouch);
        of_page.map(|candidate| candidate.credit)
    }

    fn carried(&self) -> Option<ClickCredit> {
        let mut own = self.candidates.iter().filter(|c| c.origin == CandidateOrigin::ClickId);
        own.next().map(|candidate| candidate.credit)
    }

    /// The carried click stood first, or could have a part: by the model of the terms others have the credit.
    fn leaves_to_others(&self, click: &ClickCredit) -> bool {
        let by_model = [reason::NEWER, reason::SHARED, reason::NO_SHARE];
        self.candidates.iter().any(|candidate| {
            candidate.origin == CandidateOrigin::ClickId
                && candidate.credit == *click
                && by_model.contains(&candidate.outcome)
        })
    }

    /// The click the choice rests on: the winner, or else the one that the conversion carried.
    fn named_click(&self) -> Option<ClickCredit> {
        self.won().map(|candidate| candidate.credit).or_else(|| self.carried())
    }

    /// The touches that were looked at.
    fn touches(&self, customer: CustomerRef) -> Vec<Touch> {
        let touch = |candidate: &Candidate| {
            let vouched = match candidate.origin {
                CandidateOrigin::ClickId => return None,
                CandidateOrigin::Touch => Vouched::Server,
                CandidateOrigin::PageTouch => Vouched::Page,
            };
            // When they were bound is no matter any more.
            Some(Touch { customer, click: candidate.credit, bound_at: UnixMicros(0), vouched })
        };
        self.candidates.iter().filter_map(touch).collect()
    }
}

/// A report meeting the conversion it is about.
struct Merge<'a> {
    conversion: &'a mut Conversion,
    report: &'a ConversionReport,
    ordinal: u64,
    changed: bool,
    conflicts: u32,
}

impl<'a> Merge<'a> {
    fn contradicts(&mut self, reason: &'static str) {
        self.conflicts += 1;
        self.conversion.conflict(conflict(self.report, self.ordinal, reason));
    }

    fn amount(&mut self) {
        let Some(stated) = self.report.amount else { return };
        if !is_usable(stated) {
            return self.contradicts(reason::INVALID_AMOUNT);
        }
        let authority = Some(self.report.authority);
        let higher = authority > self.conversion.amount_authority;
        match self.conversion.amount {
            Some(believed) if believed == stated && !higher => return,
            Some(believed) if believed.currency != stated.currency => {
                // What only a browser said does not bind a postback to its currency.
                let unsure = self.conversion.amount_authority == Some(Authority::Pixel);
                if !(higher && unsure) {
                    return self.contradicts(reason::CURRENCY_DIFFERS);
                }
            }
            Some(believed) if believed != stated && !higher => {
                return self.contradicts(reason::AMOUNT_DIFFERS);
            }
            _ => {}
        }
        self.overrule(stated);
        self.conversion.amount = Some(stated);
        self.conversion.amount_authority = authority;
        self.conversion.amount_source = Some(amount_source(self.report, self.ordinal));
        self.changed = true;
    }

    /// What a lower authority said before and is no longer believed stays visible.
    fn overrule(&mut self, stated: Amount) {
        let Some(believed) = self.conversion.amount.filter(|believed| *believed != stated) else { return };
        let Some(authority) = self.conversion.amount_authority else { return };
        let Some(AmountSource { source, ordinal }) = self.conversion.amount_source.clone() else { return };
        let same_currency = believed.currency == stated.currency;
        self.conversion.conflict(Conflict {
            authority,
            amount: Some(believed),
            click: self.conversion.decision.named_click(),
            source,
            ordinal,
            reason: if same_currency { reason::AMOUNT_DIFFERS } else { reason::CURRENCY_DIFFERS },
        });
    }

    fn coupon(&mut self) {
        let Some(stated) = &self.report.coupon else { return };
        match &self.conversion.coupon {
            Some(believed) if believed == stated => return,
            Some(_) if self.report.authority <= self.conversion.authority => {
                return self.contradicts(reason::COUPON_DIFFERS);
            }
            _ => {}
        }
        self.conversion.coupon = Some(stated.clone());
        self.changed = true;
    }

    /// The new decision, when this report changes it.
    fn click<'k>(&mut self, step: &Step<'_>, known: &Known<'k>) -> Option<Choice<'k>> {
        // A customer who was erased comes back under another pseudonym: that is no contradiction. And a
        // report that says the same again must not find touches that were bound after the decision.
        let new_customer = self.conversion.customer.is_none() && self.report.customer.is_some();
        let touches = known.touches_of(self.report.customer);
        self.changed |= new_customer;
        self.conversion.customer = self.conversion.customer.or(self.report.customer);
        let may_move = self.may_take_from_page();
        let decision = &mut self.conversion.decision;
        let authority = Some(self.report.authority);
        let before = decision.authority;
        let of_page = decision.of_page();
        let named = of_page.map_or_else(|| decision.named_click(), |_| decision.carried());
        // Who names the carried click contradicts nothing where by its terms another one has the credit, or a part of it.
        let carried = self.report.click.filter(|stated| decision.leaves_to_others(stated));
        let named = carried.or(named);
        match (self.report.click, named) {
            (None, _) if !new_customer || decision.winner.is_some() || touches.is_empty() => return None,
            (None, Some(_)) if authority < before => return None,
            (Some(stated), Some(named)) if stated == named => {
                self.changed |= authority > before;
                decision.authority = before.max(authority);
                return None;
            }
            (Some(_), Some(_)) if authority <= before => {
                self.contradicts(reason::CLICK_DIFFERS);
                return None;
            }
            (Some(stated), None) if of_page.is_some() && !may_move => {
                if Some(stated) != of_page {
                    self.contradicts(reason::CLICK_DIFFERS);
                }
                return None;
            }
            _ => {}
        }
        self.changed = true;
        // Of no higher authority: all that is new is the click. What was bound since does not come in with it.
        let of_then = match self.conversion.customer {
            Some(customer) if of_page.is_some() && authority <= before => decision.touches(customer),
            _ => Vec::new(),
        };
        let touches = if of_then.is_empty() { touches } else { of_then.iter().collect() };
        let mut choice = Evidence {
            tenant: step.shard.tenant,
            goal: &self.conversion.key.goal,
            occurred_at: self.conversion.occurred_at,
            click: self.report.click.or(named),
            touches: &touches,
            terms: known.terms,
            earlier: &self.conversion.decision.candidates,
            authority: self.report.authority,
        }
        .decide();
        if self.report.click.is_none() && named.is_some() && choice.decision.of_page().is_some() {
            // The click that was carried is as believed as before: this report has not named it.
            choice.decision.authority = before;
        }
        Some(choice)
    }

    /// A carried click wins over a page's, in whatever order they are heard. But what anybody can send moves no
    /// commission that was certain already.
    fn may_take_from_page(&self) -> bool {
        let certain = |held: &Commission| held.status != CommissionStatus::Pending;
        self.report.authority > Authority::Pixel || !self.conversion.commissions.values().any(certain)
    }

    fn finish(self) -> &'a mut Conversion {
        let raised = self.report.authority > self.conversion.authority;
        if raised {
            self.conversion.authority = self.report.authority;
        }
        if raised || self.changed {
            self.conversion.last_ordinal = self.ordinal;
        } else if self.conflicts == 0 {
            self.conversion.duplicates = self.conversion.duplicates.saturating_add(1);
        }
        self.conversion
    }
}
