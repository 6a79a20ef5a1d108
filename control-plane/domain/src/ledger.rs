//! Double entry in integer minor units: insert-only, balanced per transaction, hash-chained per shard.
//!
//! What each kind posts, for an amount (or a change) of `x`; a negative `x` swaps the sides:
//!
//! | kind | shard | debit | credit | when |
//! |---|---|---|---|---|
//! | `accrue` | advertiser | advertiser_accrued x | partner_pending x | a conversion is credited, or restored |
//! | `amend` (pending) | advertiser | advertiser_accrued x | partner_pending x | its worth changes by x |
//! | `approve` | advertiser | advertiser_receivable x, partner_pending x | advertiser_accrued x, clearing x | confirmed, and delivered or held long enough |
//! | `amend` (approved) | advertiser | advertiser_receivable x | clearing x | its worth changes by x |
//! | `reverse` (pending) | advertiser | partner_pending x | advertiser_accrued x | undone before approval |
//! | `reverse` (approved) | advertiser | clearing x | advertiser_receivable x | undone before it stood on a statement |
//! | `clawback` | advertiser | clearing x | advertiser_receivable x | undone after it stood on a statement |
//! | `credit` | settlement | clearing x | partner_payable x | the message of an approve, amend, reverse or clawback arrives |
//! | `payout` | settlement | partner_payable x | payout_due x | a period closes with a positive balance |
//!
//! Whatever touches `clearing` in an advertiser shard sends one `PartnerCredit`; when all have arrived,
//! `clearing` is zero over the shards of a tenant. Corrections are new postings, never changes.

use crate::canonical::Canonical;
use crate::error::DomainError;
use crate::intake::ShardKey;
use proto_model::{AdvertiserId, Currency, DerivedId, PartnerId, UnixMicros};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// A ledger account. Debits are positive, credits negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// What the advertiser will owe when pending commissions are approved.
    AdvertiserAccrued(AdvertiserId),
    /// What the advertiser owes.
    AdvertiserReceivable(AdvertiserId),
    /// What the partner may earn.
    PartnerPending(PartnerId),
    /// What the partner has earned and not yet been paid.
    PartnerPayable(PartnerId),
    /// What stands in a payout that has not been confirmed.
    PayoutDue(PartnerId),
    /// Between an advertiser shard and the settlement shard; its sum over a tenant's shards is zero when
    /// no message is under way.
    Clearing,
}

impl Account {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "clearing" {
            return Some(Self::Clearing);
        }
        let (kind, id) = text.split_once(':')?;
        match kind {
            "advertiser_accrued" => id.parse().ok().map(Self::AdvertiserAccrued),
            "advertiser_receivable" => id.parse().ok().map(Self::AdvertiserReceivable),
            "partner_pending" => id.parse().ok().map(Self::PartnerPending),
            "partner_payable" => id.parse().ok().map(Self::PartnerPayable),
            "payout_due" => id.parse().ok().map(Self::PayoutDue),
            _ => None,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdvertiserAccrued(id) => write!(f, "advertiser_accrued:{id}"),
            Self::AdvertiserReceivable(id) => write!(f, "advertiser_receivable:{id}"),
            Self::PartnerPending(id) => write!(f, "partner_pending:{id}"),
            Self::PartnerPayable(id) => write!(f, "partner_payable:{id}"),
            Self::PayoutDue(id) => write!(f, "payout_due:{id}"),
            Self::Clearing => f.write_str("clearing"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    pub account: Account,
    /// Positive = debit, negative = credit, never zero.
    pub minor: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TransactionKind {
    Accrue,
    Amend,
    Approve,
    Reverse,
    Clawback,
    Credit,
    Payout,
}

impl TransactionKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accrue => "accrue",
            Self::Amend => "amend",
            Self::Approve => "approve",
            Self::Reverse => "reverse",
            Self::Clawback => "clawback",
            Self::Credit => "credit",
            Self::Payout => "payout",
        }
    }
}

impl TransactionKind {
    pub const ALL: [Self; 7] =
        [Self::Accrue, Self::Amend, Self::Approve, Self::Reverse, Self::Clawback, Self::Credit, Self::Payout];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A balanced set of entries in one currency, at its place in the shard's chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerTransaction {
    /// Derived from the cause, so that a retry collides.
    pub id: DerivedId,
    /// Dense from 1 within the shard.
    pub sequence: u64,
    pub kind: TransactionKind,
    pub currency: Currency,
    pub posted_at: UnixMicros,
    /// The intake item that caused it.
    pub intake_ordinal: u64,
    /// The commission or payout it is about.
    pub subject: DerivedId,
    pub entries: Vec<LedgerEntry>,
    pub prev_hash: [u8; 32],
    /// SHA-256 over `prev_hash` and the canonical bytes of everything above.
    pub hash: [u8; 32],
}

/// The end of a shard's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LedgerHead {
    pub sequence: u64,
    pub hash: [u8; 32],
}

/// What is to be posted, before it has a place in the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Draft {
    pub(crate) id: DerivedId,
    pub(crate) kind: TransactionKind,
    pub(crate) currency: Currency,
    pub(crate) subject: DerivedId,
    pub(crate) entries: Vec<LedgerEntry>,
}

impl LedgerEntry {
    pub const fn debit(account: Account, minor: i64) -> Self {
        Self { account, minor }
    }

    pub const fn credit(account: Account, minor: i64) -> Self {
        // The one number without a negative leaves the transaction unbalanced, which is refused.
        Self { account, minor: minor.saturating_neg() }
    }
}

impl LedgerTransaction {
    /// Everything but the two hashes.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Canonical::of("tributary-ledger-v1");
        bytes.id(self.id);
        bytes.u64(self.sequence);
        bytes.text(self.kind.as_str());
        bytes.currency(self.currency);
        bytes.time(self.posted_at);
        bytes.u64(self.intake_ordinal);
        bytes.id(self.subject);
        bytes.len(self.entries.len());
        for entry in &self.entries {
            bytes.text(&entry.account.to_string());
            bytes.i64(entry.minor);
        }
        bytes.finish()
    }

    /// What `hash` must be.
    pub fn computed_hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.prev_hash).chain_update(self.canonical_bytes()).finalize().into()
    }

    /// At least two entries, none of them zero, that sum to nothing.
    pub fn is_balanced(&self) -> bool {
        let sum: i128 = self.entries.iter().map(|entry| i128::from(entry.minor)).sum();
        sum == 0 && self.entries.len() >= 2 && self.entries.iter().all(|entry| entry.minor != 0)
    }

    /// Its place right after `head`.
    pub fn follows(&self, head: LedgerHead) -> Result<(), ChainError> {
        let sequence = self.sequence;
        if head.sequence.checked_add(1) != Some(sequence) {
            return Err(ChainError::Gap { expected: head.sequence.saturating_add(1), found: sequence });
        }
        if self.prev_hash != head.hash {
            return Err(ChainError::Broken { sequence });
        }
        if self.computed_hash() != self.hash {
            return Err(ChainError::Altered { sequence });
        }
        if !self.is_balanced() {
            return Err(ChainError::Unbalanced { sequence });
        }
        Ok(())
    }
}

impl LedgerHead {
    /// Gives the draft the next place in the chain and moves the head there.
    pub(crate) fn post(
        &mut self,
        shard: ShardKey,
        draft: Draft,
        posted_at: UnixMicros,
        intake_ordinal: u64,
    ) -> Result<LedgerTransaction, DomainError> {
        let sequence = self.sequence.checked_add(1).ok_or(DomainError::LedgerFull { shard })?;
        let mut transaction = LedgerTransaction {
            id: draft.id,
            sequence,
            kind: draft.kind,
            currency: draft.currency,
            posted_at,
            intake_ordinal,
            subject: draft.subject,
            entries: draft.entries,
            prev_hash: self.hash,
            hash: [0; 32],
        };
        if !transaction.is_balanced() {
            return Err(DomainError::Unbalanced { sequence });
        }
        transaction.hash = transaction.computed_hash();
        *self = Self { sequence, hash: transaction.hash };
        Ok(transaction)
    }
}

/// Where a chain of transactions is not what was posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("expected ledger transaction {expected}, found {found}: some are missing or out of order")]
    Gap { expected: u64, found: u64 },
    #[error("ledger transaction {sequence} does not name the hash of the one before it")]
    Broken { sequence: u64 },
    #[error("ledger transaction {sequence} was altered after it was posted")]
    Altered { sequence: u64 },
    #[error("ledger transaction {sequence} does not balance")]
    Unbalanced { sequence: u64 },
}

/// Checks transactions in order, starting after `head` (a shard's first follows the default head), and
/// gives the head after the last.
pub fn verify_chain<'a>(
    head: LedgerHead,
    transactions: impl IntoIterator<Item = &'a LedgerTransaction>,
) -> Result<LedgerHead, ChainError> {
    transactions.into_iter().try_fold(head, |head, transaction| {
        transaction.follows(head)?;
        Ok(LedgerHead { sequence: transaction.sequence, hash: transaction.hash })
    })
}

/// The sum of all entries per account and currency; accounts at zero are left out.
pub fn balances<'a>(
    transactions: impl IntoIterator<Item = &'a LedgerTransaction>,
) -> BTreeMap<(Account, Currency), i128> {
    let mut sums: BTreeMap<(Account, Currency), i128> = BTreeMap::new();
    for transaction in transactions {
        for entry in &transaction.entries {
            *sums.entry((entry.account, transaction.currency)).or_default() += i128::from(entry.minor);
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}
