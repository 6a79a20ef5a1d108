//! The structured parts of an order's aggregate.

use super::parts::{self, AmountJson, ClickJson, SourceJson};
use super::{read, reason, write};
use crate::StoreError;
use control_plane_domain::intake::OrderEventKind;
use control_plane_domain::order::{
    AmountSource, Arithmetic, Candidate, CandidateOrigin, Conflict, Decision, OrderEventRecord,
};
use proto_model::{Rate, UnixMicros};
use serde::{Deserialize, Serialize};

pub(crate) fn events_to_json(events: &[OrderEventRecord]) -> Result<String, StoreError> {
    write(&events.iter().map(EventJson::of).collect::<Vec<_>>())
}

pub(crate) fn events_from_json(json: &str) -> Result<Vec<OrderEventRecord>, StoreError> {
    read::<Vec<EventJson>>("order events", json)?.into_iter().map(EventJson::value).collect()
}

pub(crate) fn amount_source_to_json(stated: &AmountSource) -> Result<String, StoreError> {
    write(&AmountSourceJson::of(stated))
}

pub(crate) fn amount_source_from_json(json: &str) -> Result<AmountSource, StoreError> {
    Ok(read::<AmountSourceJson>("source of an amount", json)?.value())
}

pub(crate) fn conflicts_to_json(conflicts: &[Conflict]) -> Result<String, StoreError> {
    write(&conflicts.iter().map(ConflictJson::of).collect::<Vec<_>>())
}

pub(crate) fn conflicts_from_json(json: &str) -> Result<Vec<Conflict>, StoreError> {
    read::<Vec<ConflictJson>>("conflicts", json)?.into_iter().map(ConflictJson::value).collect()
}

/// `arithmetic` of the commission for all of the credit has always stood with the decision. `parts` says that there are
/// other commissions, of which a version before them must not take one for the only one.
pub(crate) fn decision_to_json(
    decision: &Decision,
    arithmetic: Option<&Arithmetic>,
    parts: bool,
) -> Result<String, StoreError> {
    write(&DecisionJson { parts, ..DecisionJson::of(decision, arithmetic) })
}

pub(crate) fn decision_from_json(json: &str) -> Result<(Decision, Option<Arithmetic>), StoreError> {
    read::<DecisionJson>("decision", json)?.value()
}

pub(crate) fn arithmetic_to_json(arithmetic: &Arithmetic) -> Result<String, StoreError> {
    write(&ArithmeticJson::of(arithmetic))
}

pub(crate) fn arithmetic_from_json(json: &str) -> Result<Arithmetic, StoreError> {
    read::<ArithmeticJson>("arithmetic", json)?.value()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventJson {
    event_id: String,
    event: String,
    amount: Option<AmountJson>,
    occurred_at: i64,
    source: SourceJson,
    ordinal: u64,
}

impl EventJson {
    fn of(event: &OrderEventRecord) -> Self {
        Self {
            event_id: event.event_id.clone(),
            event: event.kind.as_str().to_owned(),
            amount: AmountJson::of_opt(event.amount),
            occurred_at: event.occurred_at.0,
            source: SourceJson::of(&event.source),
            ordinal: event.ordinal,
        }
    }

    fn value(self) -> Result<OrderEventRecord, StoreError> {
        Ok(OrderEventRecord {
            kind: parts::word("order event", &self.event, OrderEventKind::parse)?,
            amount: AmountJson::value_opt(self.amount.as_ref())?,
            event_id: self.event_id,
            occurred_at: UnixMicros(self.occurred_at),
            source: self.source.value(),
            ordinal: self.ordinal,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountSourceJson {
    source: SourceJson,
    ordinal: u64,
}

impl AmountSourceJson {
    fn of(stated: &AmountSource) -> Self {
        Self { source: SourceJson::of(&stated.source), ordinal: stated.ordinal }
    }

    fn value(self) -> AmountSource {
        AmountSource { source: self.source.value(), ordinal: self.ordinal }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConflictJson {
    authority: String,
    amount: Option<AmountJson>,
    click: Option<ClickJson>,
    source: SourceJson,
    ordinal: u64,
    reason: String,
}

impl ConflictJson {
    fn of(conflict: &Conflict) -> Self {
        Self {
            authority: conflict.authority.as_str().to_owned(),
            amount: AmountJson::of_opt(conflict.amount),
            click: conflict.click.as_ref().map(ClickJson::of),
            source: SourceJson::of(&conflict.source),
            ordinal: conflict.ordinal,
            reason: conflict.reason.to_owned(),
        }
    }

    fn value(self) -> Result<Conflict, StoreError> {
        Ok(Conflict {
            authority: parts::authority(&self.authority)?,
            amount: AmountJson::value_opt(self.amount.as_ref())?,
            click: self.click.map(|click| click.value()).transpose()?,
            source: self.source.value(),
            ordinal: self.ordinal,
            reason: reason(&self.reason)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionJson {
    candidates: Vec<CandidateJson>,
    winner: Option<usize>,
    authority: Option<String>,
    terms_version: Option<u32>,
    arithmetic: Option<ArithmeticJson>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    parts: bool,
}

impl DecisionJson {
    fn of(decision: &Decision, arithmetic: Option<&Arithmetic>) -> Self {
        Self {
            candidates: decision.candidates.iter().map(CandidateJson::of).collect(),
            winner: decision.winner,
            authority: decision.authority.map(|authority| authority.as_str().to_owned()),
            terms_version: decision.terms_version,
            arithmetic: arithmetic.map(ArithmeticJson::of),
            parts: false,
        }
    }

    fn value(self) -> Result<(Decision, Option<Arithmetic>), StoreError> {
        let arithmetic = self.arithmetic.map(|arithmetic| arithmetic.value()).transpose()?;
        let decision = Decision {
            candidates: self.candidates.into_iter().map(CandidateJson::value).collect::<Result<_, _>>()?,
            winner: self.winner,
            authority: self.authority.as_deref().map(parts::authority).transpose()?,
            terms_version: self.terms_version,
        };
        Ok((decision, arithmetic))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CandidateJson {
    click: ClickJson,
    origin: String,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share_ppm: Option<u32>,
}

impl CandidateJson {
    fn of(candidate: &Candidate) -> Self {
        Self {
            click: ClickJson::of(&candidate.credit),
            origin: candidate.origin.as_str().to_owned(),
            outcome: candidate.outcome.to_owned(),
            share_ppm: candidate.share,
        }
    }

    fn value(self) -> Result<Candidate, StoreError> {
        let origin = parts::word("origin", &self.origin, CandidateOrigin::parse)?;
        let outcome = reason(&self.outcome)?;
        Ok(Candidate { credit: self.click.value()?, origin, outcome, share: self.share_ppm })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ArithmeticJson {
    Flat { result: AmountJson },
    Percentage { base: AmountJson, rate_ppm: u32, result: AmountJson },
}

impl ArithmeticJson {
    fn of(arithmetic: &Arithmetic) -> Self {
        match *arithmetic {
            Arithmetic::Flat { result } => Self::Flat { result: AmountJson::of(result) },
            Arithmetic::Percentage { base, rate, result } => Self::Percentage {
                base: AmountJson::of(base),
                rate_ppm: rate.0,
                result: AmountJson::of(result),
            },
        }
    }

    fn value(&self) -> Result<Arithmetic, StoreError> {
        Ok(match self {
            Self::Flat { result } => Arithmetic::Flat { result: result.value()? },
            Self::Percentage { base, rate_ppm, result } => {
                Arithmetic::Percentage { base: base.value()?, rate: Rate(*rate_ppm), result: result.value()? }
            }
        })
    }
}
