//! An order's journey, folded from its events by when they happened, so that the sequence in which they
//! arrive makes no difference.

use crate::intake::OrderEventKind;
use crate::order::OrderEventRecord;
use crate::reason;
use proto_model::money::MAX_MINOR;
use proto_model::{Amount, Currency};
use std::collections::BTreeMap;

/// Money that went back to the customer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Back {
    all: bool,
    /// Per currency, on top of `all`: negative when a part of it came home again.
    parts: BTreeMap<Currency, i128>,
}

impl Back {
    fn add(&mut self, amount: Option<Amount>) {
        match amount {
            None => self.all = true,
            Some(amount) => *self.parts.entry(amount.currency).or_default() += i128::from(amount.minor),
        }
    }

    fn restore(&mut self, amount: Option<Amount>) {
        let Some(amount) = amount else {
            *self = Self::default();
            return;
        };
        let floor = if self.all { i128::MIN } else { 0 };
        let part = self.parts.entry(amount.currency).or_default();
        *part = (*part - i128::from(amount.minor)).max(floor);
    }

    fn of(&self, currency: Currency, whole: i128) -> i128 {
        let part = self.parts.get(&currency).copied().unwrap_or(0);
        (if self.all { whole } else { 0 } + part).clamp(0, whole)
    }

    /// Everything went and nothing came home, whatever the amounts are.
    fn is_all(&self) -> bool {
        self.all && self.parts.values().all(|part| *part >= 0)
    }
}

/// The last total stated in each currency: one in another currency replaces none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    last: Option<Amount>,
    by_currency: BTreeMap<Currency, Amount>,
}

impl Totals {
    fn set(&mut self, amount: Option<Amount>) {
        self.last = amount.or(self.last);
        self.by_currency.extend(amount.map(|amount| (amount.currency, amount)));
    }

    /// Of conversions in `currency`, or of conversions of which no amount is known.
    pub(crate) fn of(&self, currency: Option<Currency>) -> Option<Amount> {
        currency.map_or(self.last, |currency| self.by_currency.get(&currency).copied())
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Journey {
    pub(crate) delivered: bool,
    cancelled: bool,
    /// What the order came to after its last amendment.
    pub(crate) amended: Totals,
    /// What it came to when it was placed or paid; this only fills a gap, since it may count taxes and
    /// shipping that no commission is paid on.
    pub(crate) stated: Totals,
    returned: Back,
    refunded: Back,
    charged_back: Back,
}

/// Whether an amount from outside can be reckoned with.
pub(crate) fn is_usable(amount: Amount) -> bool {
    (0..=MAX_MINOR).contains(&amount.minor) && amount.currency != Currency::NONE
}

impl Journey {
    pub(crate) fn of(events: &[OrderEventRecord]) -> Self {
        let mut usable: Vec<&OrderEventRecord> =
            events.iter().filter(|event| event.amount.is_none_or(is_usable)).collect();
        usable.sort_by_key(|event| (event.occurred_at, event.kind, event.ordinal));
        let mut journey = Self::default();
        for event in usable {
            journey.take(event.kind, event.amount);
        }
        journey
    }

    fn take(&mut self, kind: OrderEventKind, amount: Option<Amount>) {
        match kind {
            OrderEventKind::Placed | OrderEventKind::Paid => self.stated.set(amount),
            OrderEventKind::Amended => self.amended.set(amount),
            OrderEventKind::PartiallyDelivered => {}
            OrderEventKind::Delivered => self.delivered = true,
            OrderEventKind::Returned => self.returned.add(amount),
            OrderEventKind::Refunded => self.refunded.add(amount),
            OrderEventKind::Cancelled => self.cancelled = true,
            OrderEventKind::ChargedBack => self.charged_back.add(amount),
            OrderEventKind::ChargebackWon => self.charged_back.restore(amount),
        }
    }

    /// Why nothing at all is left of the order.
    pub(crate) fn all_gone(&self) -> Option<&'static str> {
        let causes = [
            (self.cancelled, reason::CANCELLED),
            (self.charged_back.is_all(), reason::CHARGED_BACK),
            (self.refunded.is_all(), reason::REFUNDED),
            (self.returned.is_all(), reason::RETURNED),
        ];
        causes.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
    }

    /// How much of `whole` went back, and the main cause. Goods that come back are refunded as a rule, so
    /// of those two the larger counts, not the sum.
    pub(crate) fn went_back(&self, currency: Currency, whole: i128) -> (i128, &'static str) {
        let returned = self.returned.of(currency, whole);
        let refunded = self.refunded.of(currency, whole);
        let charged = self.charged_back.of(currency, whole);
        let why = match () {
            () if charged > 0 && charged >= returned.max(refunded) => reason::CHARGED_BACK,
            () if refunded >= returned => reason::REFUNDED,
            () => reason::RETURNED,
        };
        ((returned.max(refunded) + charged).min(whole), why)
    }
}
