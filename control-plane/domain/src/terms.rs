//! Terms: what an offer pays, for which goal, and when it is certain. Bitemporal: a click is paid by the
//! terms in force when it happened (`valid_from`), as they stood in the intake when it was decided.

use proto_model::{Amount, OfferId, ProgramId, Rate, UnixMicros};

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
    /// A pixel alone may confirm a conversion; `false` unless the program says so.
    pub trust_pixel: bool,
}
