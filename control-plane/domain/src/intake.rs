//! The intake: per shard, one ordered log of what the business must decide. Money depends on nothing else.

use crate::terms::OfferTerms;
use proto_model::event::Authority;
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, DerivedId, PartnerId, ProgramId, TenantId, UnixMicros,
};

/// One single-writer sequence of decisions. `advertiser: None` is the tenant's settlement shard, which
/// holds partner balances, statements and payouts and is fed by messages from the advertiser shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardKey {
    pub tenant: TenantId,
    pub advertiser: Option<AdvertiserId>,
}

impl ShardKey {
    pub const fn advertiser(tenant: TenantId, advertiser: AdvertiserId) -> Self {
        Self { tenant, advertiser: Some(advertiser) }
    }

    pub const fn settlement(tenant: TenantId) -> Self {
        Self { tenant, advertiser: None }
    }
}

/// An input at its place in a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntakeItem {
    /// Dense from 1 within the shard.
    pub ordinal: u64,
    /// When the control plane wrote it down: the only "now" that the engine knows.
    pub recorded_at: UnixMicros,
    pub input: Input,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// New terms of an offer, in force for clicks from `valid_from` on.
    Terms(OfferTerms),
    /// Somebody says that a customer converted.
    Conversion(ConversionReport),
    /// A click bound to a customer.
    Touch(Touch),
    /// What happened to an order on its way to the customer.
    OrderEvent(OrderEvent),
    /// The hold of an order's commissions has run out (written by a job, checked by the engine).
    HoldElapsed { order_id: String },
    /// To the settlement shard: a commission became payable, or (negative) was clawed back.
    PartnerCredit(PartnerCredit),
    /// To the settlement shard: everything credited up to `through` becomes statements and payouts.
    ClosePeriod { through: UnixMicros },
    /// Back to the advertiser shard: a credit of this commission stands on a statement now, so that
    /// undoing it is a clawback from here on.
    Settled(Settled),
}

impl Input {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Terms(_) => "terms",
            Self::Conversion(_) => "conversion",
            Self::Touch(_) => "touch",
            Self::OrderEvent(_) => "order_event",
            Self::HoldElapsed { .. } => "hold_elapsed",
            Self::PartnerCredit(_) => "partner_credit",
            Self::ClosePeriod { .. } => "close_period",
            Self::Settled(_) => "settled",
        }
    }
}

/// What makes a conversion one conversion. The tenant and the advertiser are the shard's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConversionKey {
    pub order_id: String,
    pub goal: String,
    pub event_id: Option<String>,
}

impl ConversionKey {
    /// The id of the conversion with this key at this advertiser.
    pub fn id(&self, tenant: TenantId, advertiser: AdvertiserId) -> DerivedId {
        DerivedId::of_conversion(tenant, advertiser, &self.order_id, &self.goal, self.event_id.as_deref())
    }
}

/// A click as opened from its id, with what its link stood for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickCredit {
    pub click: ClickFacts,
    pub partner: PartnerId,
    pub program: ProgramId,
}

/// A random pseudonym of a customer; the table that links it to a customer id can be erased.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CustomerRef(pub [u8; 16]);

/// Where an input came from, for the explanation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Journal(Address),
    /// The REST call with this request id.
    Api(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionReport {
    pub key: ConversionKey,
    pub authority: Authority,
    pub amount: Option<Amount>,
    pub click: Option<ClickCredit>,
    pub customer: Option<CustomerRef>,
    pub coupon: Option<String>,
    pub occurred_at: UnixMicros,
    pub source: Source,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    pub customer: CustomerRef,
    pub click: ClickCredit,
    pub bound_at: UnixMicros,
    pub vouched: Vouched,
}

/// Who vouches that a click was this customer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Vouched {
    /// A script on a page, which anybody can write.
    Page,
    /// Whoever holds the tenant's key; and whatever was recorded before this was told apart.
    Server,
}

impl Vouched {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Server => "server",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Page, Self::Server].into_iter().find(|vouched| vouched.as_str() == text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OrderEventKind {
    Placed,
    Amended,
    Paid,
    PartiallyDelivered,
    Delivered,
    Returned,
    Refunded,
    Cancelled,
    ChargedBack,
    ChargebackWon,
}

impl OrderEventKind {
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Placed, "placed"),
        (Self::Amended, "amended"),
        (Self::Paid, "paid"),
        (Self::PartiallyDelivered, "partially_delivered"),
        (Self::Delivered, "delivered"),
        (Self::Returned, "returned"),
        (Self::Refunded, "refunded"),
        (Self::Cancelled, "cancelled"),
        (Self::ChargedBack, "charged_back"),
        (Self::ChargebackWon, "chargeback_won"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, text)| text)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEvent {
    pub order_id: String,
    /// The sender's id of this event: a second one with the same id changes nothing.
    pub event_id: String,
    pub kind: OrderEventKind,
    /// `amended`: the new order amount. `refunded`, `returned`: the part that went back; absent = all of it.
    pub amount: Option<Amount>,
    pub occurred_at: UnixMicros,
    pub source: Source,
}

/// Negative amounts are clawbacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartnerCredit {
    /// Derived from its cause: a second one with the same id changes nothing.
    pub id: DerivedId,
    pub commission: DerivedId,
    pub advertiser: AdvertiserId,
    pub order_id: String,
    pub partner: PartnerId,
    pub amount: Amount,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    pub order_id: String,
    pub commission: DerivedId,
    pub statement: DerivedId,
}
