//! Terms: what an offer pays, for which goal, and when it is certain. Bitemporal: a click is paid by the
//! terms in force when it happened (`valid_from`), as they stood in the intake when it was decided.

use proto_model::{Amount, OfferId, PartnerId, ProgramId, Rate, UnixMicros};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    Flat(Amount),
    /// Of the conversion's amount, in its currency.
    Percentage(Rate),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoalPlan {
    pub goal: String,
    pub plan: Plan,
}

/// When a pending commission becomes approved: at delivery, or after `days`, whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub until_delivered: bool,
    /// Counted from the conversion; `None` = time alone never releases it.
    pub days: Option<u32>,
}

/// How the clicks that may be credited share a conversion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Model {
    /// All of it to the last one.
    #[default]
    Last,
    First,
    /// The same to each.
    Linear,
    /// So many millionths to the first and to the last one, the rest to those between, the same to each. Where there are
    /// none, first and last share it all in this proportion.
    Position {
        first: u32,
        last: u32,
    },
    /// Half as much for each half-life that a click is older than the last one.
    Decay {
        half_life_secs: u32,
    },
    /// So much to each click of a partner, in proportion; 0 where a partner is not named. What was learned from past
    /// conversions comes in here.
    Weights(BTreeMap<PartnerId, u32>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferTerms {
    pub offer: OfferId,
    pub program: ProgramId,
    /// Rises by one with each change of this offer's terms.
    pub version: u32,
    pub valid_from: UnixMicros,
    /// From click to conversion.
    pub window_secs: i64,
    pub goals: Vec<GoalPlan>,
    pub hold: Hold,
    /// Of the click that stands first decides for all that share with it.
    pub model: Model,
    /// A pixel alone may confirm a conversion; `false` unless the program says so.
    pub trust_pixel: bool,
}
