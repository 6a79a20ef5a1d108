//! Which control planes are at work on the database: each says so every few seconds.

use super::App;
use super::lease::{RENEW, TTL};
use control_plane_store::StoreError;
use control_plane_store::deployment::Node;
use proto_model::UnixMicros;
use tokio::time::Instant;

/// This process's own entry.
#[derive(Default)]
pub struct Presence {
    /// By the database's clock, like every time here.
    started_at: Option<UnixMicros>,
    next: Option<Instant>,
}

impl Presence {
    /// To be called often; writes only when it is time, and somebody else may want to know.
    pub async fn show(&mut self, app: &App, now: UnixMicros) -> Result<(), StoreError> {
        let at = Instant::now();
        if !app.store.is_shared() || self.next.is_some_and(|next| at < next) {
            return Ok(());
        }
        let started_at = *self.started_at.get_or_insert(now);
        let (name, version) = (app.node.clone(), env!("CARGO_PKG_VERSION").to_owned());
        app.store.see_node(&Node { name, version, started_at, seen_at: now }).await?;
        self.next = Some(at + RENEW);
        Ok(())
    }

    /// How many are at work, this one among them.
    pub async fn live(&self, app: &App, now: UnixMicros) -> Result<usize, StoreError> {
        let silent = i64::try_from(TTL.as_micros()).unwrap_or(i64::MAX);
        let nodes = app.store.nodes(UnixMicros(now.0.saturating_sub(silent))).await?;
        let own = nodes.iter().find(|node| node.name == app.node);
        if own.is_some_and(|own| self.started_at.is_some_and(|started| own.started_at > started)) {
            tracing::error!(
                node = app.node,
                "another control plane has the same name: stop one of them, and remove the file `node` that \
                 was copied into its data directory"
            );
        }
        Ok(nodes.len().max(1))
    }

    /// A process that ends in order is not waited for.
    pub async fn end(&self, app: &App) -> Result<(), StoreError> {
        app.store.forget_node(&app.node).await
    }
}
