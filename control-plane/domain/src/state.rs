//! The state of one shard, or the part of it that one input needs, and what `apply` gives back.

use crate::intake::{CustomerRef, Input, ShardKey, Touch};
use crate::ledger::{LedgerHead, LedgerTransaction};
use crate::order::Order;
use crate::settlement::{OpenCredit, Payout, Statement};
use crate::terms::OfferTerms;
use proto_model::{Amount, Currency, DerivedId, OfferId, PartnerId, UnixMicros};
use std::collections::{BTreeMap, BTreeSet};

/// In a replay this holds the whole shard; in the money engine only what [`Needs`] named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShardState {
    pub ledger: LedgerHead,
    /// By offer, ascending version.
    pub terms: BTreeMap<OfferId, Vec<OfferTerms>>,
    pub orders: BTreeMap<String, Order>,
    /// By customer, in intake order.
    pub touches: BTreeMap<CustomerRef, Vec<Touch>>,
    /// Settlement shard: credits not yet on a statement, by credit id.
    pub open_credits: BTreeMap<DerivedId, OpenCredit>,
    /// Settlement shard: ids of credits seen before (only those asked for in [`Needs`]).
    pub known_credits: BTreeSet<DerivedId>,
    /// Settlement shard: what the last statement carried over.
    pub carried: BTreeMap<(PartnerId, Currency), i64>,
    /// Settlement shard: ids of statements made before for the period asked for.
    pub known_statements: BTreeSet<DerivedId>,
}

/// Which parts of a shard's state an input may read or change. The ledger head is always needed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    pub order_id: Option<String>,
    pub offers: BTreeSet<OfferId>,
    pub customer: Option<CustomerRef>,
    /// Whether this credit has been seen (open or on a statement).
    pub credit: Option<DerivedId>,
    /// And with them everything carried over.
    pub all_open_credits: bool,
    /// The ids of the statements made for this `through`.
    pub statements_through: Option<UnixMicros>,
}

/// What the shell must make durable, together with the checkpoint, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    PutTerms(OfferTerms),
    /// The order with this id in the state has changed.
    PutOrder(String),
    PutTouch(Touch),
    PutCredit(OpenCredit),
    Post(LedgerTransaction),
    /// Its lines are no longer open credits.
    PutStatement(Statement),
    PutPayout(Payout),
    PutCarried {
        partner: PartnerId,
        currency: Currency,
        minor: i64,
    },
    /// Append to another shard's intake.
    Send {
        to: ShardKey,
        input: Input,
    },
    Notify(Notification),
}

/// A row of the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// Derived from the cause: the receiver's dedupe key.
    pub id: DerivedId,
    /// `noun.verb`: one of [`crate::notify::KINDS`].
    pub kind: &'static str,
    pub partner: PartnerId,
    pub subject: DerivedId,
    pub amount: Amount,
    pub order_id: String,
}
