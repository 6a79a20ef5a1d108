//! Tables that are kept by day on PostgreSQL, so that a day can be dropped whole (migrations/postgres/0002,
//! 0003). Parts are made ahead, or when a day's first row comes. On SQLite there are none, and nothing to make.

use crate::dialect::{Database, Scope};
use crate::row::Columns;
use crate::sql::{Connection, query};
use crate::{Store, StoreError};
use proto_model::UnixMicros;
use proto_model::time::DAY_US;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum DayTable {
    Journal,
    Links,
    Facts,
    Rules,
    Refused,
}

impl DayTable {
    pub const ROLLUPS: [Self; 4] = [Self::Links, Self::Facts, Self::Rules, Self::Refused];
    const ALL: [Self; 5] = [Self::Journal, Self::Links, Self::Facts, Self::Rules, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Links => "rollup_links",
            Self::Facts => "rollup_facts",
            Self::Rules => "rollup_rules",
            Self::Refused => "rollup_refused",
        }
    }
}

/// The start of the day in which `at` lies.
pub(crate) const fn day_start(at: UnixMicros) -> UnixMicros {
    UnixMicros(at.0 - at.0.rem_euclid(DAY_US))
}

/// Drops the parts of all days before, and says how many. Whoever uses the table then waits, and everybody who
/// comes after us waits, too: rather than wait for a long report we give up (`Busy`).
pub(crate) async fn drop_days(
    conn: &mut Connection,
    table: DayTable,
    before: UnixMicros,
) -> Result<u64, StoreError> {
    if !matches!(conn, Connection::PostgresTx(..)) {
        return Ok(0);
    }
    query(WAIT_BRIEFLY).execute(conn).await?;
    let drop = query("SELECT drop_days($1, $2) AS days").bind(table.name()).bind(before.0);
    drop.fetch_one(conn).await?.number("days")
}

type Day = (DayTable, i64);

/// Until the transaction ends, or is rolled back to a savepoint before.
const WAIT_BRIEFLY: &str = "SET LOCAL lock_timeout = '1s'";
const WAIT_AS_BEFORE: &str = "SET LOCAL lock_timeout TO DEFAULT";

/// Far more than a year of all tables; beyond it the database is asked again.
const REMEMBERED: usize = 4_096;

/// After somebody kept a part of the roll-ups from being made: reports wait behind each attempt.
const REST: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Memory {
    /// The days that are known to have their parts.
    known: BTreeSet<Day>,
    kept_waiting: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Days {
    memory: Mutex<Memory>,
}

async fn ensure(conn: &mut Connection, (table, start): Day) -> Result<(), StoreError> {
    query("SELECT ensure_day($1, $2)").bind(table.name()).bind(start).execute(conn).await?;
    Ok(())
}

impl Days {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, tables: &[DayTable], times: impl IntoIterator<Item = UnixMicros>) -> Vec<Day> {
        let starts: BTreeSet<i64> = times.into_iter().map(|at| day_start(at).0).collect();
        let wanted = tables.iter().flat_map(|table| starts.iter().map(|start| (*table, *start)));
        let memory = self.memory();
        wanted.filter(|day| !memory.known.contains(day)).collect()
    }

    /// Makes the missing parts for rows at `times`, in the transaction that will write them. Pass the result to
    /// [`Days::made`] once that is committed. Roll-ups need not have the part of their day: without it they fall
    /// into the part for the rest, and move when it is made.
    pub async fn make(
        &self,
        conn: &mut Connection,
        tables: &[DayTable],
        times: impl IntoIterator<Item = UnixMicros>,
    ) -> Result<Vec<Day>, StoreError> {
        if !matches!(conn, Connection::PostgresTx(..)) {
            return Ok(Vec::new());
        }
        let mut made = Vec::new();
        for day in self.missing(tables, times) {
            if day.0 == DayTable::Journal {
                ensure(conn, day).await?;
            } else if !self.ensure_unless_kept_waiting(conn, day).await? {
                break;
            }
            made.push(day);
        }
        Ok(made)
    }

    /// Making a part of the roll-ups locks the part for the rest. Whoever reads that for long (a backup, a report)
    /// must not stop the transaction, nor those who wait behind its lock.
    async fn ensure_unless_kept_waiting(&self, conn: &mut Connection, day: Day) -> Result<bool, StoreError> {
        if self.memory().kept_waiting.is_some_and(|since| since.elapsed() < REST) {
            return Ok(false);
        }
        query("SAVEPOINT before_day").execute(conn).await?;
        query(WAIT_BRIEFLY).execute(conn).await?;
        match ensure(conn, day).await {
            Ok(()) => {
                query(WAIT_AS_BEFORE).execute(conn).await?;
                query("RELEASE SAVEPOINT before_day").execute(conn).await?;
                Ok(true)
            }
            Err(StoreError::Busy(_)) => {
                query("ROLLBACK TO SAVEPOINT before_day").execute(conn).await?;
                if self.memory().kept_waiting.replace(Instant::now()).is_none() {
                    tracing::warn!(
                        table = day.0.name(),
                        "somebody reads it for long; hits of a new day stay in its part for the rest until then"
                    );
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub fn made(&self, days: Vec<Day>) {
        if days.is_empty() {
            return;
        }
        let mut memory = self.memory();
        if memory.known.len() > REMEMBERED {
            memory.known.clear();
        }
        if days.iter().any(|(table, _)| *table != DayTable::Journal) {
            memory.kept_waiting = None;
        }
        memory.known.extend(days);
    }
}

impl Store {
    /// Makes the parts of today and tomorrow, so that whoever writes into them need not. `Busy` when somebody who
    /// reads for long keeps one from being made; the others are made.
    pub async fn make_days_ahead(&self, now: UnixMicros) -> Result<(), StoreError> {
        let mut result = Ok(());
        if matches!(self.database(), Database::Postgres(_)) {
            for table in DayTable::ALL {
                result = result.and(self.make_days(table, [now, now.plus_days(1)]).await);
            }
        }
        result
    }

    /// Each table by itself, so that no lock is held while another one is waited for.
    async fn make_days(&self, table: DayTable, times: [UnixMicros; 2]) -> Result<(), StoreError> {
        let missing = self.days().missing(&[table], times);
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.write(Scope::Deployment).await?;
        query(WAIT_BRIEFLY).execute(&mut tx).await?;
        for day in &missing {
            ensure(&mut tx, *day).await?;
        }
        tx.commit().await?;
        self.days().made(missing);
        Ok(())
    }
}
