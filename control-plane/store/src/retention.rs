//! Old days are dropped: of the journal, with the personal values of its events, and of the roll-ups.
//!
//! What is left of each stream begins at its anchor, the last batch that was dropped. A day is dropped in one
//! transaction with the anchors; what else belonged to it goes soon after, a little at a time. Whoever comes
//! after a crash goes on there.

use crate::days::{DayTable, day_start, drop_days};
use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::Columns;
use crate::sql::{Connection, Query, query};
use crate::{Store, StoreError};
use proto_model::time::DAY_US;
use proto_model::{StreamNo, UnixMicros};

/// Rows per transaction: edges wait for as long on SQLite.
const ROWS: i64 = 5_000;
/// A batch may have megabytes.
const BATCHES: i64 = 100;

/// Where what is left of a stream begins: after this ordinal, continuing this hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    pub last_ordinal: u64,
    pub head_hash: [u8; 32],
}

impl Anchor {
    /// Nothing was dropped.
    pub const START: Self = Self { last_ordinal: 0, head_hash: [0; 32] };
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dropped {
    pub batches: u64,
    /// Everything up to this batch is gone, now or since earlier.
    pub through_seq: u64,
    /// Personal values of dropped events.
    pub values: u64,
}

pub(crate) async fn anchor(conn: &mut Connection, stream: StreamNo) -> Result<Anchor, StoreError> {
    let sql = "SELECT last_ordinal, head_hash FROM journal_anchors WHERE stream = $1";
    let row = query(sql).bind(i64::from(stream.0)).fetch_optional(conn).await?;
    row.map_or(Ok(Anchor::START), |row| {
        Ok(Anchor { last_ordinal: row.number("last_ordinal")?, head_hash: row.bytes("head_hash")? })
    })
}

/// The first batch after `seq`, and when it was received.
async fn batch_after(conn: &mut Connection, seq: i64) -> Result<Option<(i64, UnixMicros)>, StoreError> {
    let sql = "SELECT seq, received_at FROM journal WHERE seq > $1 ORDER BY seq LIMIT 1";
    let row = query(sql).bind(seq).fetch_optional(conn).await?;
    row.map(|row| Ok((row.col("seq")?, row.time("received_at")?))).transpose()
}

/// The last number between `low` and `high` that was received before `end`. Times rise with the numbers, and
/// there is no index on times: they stand behind the payload, and reading them all would read the whole day.
async fn last_before(
    conn: &mut Connection,
    (mut low, mut high): (i64, i64),
    end: UnixMicros,
) -> Result<i64, StoreError> {
    while low < high {
        let middle = low + (high - low) / 2;
        match batch_after(conn, middle).await? {
            Some((seq, received_at)) if received_at < end => low = seq,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// What is to be dropped next: a whole UTC day.
struct Day {
    after: i64,
    through: i64,
    end: UnixMicros,
    /// No batch can come into this day any more.
    over: bool,
}

/// The oldest day there is, if it is over before `before`, and all of it is projected.
async fn oldest_day(conn: &mut Connection, before: UnixMicros) -> Result<Option<Day>, StoreError> {
    let sql = "SELECT h.seq, h.received_at, h.dropped_through, p.seq AS projected, \
        p.received_at AS projected_at FROM journal_head h, journal_checkpoints p WHERE p.name = 'projector'";
    let row = query(sql).fetch_one(&mut *conn).await?;
    let (head, after): (i64, i64) = (row.col("seq")?, row.col("dropped_through")?);
    let projected: i64 = row.col("projected")?;
    let Some((_, first_at)) = batch_after(conn, after).await? else { return Ok(None) };
    let end = UnixMicros(day_start(first_at).0 + DAY_US);
    let all_projected = projected == head || row.time("projected_at")? >= end;
    if end > before || !all_projected {
        return Ok(None);
    }
    let through = last_before(conn, (after, head), end).await?;
    let over = row.time("received_at")? >= end;
    Ok((through <= projected).then_some(Day { after, through, end, over }))
}

async fn write_anchors(conn: &mut Connection, day: &Day, now: UnixMicros) -> Result<(), StoreError> {
    let sql = "INSERT INTO journal_anchors (stream, last_ordinal, head_hash, dropped_at) \
        SELECT stream, last_ordinal, head_hash, $3 FROM journal WHERE seq IN \
            (SELECT max(seq) FROM journal WHERE seq > $1 AND seq <= $2 GROUP BY stream) \
        ON CONFLICT (stream) DO UPDATE SET last_ordinal = excluded.last_ordinal, \
        head_hash = excluded.head_hash, dropped_at = excluded.dropped_at";
    query(sql).bind(day.after).bind(day.through).bind(now.0).execute(conn).await?;
    Ok(())
}

/// False when a batch came into the day, or somebody else has dropped it.
async fn move_journal_start(conn: &mut Connection, day: &Day) -> Result<bool, StoreError> {
    let sql = "UPDATE journal_head SET dropped_through = $2, dropped_before = $3, \
        received_at = CASE WHEN received_at > $3 THEN received_at ELSE $3 END \
        WHERE dropped_through = $1 AND (seq = $2 OR $4)";
    let query = query(sql).bind(day.after).bind(day.through).bind(day.end.0).bind(day.over);
    Ok(query.execute(conn).await? == 1)
}

macro_rules! hours {
    ($part:expr, $table:literal) => {
        (
            $part,
            concat!(
                "SELECT min((SELECT min(r.hour) FROM ",
                $table,
                " r WHERE r.tenant_id = t.id)) AS oldest \
                FROM tenants t"
            ),
            concat!("DELETE FROM ", $table, " WHERE tenant_id IN (SELECT id FROM tenants) AND hour <= $1"),
        )
    };
}

macro_rules! personal {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE tenant_id IN (SELECT id FROM tenants) AND stream = $1 AND ordinal <= $2 LIMIT $3)"
        )
    };
}

/// Of each table: its oldest hour, looked up tenant by tenant in the key, and how to delete that.
const ROLLUPS: [(DayTable, &str, &str); 4] = [
    hours!(DayTable::Links, "rollup_links"),
    hours!(DayTable::Facts, "rollup_facts"),
    hours!(DayTable::Rules, "rollup_rules"),
    hours!(DayTable::Refused, "rollup_refused"),
];

impl Store {
    /// Where a stream begins.
    pub async fn anchor(&self, stream: StreamNo) -> Result<Anchor, StoreError> {
        anchor(&mut self.read(Scope::Deployment).await?, stream).await
    }

    /// Drops the journal's whole UTC days that ended before, as far as they are projected; never today.
    pub async fn drop_journal_before(
        &self,
        before: UnixMicros,
        now: UnixMicros,
    ) -> Result<Dropped, StoreError> {
        let before = day_start(before.min(now));
        let mut batches = 0;
        while let Some(day) = self.drop_oldest_day(before, now).await? {
            batches += day.through - day.after;
        }
        let (through, values) = self.forget_dropped().await?;
        Ok(Dropped { batches: batches.unsigned_abs(), through_seq: through.unsigned_abs(), values })
    }

    async fn drop_oldest_day(&self, before: UnixMicros, now: UnixMicros) -> Result<Option<Day>, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let Some(day) = oldest_day(&mut tx, before).await? else { return Ok(None) };
        write_anchors(&mut tx, &day, now).await?;
        // From here on edges wait for the commit.
        if !move_journal_start(&mut tx, &day).await? {
            return Ok(None);
        }
        drop_days(&mut tx, DayTable::Journal, day.end).await?;
        tx.commit().await?;
        Ok(Some(day))
    }

    /// What else belonged to the dropped batches: on SQLite also their rows.
    async fn forget_dropped(&self) -> Result<(i64, u64), StoreError> {
        // A version that knows nothing of blobs moves but the one.
        let sql = "SELECT dropped_through, CASE WHEN packed_forgotten_through < forgotten_through \
            THEN packed_forgotten_through ELSE forgotten_through END AS forgotten FROM journal_head";
        let row = query(sql).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
        let (through, forgotten): (i64, i64) = (row.col("dropped_through")?, row.col("forgotten")?);
        if forgotten >= through {
            return Ok((through, 0));
        }
        let listed = "DELETE FROM click_batches WHERE (tenant_id, journal_seq) IN \
            (SELECT tenant_id, journal_seq FROM click_batches \
            WHERE tenant_id IN (SELECT id FROM tenants) AND journal_seq <= $1 LIMIT $2)";
        self.delete_all(|| query(listed).bind(through).bind(ROWS)).await?;
        let batches = "DELETE FROM journal WHERE seq IN \
            (SELECT seq FROM journal WHERE seq <= $1 ORDER BY seq LIMIT $2)";
        self.delete_all(|| query(batches).bind(through).bind(BATCHES)).await?;
        let mut values = 0;
        for (stream, last) in self.anchors().await? {
            let sidecar = personal!("sidecar", "tenant_id, stream, ordinal, class");
            values += self.delete_all(|| query(sidecar).bind(stream).bind(last).bind(ROWS)).await?;
            values += self.forget_packed(stream, last).await?;
            let erased = personal!("erased_events", "tenant_id, stream, ordinal");
            self.delete_all(|| query(erased).bind(stream).bind(last).bind(ROWS)).await?;
        }
        if values > 0 {
            self.database().owe_log();
            self.database().forget_log().await?;
        }
        let sql = "UPDATE journal_head SET forgotten_through = $1, packed_forgotten_through = $1 \
            WHERE forgotten_through <= $1";
        retrying!(self.run(query(sql).bind(through)))?;
        Ok((through, values))
    }

    /// The blobs of a stream's batches up to this ordinal; says how many values they held.
    async fn forget_packed(&self, stream: i64, last: i64) -> Result<u64, StoreError> {
        let mut values = 0;
        loop {
            let (blobs, held) = retrying!(self.forget_some_packed(stream, last))?;
            if blobs == 0 {
                return Ok(values);
            }
            values += held;
        }
    }

    async fn forget_some_packed(&self, stream: i64, last: i64) -> Result<(usize, u64), StoreError> {
        let sql = "DELETE FROM sidecar_batches WHERE (tenant_id, stream, first_ordinal) IN \
            (SELECT tenant_id, stream, first_ordinal FROM sidecar_batches \
            WHERE tenant_id IN (SELECT id FROM tenants) AND stream = $1 AND first_ordinal <= $2 LIMIT $3) \
            RETURNING held";
        let mut tx = self.write(Scope::Deployment).await?;
        let gone = query(sql).bind(stream).bind(last).bind(BATCHES).fetch_all(&mut tx).await?;
        let held = gone.iter().map(|row| row.number::<u64>("held")).sum::<Result<u64, _>>()?;
        tx.commit().await?;
        Ok((gone.len(), held))
    }

    async fn anchors(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = "SELECT stream, last_ordinal FROM journal_anchors ORDER BY stream";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(|row| Ok((row.col("stream")?, row.col("last_ordinal")?))).collect()
    }

    /// Runs a statement that deletes a few rows until there are none left, each time in a transaction of its
    /// own.
    pub(crate) async fn delete_all<'q>(&self, few: impl Fn() -> Query<'q>) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let now = retrying!(self.run(few()))?;
            if now == 0 {
                return Ok(deleted);
            }
            deleted += now;
        }
    }

    async fn run(&self, statement: Query<'_>) -> Result<u64, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let changed = statement.execute(&mut tx).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Drops the roll-ups of whole UTC days that ended before, never today's; reports know nothing of them from
    /// then on. Says how much that was: rows on SQLite, days of tables on PostgreSQL.
    pub async fn drop_rollups_before(&self, before: UnixMicros, now: UnixMicros) -> Result<u64, StoreError> {
        let before = day_start(before.min(now));
        let mut dropped = 0;
        for (table, oldest, delete) in ROLLUPS {
            let mut tx = self.write(Scope::Deployment).await?;
            dropped += drop_days(&mut tx, table, before).await?;
            tx.commit().await?;
            dropped += self.delete_hours((oldest, delete), before).await?;
        }
        Ok(dropped)
    }

    /// One at a time, so that edges do not wait for long.
    async fn delete_hours(
        &self,
        (oldest, delete): (&'static str, &'static str),
        before: UnixMicros,
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let row = query(oldest).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
            match row.col::<Option<i64>>("oldest")? {
                Some(hour) if hour < before.0 => {
                    deleted += retrying!(self.run(query(delete).bind(hour)))?;
                }
                _ => return Ok(deleted),
            }
        }
    }
}
