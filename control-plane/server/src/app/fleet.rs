//! Edges: join bundles, enrolment, renewal, revocation.

use super::{App, catalog, clock};
use crate::error::AppError;
use control_plane_store::fleet::{Edge, JoinToken};
use proto_model::EdgeId;
use proto_wire::join::JoinBundle;
use proto_wire::keys::sha256;
use std::time::Duration;

const JOIN_SECS: i64 = 15 * 60;
/// How often it is noted that an edge is there that only listens, or asks for leases of clicks. One that sends batches
/// is noted with each.
pub const SEEN_EVERY: Duration = Duration::from_secs(600);

/// A bundle for `tributary edge enroll`: good once, for 15 minutes.
pub async fn create_join_bundle(app: &App, name: &str) -> Result<JoinBundle, AppError> {
    let name = catalog::checked_name(name)?;
    let token = proto_wire::join::new_token();
    let now = clock::now();
    let record = JoinToken {
        token_sha256: sha256(token.as_bytes()),
        name: name.to_owned(),
        created_at: now,
        expires_at: now.plus_secs(JOIN_SECS),
        used_at: None,
    };
    app.store.create_join_token(&record).await?;
    Ok(JoinBundle { url: app.grpc_url.clone(), token, ca_der: app.authority.ca_der().to_vec() })
}

/// It calls. Whatever it wants is not refused for want of a note.
pub async fn seen(app: &App, edge: &Edge) {
    let every = i64::try_from(SEEN_EVERY.as_micros()).unwrap_or(i64::MAX);
    let now = clock::now();
    if edge.last_seen_at.is_none_or(|at| now.0.saturating_sub(at.0) >= every) {
        still_there(app, edge.id).await;
    }
}

/// It is connected.
pub async fn still_there(app: &App, edge: EdgeId) {
    if let Err(error) = app.store.edge_seen(edge, clock::now()).await {
        tracing::debug!(%edge, "cannot note that an edge is there: {error}");
    }
}

/// From now on nothing of this edge is accepted, and its certificate is not renewed.
pub async fn revoke_edge(app: &App, edge: EdgeId) -> Result<(), AppError> {
    app.store.revoke_edge(edge).await.map_err(AppError::of("edge"))
}

/// Lifts the quarantine of an edge's streams. What they hold is not touched, and whatever they are sent next
/// must continue it: a fork ends in quarantine again.
pub async fn release_edge(app: &App, edge: EdgeId) -> Result<(), AppError> {
    let released = app.store.release_edge(edge).await.map_err(AppError::of("edge"))?;
    for stream in released {
        let why = stream.quarantined.unwrap_or_default();
        tracing::warn!(
            %edge, stream = stream.stream.0, lane = stream.lane.as_str(), at = stream.last_ordinal,
            "an operator released a stream that was quarantined for: {why}"
        );
    }
    Ok(())
}
