//! Gaps: what an edge has lost of a stream, and has declared under its name. Insert-only, like the batches in whose
//! place they stand; and kept when those around them are dropped.

use crate::alerts::{self, AlertKind, Raised, lane_subject};
use crate::dialect::Scope;
use crate::journal::{AppendOutcome, Writer, append_refused, move_head, open_head};
use crate::place::{Piece, Place, Taken, place};
use crate::retention::anchor;
use crate::retry::retrying;
use crate::row::{Columns, big};
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};
use proto_model::event::ORDINAL_MAX;
use proto_model::{EdgeId, Lane, StreamNo, UnixMicros};

/// A verified declaration on its way into its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewGap {
    /// From the client certificate.
    pub edge: EdgeId,
    pub session: u64,
    pub epoch: u32,
    pub lane: Lane,
    pub row: GapRow,
}

/// A declared gap as it is kept; its fields are those of the signed declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GapRow {
    pub stream: StreamNo,
    pub first_ordinal: u64,
    /// Inclusive.
    pub last_ordinal: u64,
    /// Such as `damaged`.
    pub reason: String,
    pub declaration: Vec<u8>,
    pub signature: [u8; 64],
    pub prev_hash: [u8; 32],
    /// The stream's head behind it.
    pub resume_hash: [u8; 32],
    pub received_at: UnixMicros,
}

impl GapRow {
    pub fn ordinals(&self) -> u64 {
        self.last_ordinal.saturating_sub(self.first_ordinal).saturating_add(1)
    }

    fn piece(&self) -> Piece {
        let Self { first_ordinal, last_ordinal, prev_hash, .. } = *self;
        Piece { first_ordinal, last_ordinal, prev_hash }
    }
}

/// What a stream has lost so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lost {
    pub gaps: u64,
    pub ordinals: u64,
}

/// A lane of an edge, for whoever watches it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchedLane {
    pub edge: EdgeId,
    pub lane: Lane,
    /// Of its newest stream.
    pub quarantined: bool,
    /// In all streams that the edge ever had.
    pub lost: Lost,
}

/// The database counts them where a gap is written (migration 0015).
pub(crate) fn read_lost(row: &Row) -> Result<Lost, StoreError> {
    Ok(Lost { gaps: row.number("gaps")?, ordinals: row.number("lost_ordinals")? })
}

fn read_gap(row: &Row) -> Result<GapRow, StoreError> {
    Ok(GapRow {
        stream: row.stream("stream")?,
        first_ordinal: row.number("first_ordinal")?,
        last_ordinal: row.number("last_ordinal")?,
        reason: row.col("reason")?,
        declaration: row.col("declaration")?,
        signature: row.bytes("signature")?,
        prev_hash: row.bytes("prev_hash")?,
        resume_hash: row.bytes("resume_hash")?,
        received_at: row.time("received_at")?,
    })
}

async fn taken(conn: &mut Connection, gap: &GapRow) -> Result<Taken, StoreError> {
    let sql = "SELECT declaration FROM stream_gaps WHERE stream = $1 AND first_ordinal = $2";
    let known = query(sql).bind(i64::from(gap.stream.0)).bind(big(gap.first_ordinal));
    match known.fetch_optional(&mut *conn).await? {
        Some(row) if row.col::<Vec<u8>>("declaration")? == gap.declaration => Ok(Taken::Same),
        Some(_) => Ok(Taken::Other),
        None => Ok(Taken::Absent { dropped_through: anchor(conn, gap.stream).await?.last_ordinal }),
    }
}

async fn insert(conn: &mut Connection, gap: &GapRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO stream_gaps (stream, first_ordinal, last_ordinal, reason, declaration, signature, \
        prev_hash, resume_hash, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    query(sql)
        .bind(i64::from(gap.stream.0))
        .bind(big(gap.first_ordinal))
        .bind(big(gap.last_ordinal))
        .bind(&gap.reason)
        .bind(&gap.declaration)
        .bind(&gap.signature[..])
        .bind(&gap.prev_hash[..])
        .bind(&gap.resume_hash[..])
        .bind(gap.received_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

fn declared(gap: &NewGap) -> Raised {
    let row = &gap.row;
    Raised {
        kind: AlertKind::GapDeclared,
        subject: lane_subject(gap.edge, gap.lane),
        detail: format!(
            "ordinals {} to {} of stream {} are lost on the edge ({}): {}",
            row.first_ordinal,
            row.last_ordinal,
            row.stream.0,
            row.reason,
            row.ordinals()
        ),
        count: 1,
        at: row.received_at,
    }
}

impl Store {
    /// Puts a verified declaration into its stream, or says why not, in one transaction under the edge's row; raises
    /// an alert in the same. Errors as those of [`Store::append_batch`].
    pub async fn append_gap(&self, gap: &NewGap) -> Result<AppendOutcome, StoreError> {
        let row = &gap.row;
        if row.first_ordinal == 0 || row.last_ordinal < row.first_ordinal || row.last_ordinal > ORDINAL_MAX {
            return Err(StoreError::Conflict("header"));
        }
        retrying!(self.try_append_gap(gap))
    }

    async fn try_append_gap(&self, gap: &NewGap) -> Result<AppendOutcome, StoreError> {
        let row = &gap.row;
        let writer = Writer {
            edge: gap.edge,
            session: gap.session,
            epoch: gap.epoch,
            lane: gap.lane,
            stream: row.stream,
            at: row.received_at,
        };
        let mut tx = self.write(Scope::Deployment).await?;
        let Some(head) = open_head(&mut tx, &writer).await? else { return Ok(AppendOutcome::Fenced) };
        if let Some(why) = head.quarantined {
            return Ok(AppendOutcome::Fork { why });
        }
        let (head, piece) = (head.head(), row.piece());
        let taken = if piece.is_behind(&head) { taken(&mut tx, row).await? } else { Taken::Other };
        match place(&head, &piece, taken) {
            Place::Next => {
                move_head(&mut tx, row.stream, row.last_ordinal, &row.resume_hash).await?;
                // Counts it at its stream, too.
                insert(&mut tx, row).await?;
                alerts::raise(&mut tx, &declared(gap)).await?;
                tx.commit().await?;
                Ok(AppendOutcome::Declared)
            }
            refused => append_refused(tx, &writer, &head, refused).await,
        }
    }

    /// A stream's gaps that begin after `first_ordinal`, in order.
    pub async fn gaps_beginning_after(
        &self,
        stream: StreamNo,
        first_ordinal: u64,
        limit: u32,
    ) -> Result<Vec<GapRow>, StoreError> {
        let sql = "SELECT * FROM stream_gaps WHERE stream = $1 AND first_ordinal > $2 \
            ORDER BY first_ordinal LIMIT $3";
        let query = query(sql).bind(i64::from(stream.0)).bind(big(first_ordinal)).bind(i64::from(limit));
        query.fetch_all(&mut self.read(Scope::Deployment).await?).await?.iter().map(read_gap).collect()
    }

    /// Of the edges that are not revoked, oldest first, and money first. Reads streams, however much they have lost.
    pub async fn watched_lanes(&self) -> Result<Vec<WatchedLane>, StoreError> {
        let sql = "SELECT s.edge_id, s.lane, CAST(sum(s.gaps) AS BIGINT) AS gaps, \
            CAST(sum(s.lost_ordinals) AS BIGINT) AS lost_ordinals, \
            CAST(max(CASE WHEN s.epoch = e.epoch AND s.status = 'quarantined' THEN 1 ELSE 0 END) AS BIGINT) \
            AS quarantined \
            FROM edges e JOIN streams s ON s.edge_id = e.id WHERE e.revoked = $1 \
            GROUP BY e.seq, s.edge_id, s.lane ORDER BY e.seq, s.lane";
        let rows = query(sql).bind(false).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let watched = |row: &Row| {
            Ok(WatchedLane {
                edge: row.id("edge_id")?,
                lane: crate::fleet::read_lane(row)?,
                quarantined: row.number::<u64>("quarantined")? > 0,
                lost: read_lost(row)?,
            })
        };
        rows.iter().map(watched).collect()
    }
}
