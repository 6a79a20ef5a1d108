//! The deployment as a whole: whether money may leave it, and what must be seen before it may again.

use super::body::Body;
use super::ids::{AdvertiserRef, EdgeRef, Id, TenantRef, Time};
use super::journal::VerificationView;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::job::Stage;
use crate::app::restore::{self, Reconciliation};
use crate::app::verify::Walked;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_plane_store::deployment::Freeze;
use control_plane_store::restore::{LostOrdinals, Returned, ReturnedLane};
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentView {
    /// How many times the database was put back from a backup.
    pub restores: u64,
    /// Null = periods can be closed.
    pub frozen: Option<FreezeView>,
    /// Of this process, since it started; so are the others.
    pub reconciliation: RunView,
    /// What the last one has found; null = none has ended, or it has failed.
    pub last_reconciliation: Option<ReconciliationView>,
    /// Of the journal.
    pub verification: RunView,
    pub last_verification: Option<VerificationView>,
}

/// Work that goes on by itself, whoever listens.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunView {
    /// `never`, `running`, `done`, or `failed`.
    #[schema(example = "running")]
    pub state: &'static str,
    /// Null = never.
    pub started_at: Option<Time>,
    /// Null = it has not ended.
    pub ended_at: Option<Time>,
    /// Batches of the journal that were looked at; null = it does not run.
    pub batches: Option<u64>,
    /// Why it has failed; null = it has not.
    pub error: Option<String>,
}

impl RunView {
    const NEVER: Self = Self { state: "never", started_at: None, ended_at: None, batches: None, error: None };

    fn of<T, V: From<T>>(stage: Stage<T>) -> (Self, Option<V>) {
        match stage {
            Stage::Never => (Self::NEVER, None),
            Stage::Running { since, walked } => {
                let batches = Some(walked.load(Ordering::Relaxed));
                (Self { state: "running", started_at: Some(Time(since)), batches, ..Self::NEVER }, None)
            }
            Stage::Ended { started_at, at, result } => {
                let (state, error, found) = match result {
                    Ok(found) => ("done", None, Some(found.into())),
                    Err(why) => ("failed", Some(why), None),
                };
                let (started_at, ended_at) = (Some(Time(started_at)), Some(Time(at)));
                (Self { state, started_at, ended_at, error, ..Self::NEVER }, found)
            }
        }
    }
}

/// 200 with what was found, or 202 when that takes longer than a client should wait.
pub(super) fn answer<T, V: From<T> + serde::Serialize>(run: Result<Stage<T>, Stage<T>>) -> Reply<Response> {
    match run.map(RunView::of::<T, V>) {
        Ok((_, Some(found))) => Ok(Json(found).into_response()),
        Ok((RunView { error: Some(why), .. }, None)) => {
            let why = format!("It has not come to its end: {why}");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_finished", why))
        }
        Ok((run, None)) => Ok((StatusCode::ACCEPTED, Json(run)).into_response()),
        Err(running) => {
            let batches = RunView::of::<T, V>(running).0.batches.unwrap_or_default();
            let detail = format!(
                "It runs already and has looked at {batches} batches of the journal; GET /v1/deployment says what \
                 comes of it."
            );
            Err(Problem::conflict("already_running", detail))
        }
    }
}

/// No period can be closed; everything else goes on.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Freeze)]
pub struct FreezeView {
    pub since: Time,
    #[schema(example = "restored from a backup of 2026-03-01T04:00:00Z; reconcile")]
    pub reason: String,
}

impl From<Freeze> for FreezeView {
    fn from(freeze: Freeze) -> Self {
        Self { since: Time(freeze.at), reason: freeze.reason }
    }
}

/// Get the deployment
#[utoipa::path(get, path = "/v1/deployment", tag = "operator",
    responses((status = 200, description = "The deployment", body = DeploymentView)))]
pub async fn get_deployment(State(api): State<Api>) -> Reply<Json<DeploymentView>> {
    let restores = api.store().restores().await?;
    let frozen = api.store().freeze().await?.map(FreezeView::from);
    let (reconciliation, last_reconciliation) = RunView::of(api.app().reconciling.stage());
    let (verification, last_verification) = RunView::of(api.app().verifying.stage());
    Ok(Json(DeploymentView {
        restores,
        frozen,
        reconciliation,
        last_reconciliation,
        verification,
        last_verification,
    }))
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// Go on without what is missing of edges: those that are gone for good, or that cannot send again all that they
    /// had. False by default.
    #[serde(default)]
    accept_missing: bool,
}

/// What was looked at, and what came of it.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub struct ReconciliationView {
    /// Periods can be closed (again).
    pub reconciled: bool,
    /// Null = no freeze is left.
    pub frozen: Option<FreezeView>,
    /// Every edge that is not revoked.
    pub edges: Vec<ReturnedView>,
    pub journal: VerificationView,
    /// Ledgers that were walked: one for each advertiser, and one of settlements for each tenant.
    pub ledgers: u64,
    /// Of chains that are not whole; empty = none.
    pub ledger_problems: Vec<LedgerProblemView>,
}

/// An edge, and what of its events has arrived since the restore.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = ReturnedEdge)]
pub struct ReturnedView {
    pub edge_id: EdgeRef,
    pub name: String,
    /// `whole` (all that it brought is here), `behind` (it still sends, or cannot), `lossy` (it has declared batches
    /// as lost since payouts were frozen), `quarantined`, or `missing` (it has not opened a session since the
    /// restore).
    #[schema(example = "whole")]
    pub status: &'static str,
    pub lanes: Vec<ReturnedLaneView>,
    /// What it has declared as lost since payouts were frozen, in all its epochs, the first hundred gaps; empty =
    /// nothing. It may have been acknowledged before the restore: only `accept_missing` does without.
    pub lost: Vec<LostView>,
    /// How many gaps that are in all.
    pub lost_gaps: u64,
    /// The ordinals that were lost with all of them.
    pub lost_ordinals: u64,
}

/// Ordinals that no batch will fill any more.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = LostOrdinals)]
pub struct LostView {
    pub stream: u32,
    /// `money` or `traffic`.
    pub lane: &'static str,
    pub first_ordinal: u64,
    /// Inclusive.
    pub last_ordinal: u64,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = ReturnedLane)]
pub struct ReturnedLaneView {
    pub stream: u32,
    /// `money` or `traffic`.
    pub lane: &'static str,
    /// The last ordinal that is here.
    pub last_ordinal: u64,
    /// The last ordinal that the edge had when it opened its session; null = it has not come back.
    pub held_ordinal: Option<u64>,
    /// Why nothing more is taken from it; null = it is not quarantined.
    pub quarantined: Option<String>,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = LedgerProblem)]
pub struct LedgerProblemView {
    pub tenant_id: TenantRef,
    /// Null = the tenant's settlement shard.
    pub advertiser_id: Option<AdvertiserRef>,
    pub problem: String,
}

fn status(edge: &Returned) -> &'static str {
    match () {
        () if edge.lanes.iter().any(|lane| lane.quarantined.is_some()) => "quarantined",
        () if !edge.is_back() => "missing",
        () if !edge.lanes.iter().all(ReturnedLane::is_whole) => "behind",
        () if edge.lost.total.gaps > 0 => "lossy",
        () => "whole",
    }
}

impl From<ReturnedLane> for ReturnedLaneView {
    fn from(lane: ReturnedLane) -> Self {
        Self {
            stream: lane.stream.0,
            lane: lane.lane.as_str(),
            last_ordinal: lane.last_ordinal,
            held_ordinal: lane.held,
            quarantined: lane.quarantined,
        }
    }
}

impl From<LostOrdinals> for LostView {
    fn from(lost: LostOrdinals) -> Self {
        let LostOrdinals { lane, stream, first_ordinal, last_ordinal } = lost;
        Self { stream: stream.0, lane: lane.as_str(), first_ordinal, last_ordinal }
    }
}

impl From<Returned> for ReturnedView {
    fn from(edge: Returned) -> Self {
        Self {
            status: status(&edge),
            edge_id: Id(edge.edge),
            name: edge.name,
            lanes: edge.lanes.into_iter().map(ReturnedLaneView::from).collect(),
            lost: edge.lost.named.into_iter().map(LostView::from).collect(),
            lost_gaps: edge.lost.total.gaps,
            lost_ordinals: edge.lost.total.ordinals,
        }
    }
}

impl From<Reconciliation> for ReconciliationView {
    fn from(found: Reconciliation) -> Self {
        Self {
            reconciled: found.frozen.is_none(),
            frozen: found.frozen.map(FreezeView::from),
            edges: found.edges.into_iter().map(ReturnedView::from).collect(),
            journal: found.journal.into(),
            ledgers: found.ledgers,
            ledger_problems: found.ledger_problems.into_iter().map(LedgerProblemView::from).collect(),
        }
    }
}

impl From<restore::LedgerProblem> for LedgerProblemView {
    fn from(problem: restore::LedgerProblem) -> Self {
        let (tenant, advertiser) = (problem.shard.tenant, problem.shard.advertiser);
        Self { tenant_id: Id(tenant), advertiser_id: advertiser.map(Id), problem: problem.what }
    }
}

/// Reconcile after a restore
///
/// Verifies the journal and every ledger, and looks whether each edge has come back and sent again what it holds.
/// When all of that is well, periods can be closed again; otherwise the freeze stays, and the answer says why.
/// Changes nothing where nothing is frozen. It goes on by itself when the client does not wait: `GET /v1/deployment`
/// shows how far it is and what came of it.
#[utoipa::path(post, path = "/v1/deployment/reconcile", tag = "operator", request_body = Reconcile,
    responses((status = 200, description = "What was found", body = ReconciliationView),
        (status = 202, description = "It takes longer, and goes on", body = RunView)))]
pub async fn reconcile(State(api): State<Api>, Body(request): Body<Reconcile>) -> Reply<Response> {
    let (app, accept_missing) = (api.app().clone(), request.accept_missing);
    let reconciling =
        |walked: Arc<Walked>| async move { restore::reconcile(&app, accept_missing, &walked).await };
    answer::<_, ReconciliationView>(api.app().reconciling.run(api.app().stop.clone(), reconciling).await)
}
