//! The journal as a whole.

use super::ids::{EdgeRef, Id};
use super::{Api, Reply};
use crate::app::verify;
use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;

/// What walking every stream from its first batch has found.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = JournalVerification)]
pub struct VerificationView {
    /// Nothing was changed, added or lost since the edges signed it.
    pub ok: bool,
    pub streams: u64,
    pub batches: u64,
    pub events: u64,
    /// Personal values that match their commitments. Values that were erased are missing, and that is fine.
    pub personal_values: u64,
    /// Batches that are signed but hold no readable events.
    pub set_aside: u64,
    /// How many problems there are; `problems` tells the first hundred.
    pub problems_found: u64,
    pub problems: Vec<ProblemView>,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = JournalProblem)]
pub struct ProblemView {
    /// Null = the problem is of the journal as a whole.
    pub stream: Option<u32>,
    pub edge_id: Option<EdgeRef>,
    /// The first of the batch, or that of the personal value.
    pub ordinal: Option<u64>,
    #[schema(example = "the chain does not continue")]
    pub problem: String,
}

impl From<verify::Problem> for ProblemView {
    fn from(problem: verify::Problem) -> Self {
        Self {
            stream: problem.address.map(|address| address.stream.0),
            edge_id: problem.edge.map(Id),
            ordinal: problem.address.map(|address| address.ordinal),
            problem: problem.what,
        }
    }
}

/// Verify the journal
///
/// Checks every signature with its edge's batch key, header fields, chain, ordinals and head of every stream,
/// and every personal value that is left against its commitment.
#[utoipa::path(post, path = "/v1/journal/verify", tag = "operator",
    responses((status = 200, description = "What was found", body = VerificationView)))]
pub async fn verify_journal(State(api): State<Api>) -> Reply<Json<VerificationView>> {
    let report = verify::verify_journal(api.app()).await?;
    Ok(Json(VerificationView {
        ok: report.ok(),
        streams: report.streams,
        batches: report.batches,
        events: report.events,
        personal_values: report.values,
        set_aside: report.set_aside,
        problems_found: report.found,
        problems: report.problems.into_iter().map(ProblemView::from).collect(),
    }))
}
