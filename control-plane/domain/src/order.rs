//! The aggregate of one order: its journey, its conversions, their commissions. One order is the unit
//! that is loaded and stored.

use crate::intake::{ClickCredit, ConversionKey, CustomerRef, OrderEventKind, Source};
use crate::reason;
use crate::terms::{Hold, Plan};
use proto_model::event::Authority;
use proto_model::{Amount, DerivedId, OfferId, PartnerId, Rate, UnixMicros};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    pub order_id: String,
    /// In intake order, one per event id.
    pub events: Vec<OrderEventRecord>,
    pub conversions: BTreeMap<ConversionKey, Conversion>,
    /// New conversions that only a pixel claimed, beyond [`MAX_PIXEL_CONVERSIONS`].
    pub refused_pixels: u32,
}

/// What browsers alone can claim of one order. Anybody can send a pixel, and an order is loaded whole.
pub const MAX_PIXEL_CONVERSIONS: usize = 256;

/// Touches of a customer that a decision looks at: the last ones bound, of those that servers vouch for and of
/// those that pages do, so many each.
pub const MAX_TOUCHES: usize = 100;

/// Touches of one partner's clicks that pages can bind to one customer in any [`PAGE_TOUCH_DAYS`]; beyond them one a
/// day. As many of one partner's does a decision look at.
pub const MAX_PAGE_TOUCHES: usize = 8;
pub const PAGE_TOUCH_DAYS: u32 = 90;

/// Conflicts kept in full with a conversion; further ones are counted.
pub const MAX_CONFLICTS: usize = 32;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEventRecord {
    pub event_id: String,
    pub kind: OrderEventKind,
    pub amount: Option<Amount>,
    pub occurred_at: UnixMicros,
    pub source: Source,
    /// The intake ordinal that brought it.
    pub ordinal: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConversionStatus {
    /// Credited to a partner.
    Attributed,
    /// Counted, but nobody is owed a commission; the reason says why.
    Unattributed,
}

impl ConversionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attributed => "attributed",
            Self::Unattributed => "unattributed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Attributed, Self::Unattributed].into_iter().find(|status| status.as_str() == text)
    }
}

/// One conversion as it is believed now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversion {
    pub id: DerivedId,
    pub key: ConversionKey,
    /// The highest authority that has reported it.
    pub authority: Authority,
    /// As reported; what order events made of it stands in the arithmetic of its commissions.
    pub amount: Option<Amount>,
    /// The highest authority that stated this amount: what a pixel says of an order that a postback
    /// confirmed without an amount is still only what a pixel says.
    pub amount_authority: Option<Authority>,
    /// The report that gave the amount that authority.
    pub amount_source: Option<AmountSource>,
    pub customer: Option<CustomerRef>,
    pub coupon: Option<String>,
    pub occurred_at: UnixMicros,
    pub status: ConversionStatus,
    /// One of [`crate::reason`], when nobody is credited.
    pub reason: Option<&'static str>,
    pub decision: Decision,
    /// Reports that were not believed, and why; visible, never paid.
    pub conflicts: Vec<Conflict>,
    /// Conflicts beyond [`MAX_CONFLICTS`].
    pub more_conflicts: u32,
    /// Reports that said the same again.
    pub duplicates: u32,
    /// By the part of the credit that each is for. What is credited to nobody any more stays, undone.
    pub commissions: BTreeMap<Part, Commission>,
    /// The intake ordinals that made and last changed it.
    pub first_ordinal: u64,
    pub last_ordinal: u64,
}

impl Conversion {
    /// The commission of the partner that the conversion counts for; what stands undone of one that was credited
    /// before, if nobody is.
    pub fn main_commission(&self) -> Option<&Commission> {
        let winner = self.decision.winner.and_then(|index| self.decision.candidates.get(index));
        let of_winner =
            |held: &&Commission| held.share > 0 && winner.is_some_and(|winner| held.is_for(&winner.credit));
        self.commissions.values().find(of_winner).or_else(|| self.commissions.values().next())
    }
}

impl Commission {
    /// Whether the click's credit is in it.
    pub fn is_for(&self, click: &ClickCredit) -> bool {
        (self.partner, self.offer) == (click.partner, click.click.offer)
    }

    /// What it has of the credit now, in millionths.
    pub fn credited_share(&self) -> u32 {
        if self.reason == reason::NOT_CREDITED { 0 } else { self.share }
    }
}

/// The report that the believed amount rests on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AmountSource {
    pub source: Source,
    /// The intake ordinal that brought it.
    pub ordinal: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    pub authority: Authority,
    pub amount: Option<Amount>,
    pub click: Option<ClickCredit>,
    /// The report that said this: one that was never believed, or one that was until a higher authority
    /// overruled it.
    pub source: Source,
    pub ordinal: u64,
    /// E.g. `amount_differs`, `currency_differs`, `click_differs`.
    pub reason: &'static str,
}

/// Why the conversion went to whom it went, in full.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    pub candidates: Vec<Candidate>,
    /// Index into `candidates`.
    pub winner: Option<usize>,
    /// Of the report the choice rests on; only a higher one can change it.
    pub authority: Option<Authority>,
    pub terms_version: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CandidateOrigin {
    /// The click id the conversion carried.
    ClickId,
    /// A touch of the customer, bound before the decision, for which a server vouches.
    Touch,
    /// One for which only a page vouches.
    PageTouch,
}

impl CandidateOrigin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClickId => "click_id",
            Self::Touch => "touch",
            Self::PageTouch => "page_touch",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::ClickId, Self::Touch, Self::PageTouch].into_iter().find(|origin| origin.as_str() == text)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub credit: ClickCredit,
    pub origin: CandidateOrigin,
    /// `won`, `older`, or why it could not win: see [`crate::reason`].
    pub outcome: &'static str,
    /// In millionths, where several share the credit.
    pub share: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arithmetic {
    Flat {
        result: Amount,
    },
    /// `base * rate`, rounded half away from zero.
    Percentage {
        base: Amount,
        rate: Rate,
        result: Amount,
    },
}

/// The credit for one conversion, in millionths.
pub const WHOLE: u32 = 1_000_000;

/// Which part of a conversion's credit a commission is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// All of it, whoever has it.
    Whole,
    /// What one partner has of it, for clicks of one offer.
    Share { partner: PartnerId, offer: OfferId },
}

impl Part {
    /// The id of the commission for this part of a conversion.
    pub fn commission(self, conversion: DerivedId) -> DerivedId {
        match self {
            Self::Whole => DerivedId::of("commission", &[&conversion.0]),
            Self::Share { partner, offer } => {
                let of = [&conversion.0[..], &partner.get().to_be_bytes(), &offer.get().to_be_bytes()];
                DerivedId::of("commission", &of)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CommissionStatus {
    Pending,
    Approved,
    /// Undone before any of it stood on a statement.
    Reversed,
    /// Undone after it was credited to a statement.
    ClawedBack,
}

impl CommissionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Reversed => "reversed",
            Self::ClawedBack => "clawed_back",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Approved, Self::Reversed, Self::ClawedBack];
        all.into_iter().find(|status| status.as_str() == text)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commission {
    pub id: DerivedId,
    pub part: Part,
    /// How much of the conversion's credit that is, in millionths; 0 = it is credited no more.
    pub share: u32,
    pub partner: PartnerId,
    pub offer: OfferId,
    pub terms_version: u32,
    /// From those terms, fixed when the conversion was credited.
    pub plan: Plan,
    pub hold: Hold,
    pub trust_pixel: bool,
    /// What it is worth now: zero when undone or while the amount is awaited (then in `XXX`, no currency).
    pub amount: Amount,
    /// How that was reckoned.
    pub arithmetic: Option<Arithmetic>,
    pub status: CommissionStatus,
    /// One of [`crate::reason`], e.g. `awaiting_delivery`, `hold_elapsed`, `refunded`.
    pub reason: &'static str,
    /// When time alone approves it (a job writes `HoldElapsed` then); only while that is all it waits for.
    pub hold_until: Option<UnixMicros>,
    pub approved_at: Option<UnixMicros>,
    /// The last statement that one of its credits stood on.
    pub statement: Option<DerivedId>,
    /// Ledger transactions posted for it so far; part of the next one's id.
    pub postings: u32,
}
