//! After a database was put back from a backup: what it has given out since then, and does not know any more, must
//! never be given out again; what edges still hold must find its place; and no money leaves before somebody has
//! looked.

use crate::deployment::claim;
use crate::dialect::Scope;
use crate::fleet::{LaneClaim, begin_epoch, begin_stream};
use crate::gaps::{Lost, read_lost};
use crate::row::{Columns, DEPLOYMENT, Id, big};
use crate::sql::{Connection, Row, Sql, query, sharing};
use crate::{Store, StoreError};
use proto_model::{EdgeId, Lane, StreamNo, UnixMicros};
use std::collections::BTreeMap;

/// How far numbers jump at least. The clock takes them further: a backup that is restored twice does not give out
/// the same numbers twice either.
const JUMP: i64 = 1_000;
/// 2024-01-01. Seconds since then fit 32 bits for more than a century, which is what epochs and streams have.
const SINCE_SECS: i64 = 1_704_067_200;
/// Whoever was here before the connection that asks, under the name that each of ours bears. An embedded database
/// has a lock file beside it instead.
const OTHERS: Sql = Sql {
    sqlite: "SELECT 0 AS others",
    postgres: "SELECT count(*) AS others FROM pg_stat_activity a \
        JOIN pg_stat_activity me ON me.pid = pg_backend_pid() \
        WHERE a.datname = me.datname AND a.application_name = me.application_name \
        AND a.backend_start < me.backend_start",
};
/// Gaps of an edge that are named one by one; of more, there is only the sum.
pub const LOST_NAMED: u32 = 100;
const ADOPTED: &str = "known to the edge, forgotten in a restore";

/// What [`Store::after_restore`] has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// How many times this database was put back, with this one.
    pub restores: u64,
    /// How many edges there are to wait for.
    pub edges: u64,
}

/// Where an edge stands that may still send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Returned {
    pub edge: EdgeId,
    pub name: String,
    /// Of its newest epoch, money first.
    pub lanes: Vec<ReturnedLane>,
    /// What it has declared as lost since payouts were frozen, in any epoch: we may have had it, and acknowledged it.
    pub lost: LostSince,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LostSince {
    pub total: Lost,
    /// The first of them, [`LOST_NAMED`] at most.
    pub named: Vec<LostOrdinals>,
}

/// Ordinals that no batch will fill any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostOrdinals {
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    /// Inclusive.
    pub last_ordinal: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnedLane {
    pub lane: Lane,
    pub stream: StreamNo,
    pub last_ordinal: u64,
    /// What the edge had sealed when it last opened a session; `None` = it has not come back yet.
    pub held: Option<u64>,
    pub quarantined: Option<String>,
}

impl ReturnedLane {
    /// The stream has come to where the edge stood. That it got there by a gap is [`Returned::lost`].
    pub fn is_whole(&self) -> bool {
        self.quarantined.is_none() && self.held.is_some_and(|held| held <= self.last_ordinal)
    }
}

impl Returned {
    /// It has opened a session since the restore.
    pub fn is_back(&self) -> bool {
        self.lanes.iter().all(|lane| lane.held.is_some())
    }

    pub fn is_whole(&self) -> bool {
        self.lost.total.gaps == 0 && self.lanes.iter().all(ReturnedLane::is_whole)
    }
}

fn read_lane(row: &Row) -> Result<ReturnedLane, StoreError> {
    Ok(ReturnedLane {
        lane: crate::fleet::read_lane(row)?,
        stream: row.stream("stream")?,
        last_ordinal: row.number("last_ordinal")?,
        held: row.col::<Option<i64>>("held")?.map(i64::unsigned_abs),
        quarantined: row.col("reason")?,
    })
}

/// Takes an edge on with an epoch that we have given out and forgotten: its number lies up to the floor, and so do
/// those of its streams, which nobody else has. They were given out once, so their addresses are the edge's. Only
/// until somebody has reconciled: from then on whoever was to come back has, and the numbers are nobody's.
pub(crate) async fn adopt_epoch(
    conn: &mut Connection,
    edge: EdgeId,
    (epoch, floor): (u32, u32),
    lanes: &[LaneClaim],
    now: UnixMicros,
) -> Result<(), StoreError> {
    const UNKNOWN: StoreError = StoreError::Conflict("unknown_epoch");
    // It stays so until this transaction ends.
    let frozen = query(sharing!("SELECT frozen_at FROM deployment")).fetch_one(&mut *conn).await?;
    if epoch > floor || frozen.col::<Option<i64>>("frozen_at")?.is_none() {
        return Err(UNKNOWN);
    }
    let given =
        query("SELECT last FROM sequences WHERE tenant_id = $1 AND name = 'streams'").bind(DEPLOYMENT);
    let given: i64 = given.fetch_optional(&mut *conn).await?.ok_or(UNKNOWN)?.col("last")?;
    begin_epoch(conn, edge, epoch, ADOPTED, now).await?;
    for lane in Lane::ALL {
        let claim = lanes.iter().find(|claim| claim.lane == *lane).ok_or(UNKNOWN)?;
        if claim.stream.0 == 0 || i64::from(claim.stream.0) > given {
            return Err(UNKNOWN);
        }
        begin_stream(conn, edge, epoch, (*lane, claim.stream)).await.map_err(|error| match error {
            StoreError::Conflict(_) => StoreError::Conflict("stream_taken"),
            error => error,
        })?;
    }
    let sql = "UPDATE edges SET epoch = $2 WHERE id = $1";
    query(sql).bind(edge.column()).bind(i64::from(epoch)).execute(conn).await?;
    Ok(())
}

pub(crate) async fn note_held(
    conn: &mut Connection,
    edge: EdgeId,
    epoch: u32,
    lanes: &[LaneClaim],
) -> Result<(), StoreError> {
    let sql = "UPDATE streams SET held = $4 WHERE edge_id = $1 AND epoch = $2 AND stream = $3";
    for claim in lanes {
        query(sql)
            .bind(edge.column())
            .bind(i64::from(epoch))
            .bind(i64::from(claim.stream.0))
            .bind(big(claim.held))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Every number that rises jumps over what may have been given out since the backup.
async fn jump(conn: &mut Connection, now: UnixMicros) -> Result<(), StoreError> {
    let floor = now.secs() - SINCE_SECS;
    // An epoch in use stays in use: its edge holds batches that continue it.
    let sql = "UPDATE edges SET session = CASE WHEN session + $1 > $2 THEN session + $1 ELSE $2 END, \
        epoch_floor = CASE WHEN epoch_floor > epoch AND epoch_floor + $1 > $3 THEN epoch_floor + $1 \
            WHEN epoch + $1 > $3 THEN epoch + $1 ELSE $3 END";
    query(sql).bind(JUMP).bind(now.0).bind(floor).execute(&mut *conn).await?;
    let sql = "INSERT INTO sequences (tenant_id, name, last) VALUES ($1, 'streams', $3) \
        ON CONFLICT (tenant_id, name) DO UPDATE SET last = CASE \
            WHEN sequences.last + $2 > excluded.last THEN sequences.last + $2 ELSE excluded.last END";
    query(sql).bind(DEPLOYMENT).bind(JUMP).bind(floor).execute(&mut *conn).await?;
    let sql = "UPDATE catalog_version SET \
        version = CASE WHEN version + $1 > $2 THEN version + $1 ELSE $2 END";
    query(sql).bind(JUMP).bind(floor).execute(&mut *conn).await?;
    let sql =
        "UPDATE leases SET expires_at = 0, fence = CASE WHEN fence + $1 > $2 THEN fence + $1 ELSE $2 END";
    query(sql).bind(JUMP).bind(now.0).execute(conn).await?;
    Ok(())
}

impl Store {
    /// The step that must follow every restore, before a control plane starts on the database.
    ///
    /// Sessions, epochs, streams, snapshot versions and fences jump, so that none is given out twice; payouts are
    /// frozen for `reason`; and every edge is waited for again. Doing it twice, or without a restore, costs
    /// numbers and a reconciliation, nothing else.
    ///
    /// The first thing that a process does with the store it has opened: nothing has changed after
    /// `Conflict("others_at_work")`, when a connection of ours was there before this one. `Conflict("other_authority")`
    /// as [`Store::claim`].
    pub async fn after_restore(
        &self,
        authority_sha256: &[u8; 32],
        now: UnixMicros,
        reason: &str,
    ) -> Result<Restored, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        // Under this row's lock: whoever comes now waits until the numbers have jumped.
        claim(&mut tx, authority_sha256).await?;
        if query(OTHERS).fetch_one(&mut tx).await?.number::<u64>("others")? > 0 {
            return Err(StoreError::Conflict("others_at_work"));
        }
        // One that is frozen already stays marked where it was: nobody has looked at what was lost since then.
        let sql = "UPDATE streams SET held = NULL, frozen_ordinal = CASE \
            WHEN EXISTS (SELECT 1 FROM deployment WHERE frozen_at IS NOT NULL) THEN frozen_ordinal \
            ELSE last_ordinal END";
        query(sql).execute(&mut tx).await?;
        // What it was frozen for before has not gone away.
        let sql = "UPDATE deployment SET restores = restores + 1, frozen_at = coalesce(frozen_at, $1), \
            frozen_reason = coalesce(frozen_reason || '; ', '') || $2 RETURNING restores";
        let row = query(sql).bind(now.0).bind(reason).fetch_one(&mut tx).await?;
        jump(&mut tx, now).await?;
        // They were at work when the backup was made.
        query("DELETE FROM nodes").execute(&mut tx).await?;
        let edges = query("SELECT count(*) AS edges FROM edges WHERE revoked = $1").bind(false);
        let edges = edges.fetch_one(&mut tx).await?.number("edges")?;
        tx.owed.catalog = true;
        tx.commit().await?;
        Ok(Restored { restores: row.number("restores")?, edges })
    }

    /// How many times this database was put back from a backup.
    pub async fn restores(&self) -> Result<u64, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        query("SELECT restores FROM deployment").fetch_one(&mut conn).await?.number("restores")
    }

    /// The edges that are not revoked, oldest first, and what of them has arrived since the restore.
    pub async fn returned(&self) -> Result<Vec<Returned>, StoreError> {
        let sql = "SELECT e.name, s.edge_id, s.lane, s.stream, s.last_ordinal, s.held, s.reason \
            FROM edges e JOIN streams s ON s.edge_id = e.id AND s.epoch = e.epoch \
            WHERE e.revoked = $1 ORDER BY e.seq, s.lane";
        let rows = query(sql).bind(false).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let mut edges: Vec<Returned> = Vec::new();
        for row in &rows {
            let (edge, lane) = (row.id("edge_id")?, read_lane(row)?);
            match edges.last_mut().filter(|last| last.edge == edge) {
                Some(last) => last.lanes.push(lane),
                None => {
                    let (name, lost) = (row.col("name")?, LostSince::default());
                    edges.push(Returned { edge, name, lanes: vec![lane], lost });
                }
            }
        }
        let mut lost = self.lost_since_frozen().await?;
        for edge in &mut edges {
            edge.lost = lost.remove(&edge.edge).unwrap_or_default();
        }
        Ok(edges)
    }

    /// Of the edges that have lost anything; of none, while nothing is frozen.
    async fn lost_since_frozen(&self) -> Result<BTreeMap<EdgeId, LostSince>, StoreError> {
        let sql = "SELECT * FROM (SELECT s.edge_id, s.lane, s.stream, g.first_ordinal, g.last_ordinal, \
            count(*) OVER of_edge AS gaps, \
            CAST(sum(g.last_ordinal - g.first_ordinal + 1) OVER of_edge AS BIGINT) AS lost_ordinals, \
            row_number() OVER (PARTITION BY s.edge_id ORDER BY s.stream, g.first_ordinal) AS nth \
            FROM streams s JOIN stream_gaps g ON g.stream = s.stream \
            WHERE s.gaps > 0 AND g.first_ordinal > s.frozen_ordinal \
            AND EXISTS (SELECT 1 FROM deployment WHERE frozen_at IS NOT NULL) \
            WINDOW of_edge AS (PARTITION BY s.edge_id)) AS lost WHERE nth <= $1 ORDER BY stream, first_ordinal";
        let query = query(sql).bind(i64::from(LOST_NAMED));
        let mut lost = BTreeMap::<EdgeId, LostSince>::new();
        for row in &query.fetch_all(&mut self.read(Scope::Deployment).await?).await? {
            let of_edge = lost.entry(row.id("edge_id")?).or_default();
            of_edge.total = read_lost(row)?;
            of_edge.named.push(LostOrdinals {
                lane: crate::fleet::read_lane(row)?,
                stream: row.stream("stream")?,
                first_ordinal: row.number("first_ordinal")?,
                last_ordinal: row.number("last_ordinal")?,
            });
        }
        Ok(lost)
    }
}
