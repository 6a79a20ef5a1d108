//! What a verification of the whole journal reads: each stream in its order, whoever wrote what into it.

use crate::dialect::Scope;
use crate::journal::{JournalRow, read_journal, select_journal};
use crate::projection::{SidecarRow, erased_within, read_sidecar, read_values, select_packed};
use crate::row::{Columns, big};
use crate::sql::{Query, Row, Sql, query};
use crate::{Store, StoreError};
use proto_model::{Address, EdgeId, Lane, StreamNo, UnixMicros};
use serde_json::json;

/// Batches per statement.
const COUNTED: i64 = 2_000;

/// A single value, or a blob by its first ordinal. By tenant, in the key: the tables are far too large to be read from
/// one end to the other in one statement.
const VALUES_BETWEEN: Sql = Sql {
    sqlite: "SELECT stream, ordinal FROM sidecar WHERE tenant_id IN (SELECT id FROM tenants) \
        AND stream = $1 AND ordinal > $2 AND ordinal < $3 \
        UNION ALL SELECT stream, first_ordinal FROM sidecar_batches WHERE tenant_id IN (SELECT id FROM tenants) \
        AND stream = $1 AND first_ordinal > $2 AND first_ordinal < $3 LIMIT $4",
    postgres: "SELECT v.stream, v.ordinal FROM tenants t CROSS JOIN LATERAL (\
        (SELECT s.stream, s.ordinal FROM sidecar s WHERE s.tenant_id = t.id AND s.stream = $1 \
            AND s.ordinal > $2 AND s.ordinal < $3 ORDER BY s.stream, s.ordinal LIMIT $4) \
        UNION ALL (SELECT b.stream, b.first_ordinal FROM sidecar_batches b WHERE b.tenant_id = t.id \
            AND b.stream = $1 AND b.first_ordinal > $2 AND b.first_ordinal < $3 \
            ORDER BY b.stream, b.first_ordinal LIMIT $4)) v LIMIT $4",
};
const VALUES_OF_NO_STREAM: Sql = Sql {
    sqlite: "SELECT stream, ordinal FROM sidecar WHERE tenant_id IN (SELECT id FROM tenants) \
        AND stream > $1 AND stream < $2 AND stream NOT IN (SELECT stream FROM streams) \
        UNION ALL SELECT stream, first_ordinal FROM sidecar_batches WHERE tenant_id IN (SELECT id FROM tenants) \
        AND stream > $1 AND stream < $2 AND stream NOT IN (SELECT stream FROM streams) LIMIT $3",
    postgres: "SELECT v.stream, v.ordinal FROM tenants t CROSS JOIN LATERAL (\
        (SELECT s.stream, s.ordinal FROM sidecar s WHERE s.tenant_id = t.id AND s.stream > $1 AND s.stream < $2 \
            AND NOT EXISTS (SELECT 1 FROM streams k WHERE k.stream = s.stream) \
            ORDER BY s.stream, s.ordinal LIMIT $3) \
        UNION ALL (SELECT b.stream, b.first_ordinal FROM sidecar_batches b WHERE b.tenant_id = t.id \
            AND b.stream > $1 AND b.stream < $2 \
            AND NOT EXISTS (SELECT 1 FROM streams k WHERE k.stream = b.stream) \
            ORDER BY b.stream, b.first_ordinal LIMIT $3)) v LIMIT $3",
};

/// The personal values that are left of a batch.
#[derive(Debug, Default)]
pub struct BatchValues {
    pub values: Vec<SidecarRow>,
    /// Why some of them cannot be read.
    pub unreadable: Vec<StoreError>,
}

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
    pub async fn sidecar_of_batch(&self, row: &JournalRow) -> Result<BatchValues, StoreError> {
        let (stream, first, last) = (i64::from(row.stream.0), big(row.first_ordinal), big(row.last_ordinal));
        let mut conn = self.read_snapshot(Scope::Deployment).await?;
        let sql = "SELECT * FROM sidecar WHERE tenant_id IN (SELECT id FROM tenants) AND stream = $1 \
            AND ordinal BETWEEN $2 AND $3";
        let single = query(sql).bind(stream).bind(first).bind(last).fetch_all(&mut conn).await?;
        let sql = select_packed!(
            "WHERE tenant_id IN (SELECT id FROM tenants) AND stream = $1 AND first_ordinal BETWEEN $2 AND $3"
        );
        let packed = query(sql).bind(stream).bind(first).bind(last).fetch_all(&mut conn).await?;
        let range = |row: &Row| Ok(json!([row.col::<i64>("tenant_id")?, stream, first, last]));
        let ranges = packed.iter().map(range).collect::<Result<_, StoreError>>()?;
        let erased = erased_within(&mut conn, ranges).await?;
        let mut found = BatchValues::default();
        for row in &packed {
            match read_values(row) {
                Ok(values) => found.values.extend(values),
                Err(error) => found.unreadable.push(error),
            }
        }
        found.values.retain(|value| !erased.contains(&(value.tenant, value.address)));
        for row in &single {
            found.values.push(read_sidecar(row)?);
        }
        Ok(found)
    }

    /// Personal values of a stream's events after one ordinal and before another, where no batch is.
    pub async fn values_between(
        &self,
        stream: StreamNo,
        (after, before): (u64, u64),
        limit: u32,
    ) -> Result<Vec<Address>, StoreError> {
        let query = query(VALUES_BETWEEN)
            .bind(i64::from(stream.0))
            .bind(big(after))
            .bind(big(before))
            .bind(i64::from(limit));
        self.addresses(query).await
    }

    /// Personal values under numbers between two streams' (`None` = after all of them), which no stream has.
    pub async fn values_of_no_stream(
        &self,
        (after, before): (StreamNo, Option<StreamNo>),
        limit: u32,
    ) -> Result<Vec<Address>, StoreError> {
        let before = before.map_or(i64::MAX, |stream| i64::from(stream.0));
        let query = query(VALUES_OF_NO_STREAM).bind(i64::from(after.0)).bind(before).bind(i64::from(limit));
        self.addresses(query).await
    }

    async fn addresses(&self, query: Query<'_>) -> Result<Vec<Address>, StoreError> {
        let rows = query.fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let address =
            |row: &Row| Ok(Address { stream: row.stream("stream")?, ordinal: row.number("ordinal")? });
        rows.iter().map(address).collect()
    }

    /// Counted a piece at a time: what was taken when it began, without what is dropped meanwhile.
    pub async fn journal_count(&self) -> Result<JournalCount, StoreError> {
        let mut head = self.journal_head().await?;
        loop {
            let (batches, highest_seq) = self.count_batches(head.given).await?;
            let now = self.journal_head().await?;
            if now.dropped == head.dropped {
                let highest_seq = if batches == 0 { head.dropped } else { highest_seq };
                return Ok(JournalCount { batches, highest_seq, ..head });
            }
            head = JournalCount { given: head.given.max(now.dropped), ..now };
        }
    }

    async fn journal_head(&self) -> Result<JournalCount, StoreError> {
        let sql = "SELECT seq AS given, dropped_through, dropped_before FROM journal_head";
        let row = query(sql).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
        let dropped = row.number("dropped_through")?;
        Ok(JournalCount {
            batches: 0,
            highest_seq: 0,
            dropped,
            dropped_before: if dropped == 0 { None } else { Some(row.time("dropped_before")?) },
            given: row.number("given")?,
        })
    }

    /// How many batches up to `given` lie after their stream's anchor, and the last of them.
    async fn count_batches(&self, given: u64) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(*) AS looked, coalesce(max(k.seq), 0) AS through, \
            count(CASE WHEN k.first_ordinal > coalesce(a.last_ordinal, 0) THEN 1 END) AS batches, \
            coalesce(max(CASE WHEN k.first_ordinal > coalesce(a.last_ordinal, 0) THEN k.seq END), 0) AS highest \
            FROM (SELECT seq, stream, first_ordinal FROM journal WHERE seq > $1 AND seq <= $2 \
                ORDER BY seq LIMIT $3) k LEFT JOIN journal_anchors a ON a.stream = k.stream";
        let (mut batches, mut highest, mut after) = (0, 0, 0);
        loop {
            let query = query(sql).bind(big(after)).bind(big(given)).bind(COUNTED);
            let row = query.fetch_one(&mut self.read(Scope::Deployment).await?).await?;
            batches += row.number::<u64>("batches")?;
            highest = row.number::<u64>("highest")?.max(highest);
            after = row.number("through")?;
            if row.col::<i64>("looked")? < COUNTED {
                return Ok((batches, highest));
            }
        }
    }
}
