//! What edges say of themselves every few seconds: the newest report of each.

use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::{Columns, Id, big};
use crate::sql::{Row, query};
use crate::{Store, StoreError};
use proto_model::{EdgeId, Lane, StreamNo, UnixMicros};

/// Longer texts are cut; an edge writes them.
const TEXT_MAX: usize = 500;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EdgeReport {
    pub received_at: UnixMicros,
    /// How far our clock is ahead of the edge's, in microseconds; negative = the edge's is ahead.
    pub clock_offset: i64,
    pub epoch: u32,
    pub snapshot_version: u64,
    pub spool_bytes: u64,
    pub spool_limit: u64,
    /// What the file system still has; `None` = the edge does not know.
    pub spool_free: Option<u64>,
    /// Why hits are not taken, or not stored before they are answered; empty = all is well.
    pub spool_trouble: String,
    pub lanes: Vec<LaneReport>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneReport {
    pub lane: Lane,
    pub stream: StreamNo,
    /// The last ordinal that was given out.
    pub spooled: u64,
    /// The last ordinal of the sealed batches.
    pub sealed: u64,
    /// The last ordinal that is acknowledged, as far as the edge knows.
    pub acked: u64,
    /// When the oldest hit was spooled that is not; `None` = all are.
    pub oldest_unacked_at: Option<UnixMicros>,
    /// Why the lane stands still; empty = it does not.
    pub halted: String,
}

/// As it stands in `lanes_json`.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredLane {
    lane: u8,
    stream: u32,
    spooled: u64,
    sealed: u64,
    acked: u64,
    oldest_unacked_at: Option<i64>,
    halted: String,
}

impl From<&LaneReport> for StoredLane {
    fn from(lane: &LaneReport) -> Self {
        Self {
            lane: lane.lane.code(),
            stream: lane.stream.0,
            spooled: lane.spooled,
            sealed: lane.sealed,
            acked: lane.acked,
            oldest_unacked_at: lane.oldest_unacked_at.map(|at| at.0),
            halted: cut(&lane.halted),
        }
    }
}

impl StoredLane {
    fn read(self) -> Option<LaneReport> {
        Some(LaneReport {
            lane: Lane::from_code(self.lane)?,
            stream: StreamNo(self.stream),
            spooled: self.spooled,
            sealed: self.sealed,
            acked: self.acked,
            oldest_unacked_at: self.oldest_unacked_at.map(UnixMicros),
            halted: self.halted,
        })
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].replace(char::is_control, " ")
}

fn write_lanes(lanes: &[LaneReport]) -> String {
    // Numbers and texts: there is nothing in it that could not be written.
    serde_json::to_string(&lanes.iter().map(StoredLane::from).collect::<Vec<_>>()).unwrap_or_default()
}

fn read_lanes(json: &str) -> Result<Vec<LaneReport>, StoreError> {
    let stored: Vec<StoredLane> =
        serde_json::from_str(json).map_err(|error| StoreError::corrupt("lanes_json", error))?;
    // A newer version may know more lanes.
    Ok(stored.into_iter().filter_map(StoredLane::read).collect())
}

fn read_report(row: &Row) -> Result<EdgeReport, StoreError> {
    Ok(EdgeReport {
        received_at: row.time("received_at")?,
        clock_offset: row.col("clock_offset")?,
        epoch: row.number("epoch")?,
        snapshot_version: row.number("snapshot_version")?,
        spool_bytes: row.number("spool_bytes")?,
        spool_limit: row.number("spool_limit")?,
        spool_free: row.col::<Option<i64>>("spool_free")?.map(i64::unsigned_abs),
        spool_trouble: row.col("spool_trouble")?,
        lanes: read_lanes(row.col("lanes_json")?)?,
    })
}

impl Store {
    /// Takes the place of the report before it, unless that is newer; notes version and time at the edge, too. A
    /// revoked edge is not listened to.
    pub async fn put_edge_report(
        &self,
        edge: EdgeId,
        version: &str,
        report: &EdgeReport,
    ) -> Result<(), StoreError> {
        retrying!(self.try_put_report(edge, version, report))
    }

    async fn try_put_report(
        &self,
        edge: EdgeId,
        version: &str,
        report: &EdgeReport,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let sql = "UPDATE edges SET version = $2, \
            last_seen_at = CASE WHEN last_seen_at > $3 THEN last_seen_at ELSE $3 END \
            WHERE id = $1 AND revoked = $4";
        let seen = query(sql).bind(edge.column()).bind(cut(version)).bind(report.received_at.0).bind(false);
        if seen.execute(&mut tx).await? == 0 {
            return Err(StoreError::NotFound);
        }
        let sql = "INSERT INTO edge_reports (edge_id, received_at, clock_offset, epoch, snapshot_version, \
            spool_bytes, spool_limit, spool_free, spool_trouble, lanes_json) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
            ON CONFLICT (edge_id) DO UPDATE SET received_at = excluded.received_at, \
            clock_offset = excluded.clock_offset, epoch = excluded.epoch, \
            snapshot_version = excluded.snapshot_version, spool_bytes = excluded.spool_bytes, \
            spool_limit = excluded.spool_limit, spool_free = excluded.spool_free, \
            spool_trouble = excluded.spool_trouble, lanes_json = excluded.lanes_json \
            WHERE edge_reports.received_at <= excluded.received_at";
        query(sql)
            .bind(edge.column())
            .bind(report.received_at.0)
            .bind(report.clock_offset)
            .bind(i64::from(report.epoch))
            .bind(big(report.snapshot_version))
            .bind(big(report.spool_bytes))
            .bind(big(report.spool_limit))
            .bind(report.spool_free.map(big))
            .bind(cut(&report.spool_trouble))
            .bind(write_lanes(&report.lanes))
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// `None` = it has never reported.
    pub async fn edge_report(&self, edge: EdgeId) -> Result<Option<EdgeReport>, StoreError> {
        let query = query("SELECT * FROM edge_reports WHERE edge_id = $1").bind(edge.column());
        let row = query.fetch_optional(&mut self.read(Scope::Deployment).await?).await?;
        row.as_ref().map(read_report).transpose()
    }

    /// The newest of every edge that is not revoked.
    pub async fn edge_reports(&self) -> Result<Vec<(EdgeId, EdgeReport)>, StoreError> {
        let sql = "SELECT r.edge_id, r.received_at, r.clock_offset, r.epoch, r.snapshot_version, r.spool_bytes, \
            r.spool_limit, r.spool_free, r.spool_trouble, r.lanes_json \
            FROM edge_reports r JOIN edges e ON e.id = r.edge_id WHERE e.revoked = $1 ORDER BY e.seq";
        let rows = query(sql).bind(false).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(|row| Ok((row.id("edge_id")?, read_report(row)?))).collect()
    }
}
