//! Everything that differs between databases: connecting, bulk sources, the texts of trigger errors.

use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use std::str::FromStr;
use std::time::Duration;

pub(crate) type Db = sqlx::Sqlite;
pub(crate) type Row = SqliteRow;
pub(crate) type Connection = sqlx::SqliteConnection;
pub(crate) type Transaction = sqlx::Transaction<'static, Db>;

pub(crate) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// A deferred transaction that turns into a writer fails at once when another writer was faster; an
/// immediate one waits its turn.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(10);
const ACQUIRE: Duration = Duration::from_secs(30);

pub(crate) struct Pools {
    /// Exactly one connection: the pool's queue is the writers' mutex, and it is fair.
    pub writer: SqlitePool,
    pub readers: SqlitePool,
}

pub(crate) async fn connect(url: &str) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .statement_cache_capacity(256);
    let base = SqlitePoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let writer = base.clone().min_connections(1).max_connections(1).connect_with(options.clone()).await?;
    // An in-memory database is its connection: another one would see table locks instead of snapshots.
    let readers = if is_memory(url) {
        writer.clone()
    } else {
        base.max_connections(READERS).connect_with(options.read_only(true)).await?
    };
    Ok(Pools { writer, readers })
}

fn is_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// The text of a `RAISE` in one of our triggers.
pub(crate) fn trigger_refusal(error: &dyn DatabaseError) -> Option<String> {
    const SQLITE_CONSTRAINT_TRIGGER: &str = "1811";
    (error.code().as_deref() == Some(SQLITE_CONSTRAINT_TRIGGER)).then(|| error.message().to_owned())
}
