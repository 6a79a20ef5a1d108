//! What an operator must look at, kept until somebody says that they have. One row is open for each kind and subject:
//! what happens again is counted there.

use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::{Columns, DEPLOYMENT, page, take_seq};
use crate::sql::{Connection, Row, locking, query};
use crate::{Page, Store, StoreError};
use proto_model::{EdgeId, Lane, UnixMicros};

/// Longer details are cut: some of what stands in them comes from edges.
const DETAIL_MAX: usize = 1_000;

/// Counts stop here, which JSON can still tell exactly: some are numbers of hits, as edges say them.
const COUNT_MAX: u64 = (1 << 53) - 1;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum AlertKind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl AlertKind {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it is stored, and shown; never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

kinds! {
    /// An edge declares sealed batches as lost.
    GapDeclared = "gap_declared",
    /// An edge declares hits as lost that it had answered and not sealed yet.
    HitsLost = "hits_lost",
    /// An edge that answers clicks before they are durable was cut off: so many at most are lost.
    HitsMaybeLost = "hits_maybe_lost",
    /// Hits that were acknowledged and can never be read: they count nowhere.
    SetAside = "set_aside",
    /// A stream contradicts what was taken from it before; nothing more is.
    StreamQuarantined = "stream_quarantined",
    /// Batches that were not what their edge may send, or could never be read.
    BatchRefused = "batch_refused",
    /// Sessions of one edge fence each other again and again: two nodes with one identity.
    SessionContention = "session_contention",
    /// An edge's clock is more than a minute from the control plane's.
    ClockSkew = "clock_skew",
    /// An edge comes with another history than the one that was taken from it: a copied or restored disk.
    DiskCloned = "disk_cloned",
    /// A certificate of ours names an edge that is not known here.
    EdgeUnknown = "edge_unknown",
    /// An edge was acknowledged more than stands here: the database was put back to an earlier state.
    RestoreRewind = "restore_rewind",
}

impl AlertKind {
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == code)
    }
}

/// Something that has happened, once or several times; to so many hits, where hits are lost or set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    pub kind: AlertKind,
    /// See [`edge_subject`] and [`lane_subject`].
    pub subject: String,
    pub detail: String,
    pub count: u64,
    pub at: UnixMicros,
}

pub fn edge_subject(edge: EdgeId) -> String {
    edge.to_string()
}

pub fn lane_subject(edge: EdgeId, lane: Lane) -> String {
    format!("{edge} {}", lane.as_str())
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    pub id: i64,
    /// As stored: a newer version may have kinds that this one does not know.
    pub kind: String,
    pub subject: String,
    /// Of the last time.
    pub detail: String,
    pub count: u64,
    pub first_at: UnixMicros,
    pub last_at: UnixMicros,
    /// When, and by whom.
    pub acknowledged: Option<(UnixMicros, String)>,
}

/// What came of an acknowledgement; with the alert as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Acknowledged {
    Now(Alert),
    /// Somebody was first, which stays so.
    Before(Alert),
    /// It has happened again since it was read: nobody has seen that.
    MovedOn(Alert),
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AlertFilter {
    pub kind: Option<AlertKind>,
    pub open: Option<bool>,
}

fn read_alert(row: &Row) -> Result<Alert, StoreError> {
    let at = row.col::<Option<i64>>("acknowledged_at")?.map(UnixMicros);
    Ok(Alert {
        id: row.col("seq")?,
        kind: row.col("kind")?,
        subject: row.col("subject")?,
        detail: row.col("detail")?,
        count: row.number("count")?,
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        acknowledged: at.zip(row.col("acknowledged_by")?),
    })
}

/// A database that takes no NUL must not hold up what the alert is raised with.
fn cut(detail: &str) -> String {
    detail[..detail.floor_char_boundary(DETAIL_MAX)].replace(char::is_control, " ")
}

/// Counts it in the open row, or opens one.
pub(crate) async fn raise(conn: &mut Connection, raised: &Raised) -> Result<(), StoreError> {
    let (count, most) = (crate::row::big(raised.count.min(COUNT_MAX)), crate::row::big(COUNT_MAX));
    let sql = "UPDATE alerts SET count = CASE WHEN count + $3 > $6 THEN $6 ELSE count + $3 END, detail = $4, \
        last_at = CASE WHEN last_at > $5 THEN last_at ELSE $5 END \
        WHERE kind = $1 AND subject = $2 AND acknowledged_at IS NULL";
    let counted = query(sql)
        .bind(raised.kind.as_str())
        .bind(&raised.subject)
        .bind(count)
        .bind(cut(&raised.detail))
        .bind(raised.at.0)
        .bind(most)
        .execute(&mut *conn)
        .await?;
    if counted > 0 {
        return Ok(());
    }
    let seq = take_seq(conn, DEPLOYMENT, "alerts", 1).await?;
    // Somebody else may have opened it meanwhile.
    let sql = "INSERT INTO alerts (seq, kind, subject, detail, count, first_at, last_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (kind, subject) WHERE acknowledged_at IS NULL \
        DO UPDATE SET count = CASE WHEN alerts.count + excluded.count > $7 THEN $7 \
        ELSE alerts.count + excluded.count END, detail = excluded.detail, last_at = excluded.last_at";
    query(sql)
        .bind(seq)
        .bind(raised.kind.as_str())
        .bind(&raised.subject)
        .bind(cut(&raised.detail))
        .bind(count)
        .bind(raised.at.0)
        .bind(most)
        .execute(conn)
        .await?;
    Ok(())
}

impl Store {
    /// Each on its own: what is raised together is often of different edges.
    pub async fn raise_alert(&self, raised: &Raised) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            raise(&mut tx, raised).await?;
            tx.commit().await
        })
    }

    pub async fn get_alert(&self, id: i64) -> Result<Alert, StoreError> {
        let query = query("SELECT * FROM alerts WHERE seq = $1").bind(id);
        read_alert(&query.fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }

    pub async fn list_alerts(
        &self,
        filter: AlertFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Alert>, StoreError> {
        let (before, rows) = Page::<Alert>::bounds(after, limit);
        let sql = "SELECT * FROM alerts WHERE seq < $1 AND ($3 IS NULL OR kind = $3) \
            AND ($4 IS NULL OR (acknowledged_at IS NULL) = $4) ORDER BY seq DESC LIMIT $2";
        let query =
            query(sql).bind(before).bind(rows).bind(filter.kind.map(AlertKind::as_str)).bind(filter.open);
        page(&query.fetch_all(&mut self.read(Scope::Deployment).await?).await?, limit, read_alert)
    }

    /// Somebody has seen it, `seen` times. What happens from now on opens a row of its own.
    pub async fn acknowledge_alert(
        &self,
        id: i64,
        seen: u64,
        by: &str,
        now: UnixMicros,
    ) -> Result<Acknowledged, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let row = query(locking!("SELECT * FROM alerts WHERE seq = $1")).bind(id);
            let before = read_alert(&row.fetch_one(&mut tx).await?)?;
            if before.acknowledged.is_some() {
                return Ok(Acknowledged::Before(before));
            }
            if before.count != seen {
                return Ok(Acknowledged::MovedOn(before));
            }
            let sql =
                "UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3 WHERE seq = $1 RETURNING *";
            let row = query(sql).bind(id).bind(now.0).bind(by).fetch_one(&mut tx).await?;
            tx.commit().await?;
            Ok(Acknowledged::Now(read_alert(&row)?))
        })
    }

    /// How many are open of each kind, as stored.
    pub async fn open_alerts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT kind, count(*) AS alerts FROM alerts WHERE acknowledged_at IS NULL \
            GROUP BY kind ORDER BY kind";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(|row| Ok((row.col("kind")?, row.number("alerts")?))).collect()
    }
}
