//! The journal as a whole.

use super::deployment::{RunView, answer};
use super::ids::{EdgeRef, Id, Time};
use super::{Api, Reply};
use crate::app::verify::{self, Walked};
use axum::extract::State;
use axum::response::Response;
use proto_model::Address;
use std::sync::Arc;
use utoipa::ToSchema;

/// What walking every stream has found: from its first batch, or from the first that was not dropped.
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
    /// Batches of days that are not kept any more. They are not verified, and not a problem.
    pub dropped_batches: u64,
    /// All that was received before this was dropped; null = nothing was.
    pub dropped_before: Option<Time>,
    /// The streams that do not begin at ordinal 1 any more.
    pub cut_streams: Vec<CutStreamView>,
    /// Declarations of edges that batches are lost; they are signed, and fit.
    pub declared_gaps: u64,
    /// The ordinals in them.
    pub lost_ordinals: u64,
    /// How many problems there are; `problems` tells the first hundred.
    pub problems_found: u64,
    pub problems: Vec<ProblemView>,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = CutStream)]
pub struct CutStreamView {
    pub stream: u32,
    pub edge_id: EdgeRef,
    /// The first event that is left; the batch that holds it is signed over the hash of the one before it.
    pub verified_from_ordinal: u64,
}

impl From<verify::CutStream> for CutStreamView {
    fn from(cut: verify::CutStream) -> Self {
        let Address { stream, ordinal } = cut.from;
        Self { stream: stream.0, edge_id: Id(cut.edge), verified_from_ordinal: ordinal }
    }
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

impl From<verify::Verification> for VerificationView {
    fn from(report: verify::Verification) -> Self {
        Self {
            ok: report.ok(),
            streams: report.streams,
            batches: report.batches,
            events: report.events,
            personal_values: report.values,
            set_aside: report.set_aside,
            dropped_batches: report.dropped,
            dropped_before: report.dropped_before.map(Time),
            cut_streams: report.cut.into_iter().map(CutStreamView::from).collect(),
            declared_gaps: report.gaps,
            lost_ordinals: report.lost,
            problems_found: report.found,
            problems: report.problems.into_iter().map(ProblemView::from).collect(),
        }
    }
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
/// signed gaps where batches were lost, and every personal value that is left against its commitment. It goes on by itself when the client does not wait:
/// `GET /v1/deployment` shows how far it is and what came of it.
#[utoipa::path(post, path = "/v1/journal/verify", tag = "operator",
    responses((status = 200, description = "What was found", body = VerificationView),
        (status = 202, description = "It takes longer, and goes on", body = RunView)))]
pub async fn verify_journal(State(api): State<Api>) -> Reply<Response> {
    let store = api.store().clone();
    let verifying = |walked: Arc<Walked>| async move { verify::verify_counting(&store, &walked).await };
    answer::<_, VerificationView>(api.app().verifying.run(api.app().stop.clone(), verifying).await)
}
