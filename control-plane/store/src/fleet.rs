//! Edges: how they join, which streams they write, which session is theirs.

use crate::{Page, Store, StoreError};
use proto_model::{EdgeId, Lane, StreamNo, UnixMicros};

/// A one-time right to enrol an edge; only the hash of the token is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    pub token_sha256: [u8; 32],
    /// The name that the edge will have.
    pub name: String,
    pub created_at: UnixMicros,
    pub expires_at: UnixMicros,
    pub used_at: Option<UnixMicros>,
}

/// What an enrolling edge brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEdge {
    pub id: EdgeId,
    pub batch_public_key: [u8; 32],
    /// Lower hex.
    pub certificate_serial: String,
    pub version: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    pub id: EdgeId,
    pub name: String,
    pub batch_public_key: [u8; 32],
    /// Lower hex.
    pub certificate_serial: String,
    pub version: String,
    pub created_at: UnixMicros,
    pub last_seen_at: Option<UnixMicros>,
    pub revoked: bool,
}

/// A spool's numbers: one epoch, two streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeEpoch {
    pub epoch: u32,
    pub money_stream: StreamNo,
    pub traffic_stream: StreamNo,
}

/// How far a stream has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneHead {
    pub lane: Lane,
    pub stream: StreamNo,
    /// 0 = nothing yet.
    pub last_ordinal: u64,
    /// Zeros = nothing yet.
    pub head_hash: [u8; 32],
    /// Why nothing more is taken from it, until an operator has looked.
    pub quarantined: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedSession {
    /// Rises with each session of the edge; older ones are fenced.
    pub session: u64,
    pub heads: Vec<LaneHead>,
}
impl Store {
    pub async fn create_join_token(&self, token: &JoinToken) -> Result<(), StoreError> {
        let _ = token;
        Err(StoreError::NotFound)
    }
    /// Uses the token up, creates the edge and opens its first epoch, in one transaction. `NotFound` for an
    /// unknown token, `Conflict("join_token_used" | "join_token_expired")`.
    pub async fn enroll_edge(
        &self,
        token_sha256: &[u8; 32],
        edge: &NewEdge,
        now: UnixMicros,
    ) -> Result<(Edge, EdgeEpoch), StoreError> {
        let _ = (token_sha256, edge, now);
        Err(StoreError::NotFound)
    }
    /// Checks a token without using it up, so that a bad request does not cost it.
    pub async fn check_join_token(
        &self,
        token_sha256: &[u8; 32],
        now: UnixMicros,
    ) -> Result<JoinToken, StoreError> {
        let _ = (token_sha256, now);
        Err(StoreError::NotFound)
    }
    pub async fn get_edge(&self, id: EdgeId) -> Result<Edge, StoreError> {
        let _ = id;
        Err(StoreError::NotFound)
    }
    pub async fn list_edges(&self, after: Option<i64>, limit: u32) -> Result<Page<Edge>, StoreError> {
        let _ = (after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn set_edge_certificate(
        &self,
        id: EdgeId,
        serial: &str,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let _ = (id, serial, now);
        Err(StoreError::NotFound)
    }
    pub async fn touch_edge(&self, id: EdgeId, now: UnixMicros) -> Result<(), StoreError> {
        let _ = (id, now);
        Err(StoreError::NotFound)
    }
    pub async fn revoke_edge(&self, id: EdgeId) -> Result<(), StoreError> {
        let _ = id;
        Err(StoreError::NotFound)
    }
    /// For a new spool: new streams; the epochs before it are fenced from now on.
    pub async fn open_epoch(
        &self,
        edge: EdgeId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<EdgeEpoch, StoreError> {
        let _ = (edge, reason, now);
        Err(StoreError::NotFound)
    }
    /// `Fenced` unless `epoch` is the edge's newest; `Refused` when the edge is revoked.
    pub async fn open_session(
        &self,
        edge: EdgeId,
        epoch: u32,
        now: UnixMicros,
    ) -> Result<OpenedSession, StoreError> {
        let _ = (edge, epoch, now);
        Err(StoreError::NotFound)
    }
}
