//! What a verification of the whole journal reads: each stream in its order, whoever wrote what into it.

use crate::dialect::Scope;
use crate::journal::{JournalRow, read_journal, select_journal};
use crate::projection::{SidecarRow, read_sidecar};
use crate::row::{Columns, big};
use crate::sql::{Row, query};
use crate::{Store, StoreError};
use proto_model::{Address, EdgeId, Lane, StreamNo, UnixMicros};

/// A stream and the key that its batches must be signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedStream {
    pub stream: StreamNo,
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub batch_public_key: [u8; 32],
}

/// How many batches there are, and how many there should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalCount {
    /// After their stream's anchor: some that were dropped may still be there.
    pub batches: u64,
    pub highest_seq: u64,
    /// The last number that was dropped; all before it were, too.
    pub dropped: u64,
    /// What was received before this was dropped; `None` = nothing ever was.
    pub dropped_before: Option<UnixMicros>,
    /// The last number given out.
    pub given: u64,
}

fn read_stream(row: &Row) -> Result<SignedStream, StoreError> {
    Ok(SignedStream {
        stream: row.stream("stream")?,
        edge: row.id("edge_id")?,
        epoch: row.number("epoch")?,
        lane: crate::fleet::read_lane(row)?,
        batch_public_key: row.bytes("batch_public_key")?,
    })
}

impl Store {
    /// Streams with numbers after `stream`, of every edge and epoch.
    pub async fn signed_streams(
        &self,
        stream: StreamNo,
        limit: u32,
    ) -> Result<Vec<SignedStream>, StoreError> {
        let sql = "SELECT s.stream, s.edge_id, s.epoch, s.lane, e.batch_public_key FROM streams s \
            JOIN edges e ON e.id = s.edge_id WHERE s.stream > $1 ORDER BY s.stream LIMIT $2";
        let query = query(sql).bind(i64::from(stream.0)).bind(i64::from(limit));
        query.fetch_all(&mut self.read(Scope::Deployment).await?).await?.iter().map(read_stream).collect()
    }

    /// The last ordinal and the head hash of a stream, as acks have named them.
    pub async fn stream_head(&self, stream: StreamNo) -> Result<(u64, [u8; 32]), StoreError> {
        let sql = "SELECT last_ordinal, head_hash FROM streams WHERE stream = $1";
        let row =
            query(sql).bind(i64::from(stream.0)).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
        Ok((row.number("last_ordinal")?, row.bytes("head_hash")?))
    }

    /// A stream's batches that begin after `first_ordinal`, in order.
    pub async fn batches_beginning_after(
        &self,
        stream: StreamNo,
        first_ordinal: u64,
        limit: u32,
    ) -> Result<Vec<JournalRow>, StoreError> {
        let sql =
            select_journal!("WHERE j.stream = $1 AND j.first_ordinal > $2 ORDER BY j.first_ordinal LIMIT $3");
        let query = query(sql).bind(i64::from(stream.0)).bind(big(first_ordinal)).bind(i64::from(limit));
        query.fetch_all(&mut self.read(Scope::Deployment).await?).await?.iter().map(read_journal).collect()
    }

    /// The personal values that are left of a batch, whichever tenant they are filed under.
    pub async fn sidecar_of_batch(&self, row: &JournalRow) -> Result<Vec<SidecarRow>, StoreError> {
        let sql = "SELECT * FROM sidecar WHERE tenant_id IN (SELECT id FROM tenants) AND stream = $1 \
            AND ordinal BETWEEN $2 AND $3";
        let query =
            query(sql).bind(i64::from(row.stream.0)).bind(big(row.first_ordinal)).bind(big(row.last_ordinal));
        query.fetch_all(&mut self.read(Scope::Deployment).await?).await?.iter().map(read_sidecar).collect()
    }

    /// Personal values of events that no batch holds. Those of dropped ones are on their way out.
    pub async fn stray_sidecar(&self, limit: u32) -> Result<Vec<Address>, StoreError> {
        let sql = "SELECT s.stream, s.ordinal FROM sidecar s WHERE coalesce((SELECT j.last_ordinal \
            FROM journal j WHERE j.stream = s.stream AND j.first_ordinal <= s.ordinal \
            ORDER BY j.first_ordinal DESC LIMIT 1), 0) < s.ordinal \
            AND coalesce((SELECT a.last_ordinal FROM journal_anchors a WHERE a.stream = s.stream), 0) \
                < s.ordinal LIMIT $1";
        let rows =
            query(sql).bind(i64::from(limit)).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let address =
            |row: &Row| Ok(Address { stream: row.stream("stream")?, ordinal: row.number("ordinal")? });
        rows.iter().map(address).collect()
    }

    pub async fn journal_count(&self) -> Result<JournalCount, StoreError> {
        let sql = "SELECT k.batches, coalesce(k.highest, h.dropped_through) AS highest, h.seq AS given, \
            h.dropped_through, h.dropped_before FROM journal_head h, \
            (SELECT count(*) AS batches, max(j.seq) AS highest FROM journal j \
                LEFT JOIN journal_anchors a ON a.stream = j.stream \
                WHERE j.first_ordinal > coalesce(a.last_ordinal, 0)) k";
        let row = query(sql).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
        let dropped = row.number("dropped_through")?;
        Ok(JournalCount {
            batches: row.number("batches")?,
            highest_seq: row.number("highest")?,
            dropped,
            dropped_before: if dropped == 0 { None } else { Some(row.time("dropped_before")?) },
            given: row.number("given")?,
        })
    }
}
