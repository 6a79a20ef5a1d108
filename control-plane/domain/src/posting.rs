//! Moves a commission's position in the ledger from where it stands to where it should stand.

use crate::error::DomainError;
use crate::ledger::{Account, Draft, LedgerEntry, TransactionKind};
use crate::order::{Commission, CommissionStatus};
use crate::step::Step;
use proto_model::{AdvertiserId, Amount, DerivedId};

/// Where a commission should stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    Pending(Amount),
    Approved(Amount),
    Undone,
}

impl Goal {
    pub(crate) fn map(self, change: impl Fn(Amount) -> Amount) -> Self {
        match self {
            Self::Pending(worth) => Self::Pending(change(worth)),
            Self::Approved(worth) => Self::Approved(change(worth)),
            Self::Undone => Self::Undone,
        }
    }
}

/// A commission on its way, with what every posting for it needs to know.
pub(crate) struct Mover<'s, 'h> {
    pub(crate) step: &'s mut Step<'h>,
    pub(crate) advertiser: AdvertiserId,
    pub(crate) order_id: &'s str,
}

impl Mover<'_, '_> {
    /// Posts what leads to `goal` and updates status, amount and the count of postings.
    pub(crate) fn move_to(&mut self, commission: &mut Commission, goal: Goal) -> Result<(), DomainError> {
        let worth = match goal {
            Goal::Undone => return self.undo(commission),
            Goal::Pending(worth) | Goal::Approved(worth) => worth,
        };
        let approved = commission.status == CommissionStatus::Approved;
        let held = commission.amount;
        let switches = held.minor != 0 && held.currency != worth.currency;
        if switches || (approved && matches!(goal, Goal::Pending(_))) {
            self.undo(commission)?;
        }
        if commission.status == CommissionStatus::Approved {
            return self.amend_approved(commission, worth);
        }
        self.accrue(commission, worth)?;
        commission.status = CommissionStatus::Pending;
        if matches!(goal, Goal::Approved(_)) {
            self.approve(commission)?;
        }
        Ok(())
    }

    /// Takes back whatever the commission holds. What has stood on a statement is clawed back.
    pub(crate) fn undo(&mut self, commission: &mut Commission) -> Result<(), DomainError> {
        let Amount { minor, currency } = commission.amount;
        let advertiser = self.advertiser;
        match commission.status {
            CommissionStatus::Reversed | CommissionStatus::ClawedBack => return Ok(()),
            CommissionStatus::Pending => {
                let entries = vec![
                    LedgerEntry::debit(Account::PartnerPending(commission.partner), minor),
                    LedgerEntry::credit(Account::AdvertiserAccrued(advertiser), minor),
                ];
                self.post(commission, TransactionKind::Reverse, commission.amount, entries)?;
                commission.status = CommissionStatus::Reversed;
            }
            CommissionStatus::Approved => {
                let (kind, status) = match commission.statement {
                    None => (TransactionKind::Reverse, CommissionStatus::Reversed),
                    Some(_) => (TransactionKind::Clawback, CommissionStatus::ClawedBack),
                };
                self.settle(commission, kind, Amount::new(-minor, currency))?;
                commission.status = status;
            }
        }
        commission.amount = Amount::new(0, currency);
        Ok(())
    }

    /// Brings a pending position to `worth`.
    fn accrue(&mut self, commission: &mut Commission, worth: Amount) -> Result<(), DomainError> {
        let opens = commission.amount.minor == 0;
        let kind = if opens { TransactionKind::Accrue } else { TransactionKind::Amend };
        let change = Amount::new(worth.minor - commission.amount.minor, worth.currency);
        let entries = vec![
            LedgerEntry::debit(Account::AdvertiserAccrued(self.advertiser), change.minor),
            LedgerEntry::credit(Account::PartnerPending(commission.partner), change.minor),
        ];
        self.post(commission, kind, change, entries)?;
        commission.amount = worth;
        Ok(())
    }

    fn approve(&mut self, commission: &mut Commission) -> Result<(), DomainError> {
        let Amount { minor, .. } = commission.amount;
        let entries = vec![
            LedgerEntry::debit(Account::AdvertiserReceivable(self.advertiser), minor),
            LedgerEntry::credit(Account::AdvertiserAccrued(self.advertiser), minor),
            LedgerEntry::debit(Account::PartnerPending(commission.partner), minor),
            LedgerEntry::credit(Account::Clearing, minor),
        ];
        let amount = commission.amount;
        if let Some(cause) = self.post(commission, TransactionKind::Approve, amount, entries)? {
            self.send(cause, commission, amount);
        }
        commission.status = CommissionStatus::Approved;
        commission.approved_at = commission.approved_at.or(Some(self.step.now));
        Ok(())
    }

    fn amend_approved(&mut self, commission: &mut Commission, worth: Amount) -> Result<(), DomainError> {
        let change = Amount::new(worth.minor - commission.amount.minor, worth.currency);
        self.settle(commission, TransactionKind::Amend, change)?;
        commission.amount = worth;
        Ok(())
    }

    /// Changes by `change` what the advertiser owes and what the partner is credited with.
    fn settle(
        &mut self,
        commission: &mut Commission,
        kind: TransactionKind,
        change: Amount,
    ) -> Result<(), DomainError> {
        let entries = vec![
            LedgerEntry::debit(Account::AdvertiserReceivable(self.advertiser), change.minor),
            LedgerEntry::credit(Account::Clearing, change.minor),
        ];
        if let Some(cause) = self.post(commission, kind, change, entries)? {
            self.send(cause, commission, change);
        }
        Ok(())
    }

    fn send(&mut self, cause: DerivedId, commission: &Commission, amount: Amount) {
        self.step.send_credit(
            cause,
            self.advertiser,
            commission.id,
            commission.partner,
            self.order_id,
            amount,
        );
    }

    /// The id of the transaction, or `None` when nothing moves. The id comes from the commission and the
    /// number of the posting, so that a retry of the same cause collides.
    fn post(
        &mut self,
        commission: &mut Commission,
        kind: TransactionKind,
        change: Amount,
        entries: Vec<LedgerEntry>,
    ) -> Result<Option<DerivedId>, DomainError> {
        if change.minor == 0 {
            return Ok(None);
        }
        let number = commission.postings.to_be_bytes();
        let id = DerivedId::of("transaction", &[&commission.id.0, &number]);
        let subject = commission.id;
        self.step.post(Draft { id, kind, currency: change.currency, subject, entries })?;
        let corrupt =
            DomainError::CorruptOrder { order_id: self.order_id.to_owned(), what: "too many postings" };
        commission.postings = commission.postings.checked_add(1).ok_or(corrupt)?;
        Ok(Some(id))
    }
}
