//! What closing a period (`close_once`) needs: that nothing is frozen, and the statements that it made.

use super::App;
use crate::error::AppError;
use control_plane_domain::settlement::Statement;
use proto_model::{TenantId, UnixMicros};
use std::time::Duration;

/// Longer than any healthy backlog; the close itself stays in the intake and is applied later anyway.
pub(super) const WAIT: Duration = Duration::from_secs(20);

/// Closing a period makes payouts, which cannot be taken back: not before somebody has looked at what a restore
/// may have lost.
pub(super) async fn check_not_frozen(app: &App) -> Result<(), AppError> {
    let Some(freeze) = app.store.freeze().await? else { return Ok(()) };
    let message = format!(
        "Payouts are frozen: {}. An operator lifts that with POST /v1/deployment/reconcile once every edge has \
         returned; everything else goes on.",
        freeze.reason
    );
    Err(AppError::Conflict { code: "payouts_frozen", message })
}

/// The statements of the period that ended at `through`; they are the newest ones unless somebody has
/// closed another period in the meantime.
pub(super) async fn statements(
    app: &App,
    tenant: TenantId,
    through: UnixMicros,
) -> Result<Vec<Statement>, AppError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = app.store.list_statements(tenant, None, after, 1_000).await?;
        let older = page.items.iter().any(|row| row.statement.through < through);
        let wanted = page.items.into_iter().map(|row| row.statement).filter(|s| s.through == through);
        found.extend(wanted);
        after = page.next;
        if older || after.is_none() {
            return Ok(found);
        }
    }
}
