//! Tables that are kept by day on PostgreSQL, so that a day can be dropped whole (migrations/postgres/0002,
//! 0003). A day's part is made when its first row comes. On SQLite there are no parts, and nothing to make.

use crate::StoreError;
use crate::row::Columns;
use crate::sql::{Connection, query};
use proto_model::UnixMicros;
use proto_model::time::DAY_US;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

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
    if !matches!(conn, Connection::PostgresTx(_)) {
        return Ok(0);
    }
    query("SELECT set_config('lock_timeout', '1s', true)").execute(conn).await?;
    let drop = query("SELECT drop_days($1, $2) AS days").bind(table.name()).bind(before.0);
    drop.fetch_one(conn).await?.number("days")
}

type Day = (DayTable, i64);

/// Far more than a year of all tables; beyond it the database is asked again.
const REMEMBERED: usize = 4_096;

/// The days that are known to have their parts.
#[derive(Default)]
pub(crate) struct Days {
    known: Mutex<BTreeSet<Day>>,
}

impl Days {
    /// Makes the missing parts for rows at `times`, in the transaction that will write them. Pass the result to
    /// [`Days::made`] once that is committed.
    pub async fn make(
        &self,
        conn: &mut Connection,
        tables: &[DayTable],
        times: impl IntoIterator<Item = UnixMicros>,
    ) -> Result<Vec<Day>, StoreError> {
        if !matches!(conn, Connection::PostgresTx(_)) {
            return Ok(Vec::new());
        }
        let starts: BTreeSet<i64> = times.into_iter().map(|at| day_start(at).0).collect();
        let wanted = tables.iter().flat_map(|table| starts.iter().map(|start| (*table, *start)));
        let missing: Vec<Day> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.filter(|day| !known.contains(day)).collect()
        };
        for (table, start) in &missing {
            query("SELECT ensure_day($1, $2)").bind(table.name()).bind(*start).execute(conn).await?;
        }
        Ok(missing)
    }

    pub fn made(&self, days: Vec<Day>) {
        if days.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > REMEMBERED {
            known.clear();
        }
        known.extend(days);
    }
}
