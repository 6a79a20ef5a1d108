//! How clicks share a conversion, as JSON.

use super::ids::{Id, PartnerRef};
use super::terms::RateText;
use control_plane_domain::terms::Model;
use proto_model::Rate;
use utoipa::ToSchema;

/// Which of the clicks that may be credited are, and with how much.
///
/// With braces also where there is nothing to say: of a unit serde refuses no unknown fields.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(tag = "model", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Attribution)]
pub enum AttributionView {
    /// All to the last click.
    Last {},
    /// All to the first click.
    First {},
    /// The same to each click.
    Linear {},
    /// So much to the first and to the last click, the rest to those between, the same to each.
    Position {
        /// As a decimal string: `"0.4"` is 40 %.
        #[schema(value_type = String, example = "0.4")]
        first: RateText,
        #[schema(value_type = String, example = "0.4")]
        last: RateText,
    },
    /// Half as much for each half-life that a click is older than the last one.
    Decay {
        #[schema(example = 604_800)]
        half_life_secs: u32,
    },
    /// By partner, for instance as learned from past conversions. Who is not named has nothing, unless nobody is.
    Weights { weights: Vec<WeightView> },
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Weight)]
pub struct WeightView {
    pub partner_id: PartnerRef,
    /// In proportion to the others'.
    pub weight: u32,
}

impl Default for AttributionView {
    fn default() -> Self {
        Self::Last {}
    }
}

impl From<&Model> for AttributionView {
    fn from(model: &Model) -> Self {
        match model {
            Model::Last => Self::Last {},
            Model::First => Self::First {},
            Model::Linear => Self::Linear {},
            Model::Position { first, last } => {
                Self::Position { first: RateText(Rate(*first)), last: RateText(Rate(*last)) }
            }
            Model::Decay { half_life_secs } => Self::Decay { half_life_secs: *half_life_secs },
            Model::Weights(weights) => {
                let weight =
                    |(partner, weight): (&_, &_)| WeightView { partner_id: Id(*partner), weight: *weight };
                Self::Weights { weights: weights.iter().map(weight).collect() }
            }
        }
    }
}

impl AttributionView {
    /// `None` = a partner stands twice.
    pub fn model(&self) -> Option<Model> {
        Some(match self {
            Self::Last {} => Model::Last,
            Self::First {} => Model::First,
            Self::Linear {} => Model::Linear,
            Self::Position { first, last } => Model::Position { first: first.0.0, last: last.0.0 },
            Self::Decay { half_life_secs } => Model::Decay { half_life_secs: *half_life_secs },
            Self::Weights { weights } => {
                let by_partner: std::collections::BTreeMap<_, _> =
                    weights.iter().map(|weight| (weight.partner_id.0, weight.weight)).collect();
                return (by_partner.len() == weights.len()).then_some(Model::Weights(by_partner));
            }
        })
    }
}
