//! After the database was put back from a backup: edges send again what it has forgotten, and payouts wait until
//! an operator has seen that they did. Where somebody restored by hand and forgot to say so, edges give it away.

use super::health::Status;
use super::verify::{self, Verification, Walked};
use super::{App, clock};
use crate::error::AppError;
use crate::supervise::Stop;
use control_plane_domain::intake::ShardKey;
use control_plane_store::StoreError;
use control_plane_store::alerts::{AlertKind, edge_subject};
use control_plane_store::deployment::Freeze;
use control_plane_store::fleet::{LaneClaim, LaneHead};
use control_plane_store::gaps::Lost;
use control_plane_store::restore::Returned;
use proto_model::EdgeId;
use std::sync::Arc;
use std::time::Duration;

/// The part in the health report that says whether periods may be closed.
pub const PART: &str = "payouts";
/// The part that appears when an edge knows more than this database; it stays until a restart.
const FORGOTTEN: &str = "restore";
const EVERY: Duration = Duration::from_secs(2);
const TENANTS: u32 = 100;

/// Any control plane may have lifted the freeze, so each one looks.
pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    while !stop.requested() {
        match show(&app).await {
            // Others say so already; whether periods may be closed has not changed.
            Err(AppError::Store(error)) if error.is_temporary() => {}
            shown => shown?,
        }
        stop.sleep(EVERY).await;
    }
    Ok(())
}

async fn show(app: &App) -> Result<(), AppError> {
    let status = match app.store.freeze().await? {
        Some(freeze) => Status::Degraded(format!("frozen: {}", freeze.reason)),
        None => Status::Ok,
    };
    app.health.set(PART, status);
    Ok(())
}

/// An edge knows of something that this database does not.
pub fn notice(app: &App, kind: AlertKind, edge: EdgeId, what: &str) {
    app.alerts.raise(kind, edge_subject(edge), what.to_owned());
    tracing::error!(
        %edge,
        "{what}: was the database put back to an earlier state? Stop every control plane, run `tributary ctl \
         restore --database ... --data-dir ...`, and start them again (docs/backup.md)"
    );
    app.health.set(FORGOTTEN, Status::Degraded(what.to_owned()));
}

/// What the edge is told when it may not open a session.
pub(super) fn refused(app: &App, edge: EdgeId, epoch: u32, error: StoreError) -> AppError {
    let StoreError::Conflict(code) = error else { return error.into() };
    notice(
        app,
        AlertKind::RestoreRewind,
        edge,
        &format!("an edge comes with epoch {epoch}, which was never given out here ({code})"),
    );
    let message = format!(
        "epoch {epoch} is not known here; keep the spool, and see docs/backup.md on restored control planes"
    );
    AppError::Conflict { code, message }
}

/// Whether we have signed for more than we have.
pub(super) async fn compare(
    app: &App,
    edge: EdgeId,
    claims: &[LaneClaim],
    heads: &[LaneHead],
) -> Result<(), AppError> {
    let behind = claims.iter().find_map(|claim| {
        let head = heads.iter().find(|head| head.stream == claim.stream)?;
        (claim.signed_for > head.last_ordinal).then_some((claim, head.last_ordinal))
    });
    let Some((claim, last_ordinal)) = behind else { return Ok(()) };
    let (lane, signed_for) = (claim.lane.as_str(), claim.signed_for);
    let what = format!("{lane} was acknowledged up to {signed_for} and stands at {last_ordinal}");
    if app.store.freeze().await?.is_none() {
        notice(app, AlertKind::RestoreRewind, edge, &what);
    } else {
        app.alerts.raise(AlertKind::RestoreRewind, edge_subject(edge), what);
        tracing::info!(%edge, lane, signed_for, last_ordinal, "the edge sends again what the restore lost");
    }
    Ok(())
}

/// What an operator must know before money may leave again.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    pub edges: Vec<Returned>,
    pub journal: Verification,
    pub ledgers: u64,
    pub ledger_problems: Vec<LedgerProblem>,
    /// What was lifted now.
    pub lifted: Option<Freeze>,
    /// Still in force.
    pub frozen: Option<Freeze>,
}

#[derive(Clone, Debug)]
pub struct LedgerProblem {
    pub shard: ShardKey,
    pub what: String,
}

/// Looks at everything, and lifts the freeze when nothing is wrong: chains, signatures and balances always, and
/// each edge back with all that we had of it, unless the operator does without those that are gone.
pub async fn reconcile(app: &App, accept_missing: bool, walked: &Walked) -> Result<Reconciliation, AppError> {
    let journal = verify::verify_counting(&app.store, walked).await?;
    let (ledgers, ledger_problems) = verify_ledgers(app).await?;
    let edges = app.store.returned().await?;
    let sound = journal.ok() && ledger_problems.is_empty();
    let missing: Vec<&Returned> = edges.iter().filter(|edge| !edge.is_whole()).collect();
    let lifted = match sound && (missing.is_empty() || accept_missing) {
        true => app.store.lift_freeze().await?,
        false => None,
    };
    if let Some(freeze) = &lifted {
        let without: Vec<String> = missing.iter().map(|edge| done_without(edge)).collect();
        let frozen_secs = clock::now().secs() - freeze.at.secs();
        tracing::warn!(
            reason = freeze.reason,
            frozen_secs,
            without = without.join(", "),
            "an operator has reconciled; periods may be closed again"
        );
    }
    show(app).await?;
    let frozen = app.store.freeze().await?;
    Ok(Reconciliation { edges, journal, ledgers, ledger_problems, lifted, frozen })
}

/// For the log: who it is, and how much is gone for good. Each gap had its own line when it was declared.
fn done_without(edge: &Returned) -> String {
    let Lost { gaps, ordinals } = edge.lost.total;
    let gone = if gaps == 0 { String::new() } else { format!(", {ordinals} ordinals lost in {gaps} gaps") };
    format!("{} ({}){gone}", edge.edge, edge.name)
}

async fn verify_ledgers(app: &App) -> Result<(u64, Vec<LedgerProblem>), AppError> {
    let (mut ledgers, mut problems, mut after) = (0, Vec::new(), None);
    loop {
        let page = app.store.list_tenants(after, TENANTS).await?;
        for tenant in page.items {
            for shard in app.store.shards(tenant.id).await? {
                match app.store.verify_ledger(shard).await {
                    Ok(check) => {
                        problems.extend(check.problem.map(|what| LedgerProblem { shard, what }));
                        ledgers += 1;
                    }
                    // The money engine has not come to it yet.
                    Err(StoreError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok((ledgers, problems));
        }
    }
}
