//! The journal: sealed batches byte for byte as the edges signed them, insert-only.

use crate::alerts::{self, AlertKind, Raised, lane_subject};
use crate::days::DayTable;
use crate::db::Write;
use crate::dialect::Scope;
use crate::fleet::{LaneHead, read_head, read_lane};
use crate::place::{Head, Piece, Place, Taken, place};
use crate::retention::anchor;
use crate::retry::retrying;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};
use proto_model::event::ORDINAL_MAX;
use proto_model::{Address, EdgeId, Lane, StreamNo, UnixMicros};

/// The envelope's header in plain fields; the caller has verified the signature over its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub events: u32,
    pub prev_hash: [u8; 32],
}

/// A verified batch on its way into the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBatch {
    /// From the client certificate.
    pub edge: EdgeId,
    pub session: u64,
    pub header: BatchHeader,
    pub head_hash: [u8; 32],
    pub header_bytes: Vec<u8>,
    pub signature: [u8; 64],
    pub payload: Vec<u8>,
    /// Kept apart from the journal, and only until the projection has taken it up.
    pub sidecar: Vec<u8>,
    pub received_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AppendOutcome {
    /// Committed; ack up to the batch's last ordinal and its head hash.
    Appended { seq: u64 },
    /// The same for a gap, which has no place in the journal itself.
    Declared,
    /// The same bytes were here before, or what was here was dropped since: ack again, up to where the stream
    /// stands now.
    AlreadyCovered { last_ordinal: u64, head_hash: [u8; 32] },
    /// Something before it is missing.
    Gap { expected: u64 },
    /// Other bytes at ordinals that are taken, or a chain that does not continue: the stream is
    /// quarantined, now or since earlier.
    Fork { why: String },
    /// The session or the epoch is not the edge's newest.
    Fenced,
}

/// A batch as it stands in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRow {
    /// Dense from 1, in commit order, over all streams.
    pub seq: u64,
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub events: u32,
    pub header_bytes: Vec<u8>,
    pub signature: [u8; 64],
    pub payload: Vec<u8>,
    pub head_hash: [u8; 32],
    pub received_at: UnixMicros,
    /// Gone once projected.
    pub sidecar: Option<Vec<u8>>,
}
/// The columns of a [`JournalRow`]; each query says which rows.
macro_rules! select_journal {
    ($rest:literal) => {
        concat!(
            "SELECT j.seq, j.stream, j.lane, j.first_ordinal, j.last_ordinal, j.events, j.header, j.signature, \
             j.payload, j.head_hash, j.received_at, s.edge_id, s.epoch, p.sidecar \
             FROM journal j JOIN streams s ON s.stream = j.stream LEFT JOIN journal_sidecars p ON p.seq = j.seq ",
            $rest
        )
    };
}
pub(crate) use select_journal;

pub(crate) fn read_journal(row: &Row) -> Result<JournalRow, StoreError> {
    Ok(JournalRow {
        seq: row.number("seq")?,
        edge: row.id("edge_id")?,
        epoch: row.number("epoch")?,
        lane: read_lane(row)?,
        stream: row.stream("stream")?,
        first_ordinal: row.number("first_ordinal")?,
        last_ordinal: row.number("last_ordinal")?,
        events: row.number("events")?,
        header_bytes: row.col("header")?,
        signature: row.bytes("signature")?,
        payload: row.col("payload")?,
        head_hash: row.bytes("head_hash")?,
        received_at: row.time("received_at")?,
        sidecar: row.col("sidecar")?,
    })
}

/// Who wants to write to which stream.
pub(crate) struct Writer {
    pub edge: EdgeId,
    pub session: u64,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub at: UnixMicros,
}

impl NewBatch {
    fn writer(&self) -> Writer {
        let BatchHeader { epoch, lane, stream, .. } = self.header;
        Writer { edge: self.edge, session: self.session, epoch, lane, stream, at: self.received_at }
    }

    fn piece(&self) -> Piece {
        let BatchHeader { first_ordinal, last_ordinal, prev_hash, .. } = self.header;
        Piece { first_ordinal, last_ordinal, prev_hash }
    }
}

/// The stream as it stands, if this edge may write to it under this session. All that writes to an edge's streams
/// does so under the edge's row, which it takes first: in any other order two would wait for one another.
pub(crate) async fn open_head(
    conn: &mut Connection,
    writer: &Writer,
) -> Result<Option<LaneHead>, StoreError> {
    let sql = "UPDATE edges SET last_seen_at = $2 WHERE id = $1 RETURNING epoch, session, revoked";
    let edge = query(sql).bind(writer.edge.column()).bind(writer.at.0).fetch_one(&mut *conn).await?;
    let sql = "SELECT lane, stream, last_ordinal, head_hash, reason, gaps, lost_ordinals FROM streams \
        WHERE stream = $1 AND edge_id = $2 AND epoch = $3 AND lane = $4";
    let row = query(sql)
        .bind(i64::from(writer.stream.0))
        .bind(writer.edge.column())
        .bind(i64::from(writer.epoch))
        .bind(i64::from(writer.lane.code()))
        .fetch_one(conn)
        .await?;
    let newest = edge.number::<u32>("epoch")? == writer.epoch
        && edge.number::<u64>("session")? == writer.session
        && !edge.col::<bool>("revoked")?;
    if newest { read_head(&row).map(Some) } else { Ok(None) }
}

async fn taken(conn: &mut Connection, batch: &NewBatch) -> Result<Taken, StoreError> {
    let header = &batch.header;
    let sql = "SELECT head_hash FROM journal WHERE stream = $1 AND first_ordinal = $2 AND last_ordinal = $3";
    let known = query(sql)
        .bind(i64::from(header.stream.0))
        .bind(big(header.first_ordinal))
        .bind(big(header.last_ordinal))
        .fetch_optional(&mut *conn)
        .await?;
    match known {
        Some(row) if row.bytes::<32>("head_hash")? == batch.head_hash => Ok(Taken::Same),
        Some(_) => Ok(Taken::Other),
        // Looked at after the journal: days are dropped together with the anchor's move.
        None => Ok(Taken::Absent { dropped_through: anchor(conn, header.stream).await?.last_ordinal }),
    }
}

/// Ends the transaction of a piece that does not come next; one that does is the caller's to write.
pub(crate) async fn append_refused(
    mut tx: Write,
    writer: &Writer,
    head: &Head,
    place: Place,
) -> Result<AppendOutcome, StoreError> {
    match place {
        Place::Next | Place::Covered => {
            Ok(AppendOutcome::AlreadyCovered { last_ordinal: head.last_ordinal, head_hash: head.hash })
        }
        Place::Gap { expected } => Ok(AppendOutcome::Gap { expected }),
        Place::Fork(why) => {
            set_quarantine(&mut tx, writer.stream, why, writer.at).await?;
            tx.commit().await?;
            Ok(AppendOutcome::Fork { why: why.to_owned() })
        }
    }
}

/// The next number, and the time it is received: not before that of the batch before it.
async fn take_place(conn: &mut Connection, now: UnixMicros) -> Result<(i64, UnixMicros), StoreError> {
    let sql = "UPDATE journal_head SET seq = seq + 1, \
        received_at = CASE WHEN received_at > $1 THEN received_at ELSE $1 END RETURNING seq, received_at";
    let row = query(sql).bind(now.0).fetch_one(conn).await?;
    Ok((row.col("seq")?, row.time("received_at")?))
}

pub(crate) async fn move_head(
    conn: &mut Connection,
    stream: StreamNo,
    last_ordinal: u64,
    head_hash: &[u8; 32],
) -> Result<(), StoreError> {
    query("UPDATE streams SET last_ordinal = $2, head_hash = $3 WHERE stream = $1")
        .bind(i64::from(stream.0))
        .bind(big(last_ordinal))
        .bind(&head_hash[..])
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert(
    conn: &mut Connection,
    batch: &NewBatch,
    (seq, received_at): (i64, UnixMicros),
) -> Result<(), StoreError> {
    let header = &batch.header;
    let sql = "INSERT INTO journal (seq, stream, lane, first_ordinal, last_ordinal, events, header, \
        signature, payload, head_hash, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    query(sql)
        .bind(seq)
        .bind(i64::from(header.stream.0))
        .bind(i64::from(header.lane.code()))
        .bind(big(header.first_ordinal))
        .bind(big(header.last_ordinal))
        .bind(i64::from(header.events))
        .bind(&batch.header_bytes)
        .bind(&batch.signature[..])
        .bind(&batch.payload)
        .bind(&batch.head_hash[..])
        .bind(received_at.0)
        .execute(conn)
        .await?;
    if !batch.sidecar.is_empty() {
        query("INSERT INTO journal_sidecars (seq, sidecar) VALUES ($1, $2)")
            .bind(seq)
            .bind(&batch.sidecar)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// The first reason stays, and raises an alert.
pub(crate) async fn set_quarantine(
    conn: &mut Connection,
    stream: StreamNo,
    why: &str,
    now: UnixMicros,
) -> Result<(), StoreError> {
    let sql = "UPDATE streams SET status = 'quarantined', reason = $2 WHERE stream = $1 AND status = 'open' \
        RETURNING edge_id, lane";
    let open = query(sql).bind(i64::from(stream.0)).bind(why).fetch_optional(&mut *conn).await?;
    let Some(row) = open else {
        let known = query("SELECT 1 AS known FROM streams WHERE stream = $1").bind(i64::from(stream.0));
        return known.fetch_one(conn).await.map(drop).map_err(StoreError::from);
    };
    let raised = Raised {
        kind: AlertKind::StreamQuarantined,
        subject: lane_subject(row.id("edge_id")?, read_lane(&row)?),
        detail: format!("stream {}: {why}", stream.0),
        count: 1,
        at: now,
    };
    alerts::raise(conn, &raised).await
}

impl Store {
    /// Appends a verified batch, or says why not, in one transaction under the edge's row.
    /// `NotFound` when the stream is not this edge's, `Conflict("header")` for impossible ordinals.
    pub async fn append_batch(&self, batch: &NewBatch) -> Result<AppendOutcome, StoreError> {
        let header = &batch.header;
        if header.first_ordinal == 0
            || header.last_ordinal < header.first_ordinal
            || header.last_ordinal > ORDINAL_MAX
        {
            return Err(StoreError::Conflict("header"));
        }
        retrying!(self.try_append(batch))
    }

    async fn try_append(&self, batch: &NewBatch) -> Result<AppendOutcome, StoreError> {
        let (header, writer) = (&batch.header, batch.writer());
        let mut tx = self.write(Scope::Deployment).await?;
        let Some(head) = open_head(&mut tx, &writer).await? else { return Ok(AppendOutcome::Fenced) };
        if let Some(why) = head.quarantined {
            return Ok(AppendOutcome::Fork { why });
        }
        let (head, piece) = (head.head(), batch.piece());
        let taken = if piece.is_behind(&head) { taken(&mut tx, batch).await? } else { Taken::Other };
        match place(&head, &piece, taken) {
            Place::Next => {
                move_head(&mut tx, header.stream, header.last_ordinal, &batch.head_hash).await?;
                // Last, since all edges wait for it until the commit.
                let place = take_place(&mut tx, batch.received_at).await?;
                let days = self.days().make(&mut tx, &[DayTable::Journal], [place.1]).await?;
                insert(&mut tx, batch, place).await?;
                tx.owed.journal = true;
                tx.commit().await?;
                self.days().made(days);
                Ok(AppendOutcome::Appended { seq: place.0.unsigned_abs() })
            }
            refused => append_refused(tx, &writer, &head, refused).await,
        }
    }

    /// Takes nothing more from the stream until an operator has looked. The first reason stays.
    pub async fn quarantine(&self, stream: StreamNo, why: &str, now: UnixMicros) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            set_quarantine(&mut tx, stream, why, now).await?;
            tx.commit().await
        })
    }

    pub async fn journal_batch(&self, seq: u64) -> Result<JournalRow, StoreError> {
        let query = query(select_journal!("WHERE j.seq = $1")).bind(big(seq));
        read_journal(&query.fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }

    /// The first batch from `seq` on that is still there.
    pub async fn journal_batch_from(&self, seq: u64) -> Result<Option<JournalRow>, StoreError> {
        let query = query(select_journal!("WHERE j.seq >= $1 ORDER BY j.seq LIMIT 1")).bind(big(seq));
        let row = query.fetch_optional(&mut self.read(Scope::Deployment).await?).await?;
        row.as_ref().map(read_journal).transpose()
    }

    /// The batch that holds the event at `address`.
    pub async fn batch_at(&self, address: Address) -> Result<Option<JournalRow>, StoreError> {
        let sql = select_journal!(
            "WHERE j.stream = $1 AND j.first_ordinal <= $2 ORDER BY j.first_ordinal DESC LIMIT 1"
        );
        let row = query(sql)
            .bind(i64::from(address.stream.0))
            .bind(big(address.ordinal))
            .fetch_optional(&mut self.read(Scope::Deployment).await?)
            .await?;
        let batch = row.as_ref().map(read_journal).transpose()?;
        Ok(batch.filter(|batch| batch.last_ordinal >= address.ordinal))
    }

    /// The streams of an edge's every epoch, oldest first.
    pub async fn edge_streams(&self, edge: EdgeId) -> Result<Vec<LaneHead>, StoreError> {
        let rows = query("SELECT * FROM streams WHERE edge_id = $1 ORDER BY stream")
            .bind(edge.column())
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        rows.iter().map(read_head).collect()
    }
}
