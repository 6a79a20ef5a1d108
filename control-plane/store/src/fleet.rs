//! Edges: how they join, which streams they write, which session is theirs.

use crate::dialect::Scope;
use crate::gaps::{Lost, read_lost};
use crate::place::Head;
use crate::retry::retrying;
use crate::row::{Columns, DEPLOYMENT, Id, found, page, take_seq};
use crate::sql::{Connection, Row, locking, query};
use crate::{Page, Store, StoreError};
use crate::{clones, restore};
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
    /// Its newest: what comes of an older one is fenced.
    pub epoch: u32,
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
    pub lost: Lost,
}

impl LaneHead {
    pub fn head(&self) -> Head {
        Head { last_ordinal: self.last_ordinal, hash: self.head_hash }
    }
}

/// What an edge says of a lane when it opens a session. An edge from before it could say so says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneClaim {
    pub lane: Lane,
    pub stream: StreamNo,
    /// The last ordinal of its sealed batches.
    pub held: u64,
    /// The last ordinal that we have signed for.
    pub signed_for: u64,
    /// Of what it holds. An edge from before it could say so says nothing.
    pub held_hash: Option<[u8; 32]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedSession {
    /// Rises with each session of the edge; older ones are fenced.
    pub session: u64,
    pub heads: Vec<LaneHead>,
    /// The epoch had been given out, and forgotten in a restore.
    pub adopted: bool,
}

fn read_token(row: &Row) -> Result<JoinToken, StoreError> {
    Ok(JoinToken {
        token_sha256: row.bytes("token_sha256")?,
        name: row.col("name")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        used_at: row.col::<Option<i64>>("used_at")?.map(UnixMicros),
    })
}

fn read_edge(row: &Row) -> Result<Edge, StoreError> {
    Ok(Edge {
        id: row.id("id")?,
        name: row.col("name")?,
        batch_public_key: row.bytes("batch_public_key")?,
        certificate_serial: row.col("certificate_serial")?,
        epoch: row.number("epoch")?,
        version: row.col("version")?,
        created_at: row.time("created_at")?,
        last_seen_at: row.col::<Option<i64>>("last_seen_at")?.map(UnixMicros),
        revoked: row.col("revoked")?,
    })
}

pub(crate) fn read_lane(row: &Row) -> Result<Lane, StoreError> {
    let code = row.number("lane")?;
    Lane::from_code(code).ok_or_else(|| StoreError::corrupt("lane", code))
}

pub(crate) fn read_head(row: &Row) -> Result<LaneHead, StoreError> {
    Ok(LaneHead {
        lane: read_lane(row)?,
        stream: row.stream("stream")?,
        last_ordinal: row.number("last_ordinal")?,
        head_hash: row.bytes("head_hash")?,
        quarantined: row.col("reason")?,
        lost: read_lost(row)?,
    })
}

fn usable_token(row: &Row, now: UnixMicros) -> Result<JoinToken, StoreError> {
    let token = read_token(row)?;
    if token.used_at.is_some() {
        return Err(StoreError::Conflict("join_token_used"));
    }
    if token.expires_at <= now {
        return Err(StoreError::Conflict("join_token_expired"));
    }
    Ok(token)
}

async fn insert_epoch(
    conn: &mut Connection,
    edge: EdgeId,
    reason: &str,
    now: UnixMicros,
) -> Result<EdgeEpoch, StoreError> {
    // The session rises too: whoever still publishes on the old epoch is fenced.
    // The floor is where epochs may stand that a restore has made us forget.
    let sql = "UPDATE edges SET epoch = CASE WHEN epoch_floor > epoch THEN epoch_floor ELSE epoch END + 1, \
        session = session + 1 WHERE id = $1 AND revoked = $2 RETURNING epoch";
    let row = query(sql).bind(edge.column()).bind(false).fetch_one(&mut *conn).await?;
    let epoch: u32 = row.number("epoch")?;
    begin_epoch(conn, edge, epoch, reason, now).await?;
    let money = insert_stream(conn, edge, epoch, Lane::Money).await?;
    let traffic = insert_stream(conn, edge, epoch, Lane::Traffic).await?;
    Ok(EdgeEpoch { epoch, money_stream: money, traffic_stream: traffic })
}

async fn insert_stream(
    conn: &mut Connection,
    edge: EdgeId,
    epoch: u32,
    lane: Lane,
) -> Result<StreamNo, StoreError> {
    let stream = take_seq(conn, DEPLOYMENT, "streams", 1).await?;
    let stream = u32::try_from(stream).map_err(|_| StoreError::Conflict("streams_exhausted"))?;
    begin_stream(conn, edge, epoch, (lane, StreamNo(stream))).await?;
    Ok(StreamNo(stream))
}

pub(crate) async fn begin_epoch(
    conn: &mut Connection,
    edge: EdgeId,
    epoch: u32,
    reason: &str,
    now: UnixMicros,
) -> Result<(), StoreError> {
    query("INSERT INTO edge_epochs (edge_id, epoch, reason, opened_at) VALUES ($1, $2, $3, $4)")
        .bind(edge.column())
        .bind(i64::from(epoch))
        .bind(reason)
        .bind(now.0)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn begin_stream(
    conn: &mut Connection,
    edge: EdgeId,
    epoch: u32,
    (lane, stream): (Lane, StreamNo),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO streams (stream, edge_id, epoch, lane, head_hash) VALUES ($1, $2, $3, $4, $5)";
    query(sql)
        .bind(i64::from(stream.0))
        .bind(edge.column())
        .bind(i64::from(epoch))
        .bind(i64::from(lane.code()))
        .bind(&[0u8; 32][..])
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_edge(
    conn: &mut Connection,
    edge: &NewEdge,
    name: &str,
    now: UnixMicros,
) -> Result<Edge, StoreError> {
    let seq = take_seq(conn, DEPLOYMENT, "edges", 1).await?;
    let sql = "INSERT INTO edges (id, seq, name, batch_public_key, certificate_serial, version, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *";
    let row = query(sql)
        .bind(edge.id.column())
        .bind(seq)
        .bind(name)
        .bind(&edge.batch_public_key[..])
        .bind(&edge.certificate_serial)
        .bind(&edge.version)
        .bind(now.0)
        .fetch_one(conn)
        .await?;
    read_edge(&row)
}

impl Store {
    pub async fn create_join_token(&self, token: &JoinToken) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql = "INSERT INTO join_tokens (token_sha256, name, created_at, expires_at) VALUES ($1, $2, $3, $4)";
            query(sql)
                .bind(&token.token_sha256[..])
                .bind(&token.name)
                .bind(token.created_at.0)
                .bind(token.expires_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit().await
        })
    }

    /// Checks a token without using it up, so that a bad request does not cost it.
    pub async fn check_join_token(
        &self,
        token_sha256: &[u8; 32],
        now: UnixMicros,
    ) -> Result<JoinToken, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        let row = query("SELECT * FROM join_tokens WHERE token_sha256 = $1").bind(&token_sha256[..]);
        usable_token(&row.fetch_one(&mut conn).await?, now)
    }

    /// Uses the token up, creates the edge and opens its first epoch, in one transaction. `NotFound` for an
    /// unknown token, `Conflict("join_token_used" | "join_token_expired")`.
    pub async fn enroll_edge(
        &self,
        token_sha256: &[u8; 32],
        edge: &NewEdge,
        now: UnixMicros,
    ) -> Result<(Edge, EdgeEpoch), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let row =
                query(locking!("SELECT * FROM join_tokens WHERE token_sha256 = $1")).bind(&token_sha256[..]);
            let token = usable_token(&row.fetch_one(&mut tx).await?, now)?;
            query("UPDATE join_tokens SET used_at = $2, edge_id = $3 WHERE token_sha256 = $1")
                .bind(&token_sha256[..])
                .bind(now.0)
                .bind(edge.id.column())
                .execute(&mut tx)
                .await?;
            let edge = insert_edge(&mut tx, edge, &token.name, now).await?;
            let epoch = insert_epoch(&mut tx, edge.id, "enrolled", now).await?;
            tx.commit().await?;
            Ok((edge, epoch))
        })
    }

    pub async fn get_edge(&self, id: EdgeId) -> Result<Edge, StoreError> {
        let row = query("SELECT * FROM edges WHERE id = $1").bind(id.column());
        read_edge(&row.fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }

    pub async fn list_edges(&self, after: Option<i64>, limit: u32) -> Result<Page<Edge>, StoreError> {
        let (before, rows) = Page::<Edge>::bounds(after, limit);
        let rows = query("SELECT * FROM edges WHERE seq < $1 ORDER BY seq DESC LIMIT $2")
            .bind(before)
            .bind(rows)
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        page(&rows, limit, read_edge)
    }

    /// After a renewal. `NotFound` also when the edge is revoked.
    pub async fn set_edge_certificate(
        &self,
        id: EdgeId,
        serial: &str,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql =
                "UPDATE edges SET certificate_serial = $2, last_seen_at = $3 WHERE id = $1 AND revoked = $4";
            let query = query(sql).bind(id.column()).bind(serial).bind(now.0).bind(false);
            found(query.execute(&mut tx).await?)?;
            tx.commit().await
        })
    }

    /// It was heard of, by whatever it has called.
    pub async fn edge_seen(&self, id: EdgeId, now: UnixMicros) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql = "UPDATE edges SET last_seen_at = $2 \
                WHERE id = $1 AND revoked = $3 AND (last_seen_at IS NULL OR last_seen_at < $2)";
            query(sql).bind(id.column()).bind(now.0).bind(false).execute(&mut tx).await?;
            tx.commit().await
        })
    }

    /// Its session is fenced in the same moment.
    pub async fn revoke_edge(&self, id: EdgeId) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql = "UPDATE edges SET revoked = $2, session = session + 1 WHERE id = $1";
            let query = query(sql).bind(id.column()).bind(true);
            found(query.execute(&mut tx).await?)?;
            tx.owed.fleet = true;
            tx.commit().await
        })
    }

    /// Lifts the quarantine of the edge's streams; gives them as they were. `NotFound` for an unknown edge,
    /// `Conflict("edge_revoked")` for one that may not send anyway.
    pub async fn release_edge(&self, id: EdgeId) -> Result<Vec<LaneHead>, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let row = query(locking!("SELECT * FROM edges WHERE id = $1")).bind(id.column());
            if read_edge(&row.fetch_one(&mut tx).await?)?.revoked {
                return Err(StoreError::Conflict("edge_revoked"));
            }
            let sql = "SELECT * FROM streams WHERE edge_id = $1 AND status = 'quarantined' ORDER BY stream";
            let rows = query(sql).bind(id.column()).fetch_all(&mut tx).await?;
            let held = rows.iter().map(read_head).collect::<Result<_, _>>()?;
            let sql = "UPDATE streams SET status = 'open', reason = NULL WHERE edge_id = $1";
            query(sql).bind(id.column()).execute(&mut tx).await?;
            tx.commit().await?;
            Ok(held)
        })
    }

    /// For a new spool: new streams; the epochs before it are fenced from now on. `NotFound` also when the
    /// edge is revoked.
    pub async fn open_epoch(
        &self,
        edge: EdgeId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<EdgeEpoch, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let epoch = insert_epoch(&mut tx, edge, reason, now).await?;
            tx.commit().await?;
            Ok(epoch)
        })
    }

    /// `Fenced` when the edge has a newer epoch than this one; `Conflict("unknown_epoch")` when we have never given
    /// it out, as far as anybody here remembers; `NotFound` also when the edge is revoked.
    pub async fn open_session(
        &self,
        edge: EdgeId,
        epoch: u32,
        lanes: &[LaneClaim],
        now: UnixMicros,
    ) -> Result<OpenedSession, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql = "UPDATE edges SET session = session + 1, last_seen_at = $2 WHERE id = $1 AND revoked = $3 \
                RETURNING epoch, epoch_floor, session";
            let row = query(sql).bind(edge.column()).bind(now.0).bind(false).fetch_one(&mut tx).await?;
            let (newest, floor): (u32, u32) = (row.number("epoch")?, row.number("epoch_floor")?);
            let adopted = epoch > newest;
            if epoch < newest {
                return Err(StoreError::Fenced);
            }
            if adopted {
                restore::adopt_epoch(&mut tx, edge, (epoch, floor), lanes, now).await?;
            }
            restore::note_held(&mut tx, edge, epoch, lanes).await?;
            let session = row.number("session")?;
            let rows = query("SELECT * FROM streams WHERE edge_id = $1 AND epoch = $2 ORDER BY stream")
                .bind(edge.column())
                .bind(i64::from(epoch))
                .fetch_all(&mut tx)
                .await?;
            let mut heads = rows.iter().map(read_head).collect::<Result<Vec<_>, _>>()?;
            clones::stop_diverged(&mut tx, edge, lanes, &mut heads, now).await?;
            tx.commit().await?;
            Ok(OpenedSession { session, heads, adopted })
        })
    }
}
