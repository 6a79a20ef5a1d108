//! Terms, and what a commission keeps of them.

use super::parts::{self, AmountJson};
use super::{read, write};
use crate::StoreError;
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use proto_model::{Rate, UnixMicros};
use serde::{Deserialize, Serialize};

pub(crate) fn terms_to_json(terms: &OfferTerms) -> Result<String, StoreError> {
    write(&TermsJson::of(terms))
}

pub(crate) fn terms_from_json(json: &str) -> Result<OfferTerms, StoreError> {
    read::<TermsJson>("terms", json)?.value()
}

/// What a commission keeps of the terms that it was credited under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Basis {
    pub plan: Plan,
    pub hold: Hold,
    pub trust_pixel: bool,
}

pub(crate) fn basis_to_json(basis: &Basis) -> Result<String, StoreError> {
    write(&BasisJson {
        plan: PlanJson::of(&basis.plan),
        hold: HoldJson::of(basis.hold),
        trust_pixel: basis.trust_pixel,
    })
}

pub(crate) fn basis_from_json(json: &str) -> Result<Basis, StoreError> {
    let basis: BasisJson = read("basis of a commission", json)?;
    Ok(Basis { plan: basis.plan.value()?, hold: basis.hold.value(), trust_pixel: basis.trust_pixel })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BasisJson {
    plan: PlanJson,
    hold: HoldJson,
    trust_pixel: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TermsJson {
    offer: u64,
    program: u64,
    version: u32,
    valid_from: i64,
    window_secs: i64,
    goals: Vec<GoalJson>,
    hold: HoldJson,
    /// Absent = the last click. A version that knows no other stops at one rather than pay the wrong partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<ModelJson>,
    trust_pixel: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ModelJson {
    First,
    Linear,
    Position {
        first_ppm: u32,
        last_ppm: u32,
    },
    Decay {
        half_life_secs: u32,
    },
    /// Partner and weight.
    Weights(Vec<(u64, u32)>),
}

impl ModelJson {
    fn of(model: &Model) -> Option<Self> {
        Some(match model {
            Model::Last => return None,
            Model::First => Self::First,
            Model::Linear => Self::Linear,
            Model::Position { first, last } => Self::Position { first_ppm: *first, last_ppm: *last },
            Model::Decay { half_life_secs } => Self::Decay { half_life_secs: *half_life_secs },
            Model::Weights(weights) => {
                Self::Weights(weights.iter().map(|(partner, weight)| (partner.get(), *weight)).collect())
            }
        })
    }

    fn value(self) -> Result<Model, StoreError> {
        Ok(match self {
            Self::First => Model::First,
            Self::Linear => Model::Linear,
            Self::Position { first_ppm, last_ppm } => Model::Position { first: first_ppm, last: last_ppm },
            Self::Decay { half_life_secs } => Model::Decay { half_life_secs },
            Self::Weights(weights) => {
                let weights = weights.into_iter();
                let weights = weights.map(|(partner, weight)| Ok((parts::id("partner", partner)?, weight)));
                Model::Weights(weights.collect::<Result<_, StoreError>>()?)
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoalJson {
    goal: String,
    plan: PlanJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlanJson {
    Flat(AmountJson),
    PercentagePpm(u32),
}

impl PlanJson {
    fn of(plan: &Plan) -> Self {
        match plan {
            Plan::Flat(amount) => Self::Flat(AmountJson::of(*amount)),
            Plan::Percentage(rate) => Self::PercentagePpm(rate.0),
        }
    }

    fn value(&self) -> Result<Plan, StoreError> {
        Ok(match self {
            Self::Flat(amount) => Plan::Flat(amount.value()?),
            Self::PercentagePpm(ppm) => Plan::Percentage(Rate(*ppm)),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldJson {
    until_delivered: bool,
    days: Option<u32>,
}

impl HoldJson {
    fn of(hold: Hold) -> Self {
        Self { until_delivered: hold.until_delivered, days: hold.days }
    }

    fn value(&self) -> Hold {
        Hold { until_delivered: self.until_delivered, days: self.days }
    }
}

impl GoalJson {
    fn of(goal: &GoalPlan) -> Self {
        Self { goal: goal.goal.clone(), plan: PlanJson::of(&goal.plan) }
    }

    fn value(self) -> Result<GoalPlan, StoreError> {
        Ok(GoalPlan { plan: self.plan.value()?, goal: self.goal })
    }
}

impl TermsJson {
    pub fn of(terms: &OfferTerms) -> Self {
        Self {
            offer: terms.offer.get(),
            program: terms.program.get(),
            version: terms.version,
            valid_from: terms.valid_from.0,
            window_secs: terms.window_secs,
            goals: terms.goals.iter().map(GoalJson::of).collect(),
            hold: HoldJson::of(terms.hold),
            model: ModelJson::of(&terms.model),
            trust_pixel: terms.trust_pixel,
        }
    }

    pub fn value(self) -> Result<OfferTerms, StoreError> {
        Ok(OfferTerms {
            offer: parts::id("offer", self.offer)?,
            program: parts::id("program", self.program)?,
            version: self.version,
            valid_from: UnixMicros(self.valid_from),
            window_secs: self.window_secs,
            goals: self.goals.into_iter().map(GoalJson::value).collect::<Result<_, _>>()?,
            hold: self.hold.value(),
            model: self.model.map_or(Ok(Model::Last), ModelJson::value)?,
            trust_pixel: self.trust_pixel,
        })
    }
}
