//! Closing a period under an idempotency key: a retry closes nothing twice and gives the same statements.

use super::{App, clock, money, settle};
use crate::error::AppError;
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_domain::settlement::Statement;
use proto_model::{TenantId, UnixMicros};
use proto_wire::keys::sha256;

pub struct CloseRequest {
    /// `None` = now.
    pub through: Option<UnixMicros>,
    pub idempotency_key: String,
}

pub struct Closed {
    pub through: UnixMicros,
    pub recorded_at: UnixMicros,
    pub statements: Vec<Statement>,
}

/// Everything credited up to `through` becomes statements; waits until they stand.
pub async fn close(app: &App, tenant: TenantId, request: &CloseRequest) -> Result<Closed, AppError> {
    let now = clock::now();
    let through = request.through.unwrap_or(now);
    if through > now {
        return Err(AppError::invalid("through", "use an instant that has passed"));
    }
    app.store.get_tenant(tenant).await.map_err(AppError::of("tenant"))?;
    settle::check_not_frozen(app).await?;
    // What the caller sent, not what it came to: "now" is another instant in the retry.
    let sent = format!("close {:?}", request.through);
    let shard = ShardKey::settlement(tenant);
    let input = Input::ClosePeriod { through };
    let key = &request.idempotency_key;
    let ordinal = app.store.append_intake_once(shard, &input, key, sha256(sent.as_bytes()), now).await?;
    money::wait_applied(app, shard, ordinal, settle::WAIT).await?;
    let items = app.store.intake_items(shard, ordinal.saturating_sub(1), 1).await?;
    match items.into_iter().next() {
        Some(item) => match item.input {
            Input::ClosePeriod { through } => {
                let statements = settle::statements(app, tenant, through).await?;
                Ok(Closed { through, recorded_at: item.recorded_at, statements })
            }
            _ => Err(AppError::Conflict {
                code: "idempotency_key_reused",
                message: "this Idempotency-Key belongs to another request".to_owned(),
            }),
        },
        None => Err(AppError::NotFound("settlement")),
    }
}
