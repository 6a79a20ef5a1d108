//! The deployment as a whole: whether money may leave it, and what must be seen before it may again.

use super::body::Body;
use super::ids::{AdvertiserRef, EdgeRef, Id, TenantRef, Time};
use super::journal::VerificationView;
use super::{Api, Reply};
use crate::app::restore;
use axum::Json;
use axum::extract::State;
use control_plane_store::deployment::Freeze;
use control_plane_store::restore::{Returned, ReturnedLane};
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentView {
    /// How many times the database was put back from a backup.
    pub restores: u64,
    /// Null = periods can be closed.
    pub frozen: Option<FreezeView>,
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
    Ok(Json(DeploymentView { restores, frozen }))
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
    /// `whole` (all that it brought is here), `behind` (it still sends, or cannot), `quarantined`, or `missing` (it
    /// has not opened a session since the restore).
    #[schema(example = "whole")]
    pub status: &'static str,
    pub lanes: Vec<ReturnedLaneView>,
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
        () if !edge.is_whole() => "behind",
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

impl From<Returned> for ReturnedView {
    fn from(edge: Returned) -> Self {
        Self {
            status: status(&edge),
            edge_id: Id(edge.edge),
            name: edge.name,
            lanes: edge.lanes.into_iter().map(ReturnedLaneView::from).collect(),
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
/// Changes nothing where nothing is frozen.
#[utoipa::path(post, path = "/v1/deployment/reconcile", tag = "operator", request_body = Reconcile,
    responses((status = 200, description = "What was found", body = ReconciliationView)))]
pub async fn reconcile(
    State(api): State<Api>,
    Body(request): Body<Reconcile>,
) -> Reply<Json<ReconciliationView>> {
    let found = restore::reconcile(api.app(), request.accept_missing).await?;
    Ok(Json(ReconciliationView {
        reconciled: found.frozen.is_none(),
        frozen: found.frozen.map(FreezeView::from),
        edges: found.edges.into_iter().map(ReturnedView::from).collect(),
        journal: found.journal.into(),
        ledgers: found.ledgers,
        ledger_problems: found.ledger_problems.into_iter().map(LedgerProblemView::from).collect(),
    }))
}
