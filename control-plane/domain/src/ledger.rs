//! Double entry in integer minor units: insert-only, balanced per transaction, hash-chained per shard.

use proto_model::{AdvertiserId, Currency, DerivedId, PartnerId, UnixMicros};
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
