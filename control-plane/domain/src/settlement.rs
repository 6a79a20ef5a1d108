//! Settlement: a period is closed, its credits become statements, positive balances become payouts.

use crate::intake::PartnerCredit;
use proto_model::{Amount, Currency, DerivedId, PartnerId, UnixMicros};

/// A credit that no statement has taken up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenCredit {
    pub credit: PartnerCredit,
    pub credited_at: UnixMicros,
    /// The intake ordinal of the settlement shard; the order of statement lines.
    pub ordinal: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Derived from (tenant, partner, currency, through).
    pub id: DerivedId,
    pub partner: PartnerId,
    pub currency: Currency,
    pub through: UnixMicros,
    /// Carried over from the last statement (zero or negative: debts are carried, money is paid).
    pub opening_minor: i64,
    pub lines: Vec<OpenCredit>,
    pub closing_minor: i64,
    pub payout: Option<DerivedId>,
    /// SHA-256 over the canonical bytes of everything above.
    pub hash: [u8; 32],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PayoutStatus {
    Draft,
}

impl PayoutStatus {
    pub fn parse(text: &str) -> Option<Self> {
        (text == Self::Draft.as_str()).then_some(Self::Draft)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payout {
    pub id: DerivedId,
    pub statement: DerivedId,
    pub partner: PartnerId,
    pub amount: Amount,
    pub status: PayoutStatus,
}
