//! Terms as JSON: goals with their plans, window, hold.

use super::attribution::AttributionView;
use super::ids::{AmountView, Id, OfferRef, Time};
use super::problem::Problem;
use crate::app::catalog::TermsDraft;
use control_plane_domain::terms::{GoalPlan, Hold, OfferTerms, Plan};
use proto_model::Rate;
use utoipa::ToSchema;

/// A share as a decimal string from 0 to 1 with at most six decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateText(pub Rate);

impl RateText {
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 1 || fraction.len() > 6 {
            return None;
        }
        let ppm: u32 = format!("{whole}{fraction:0<6}").parse().ok()?;
        Some(Self(Rate(ppm))).filter(|_| ppm <= Rate::ONE.0)
    }

    pub fn text(self) -> String {
        let Rate(ppm) = self.0;
        let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
        let short = text.trim_end_matches('0');
        if let Some(whole) = short.strip_suffix('.') { whole.to_owned() } else { short.to_owned() }
    }
}

impl serde::Serialize for RateText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> serde::Deserialize<'de> for RateText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "expected a decimal string from \"0\" to \"1\" with at most six decimals",
            )
        })
    }
}

/// What one goal pays: either `flat` or `percentage`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GoalPlan)]
pub struct GoalView {
    #[schema(example = "sale")]
    pub goal: String,
    /// The same for each conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat: Option<AmountView>,
    /// Of the conversion's amount, as a decimal string: `"0.1"` is 10 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "0.1")]
    pub percentage: Option<RateText>,
}

/// When a pending commission becomes approved: at delivery or after days, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Hold)]
pub struct HoldView {
    pub until_delivered: bool,
    /// Counted from the conversion; null = time alone never approves it.
    pub days: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTerms {
    /// In force for clicks from then on; now by default. Only an offer's first terms can begin in the past.
    valid_from: Option<Time>,
    /// Days from click to conversion. Either this or `window_secs`.
    #[schema(example = 30)]
    window_days: Option<u32>,
    window_secs: Option<i64>,
    goals: Vec<GoalView>,
    hold: HoldView,
    /// The last click has it all unless you say so.
    #[serde(default)]
    attribution: AttributionView,
    /// A pixel alone may confirm a conversion; false unless you say so.
    #[serde(default)]
    trust_pixel: bool,
}

/// One version of an offer's terms.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Terms)]
pub struct TermsView {
    pub offer_id: OfferRef,
    pub version: u32,
    pub valid_from: Time,
    pub window_secs: i64,
    pub goals: Vec<GoalView>,
    pub hold: HoldView,
    pub attribution: AttributionView,
    pub trust_pixel: bool,
}

impl From<&OfferTerms> for TermsView {
    fn from(terms: &OfferTerms) -> Self {
        let goal = |goal: &GoalPlan| {
            let (flat, percentage) = match &goal.plan {
                Plan::Flat(amount) => (Some((*amount).into()), None),
                Plan::Percentage(rate) => (None, Some(RateText(*rate))),
            };
            GoalView { goal: goal.goal.clone(), flat, percentage }
        };
        Self {
            offer_id: Id(terms.offer),
            version: terms.version,
            valid_from: Time(terms.valid_from),
            window_secs: terms.window_secs,
            goals: terms.goals.iter().map(goal).collect(),
            hold: HoldView { until_delivered: terms.hold.until_delivered, days: terms.hold.days },
            attribution: (&terms.model).into(),
            trust_pixel: terms.trust_pixel,
        }
    }
}

/// `at` is the pointer of the terms in the request body.
pub fn draft(new: &NewTerms, at: &str) -> Result<TermsDraft, Problem> {
    let mut goals = Vec::with_capacity(new.goals.len());
    for (index, goal) in new.goals.iter().enumerate() {
        let place = format!("{at}/goals/{index}");
        let plan = match (&goal.flat, goal.percentage) {
            (Some(amount), None) => Plan::Flat(amount.read(&format!("{place}/flat"))?),
            (None, Some(rate)) => Plan::Percentage(rate.0),
            _ => {
                let message = "give either flat or percentage";
                return Err(Problem::invalid_field(&place, "invalid_value", message));
            }
        };
        goals.push(GoalPlan { goal: goal.goal.clone(), plan });
    }
    let window_secs = match (new.window_days, new.window_secs) {
        (Some(days), None) => i64::from(days) * 86_400,
        (None, Some(secs)) => secs,
        _ => {
            let message = "give either window_days or window_secs";
            return Err(Problem::invalid_field(&format!("{at}/window_days"), "invalid_value", message));
        }
    };
    let Some(model) = new.attribution.model() else {
        let place = format!("{at}/attribution/weights");
        return Err(Problem::invalid_field(&place, "invalid_value", "a partner stands twice"));
    };
    Ok(TermsDraft {
        valid_from: new.valid_from.map(|time| time.0),
        window_secs,
        goals,
        hold: Hold { until_delivered: new.hold.until_delivered, days: new.hold.days },
        model,
        trust_pixel: new.trust_pixel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_decimal_strings() {
        let cases: &[(&str, Option<(u32, &str)>)] = &[
            ("0.1", Some((100_000, "0.1"))),
            ("0.10", Some((100_000, "0.1"))),
            ("1", Some((1_000_000, "1"))),
            ("0", Some((0, "0"))),
            ("0.000001", Some((1, "0.000001"))),
            ("0.0000001", None),
            ("1.1", None),
            ("1.000001", None),
            ("10", None),
            (".1", None),
            ("0.", None),
            ("-0.1", None),
            ("1e-1", None),
            ("10%", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let read = RateText::parse(text);
            assert_eq!(
                read.map(|rate| (rate.0.0, rate.text())),
                expected.map(|(p, t)| (p, t.to_owned())),
                "{text}"
            );
        }
    }
}
