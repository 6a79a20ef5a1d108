//! Terms, and what a commission keeps of them.

use super::parts::{self, AmountJson};
use super::{read, write};
use crate::StoreError;
use control_plane_domain::terms::{GoalPlan, Hold, OfferTerms, Plan};
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
    trust_pixel: bool,
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
            trust_pixel: self.trust_pixel,
        })
    }
}
