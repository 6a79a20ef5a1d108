use crate::sql::Connection;
use crate::url::is_in_memory;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(10);
const CUT: Duration = Duration::from_secs(1);
const ACQUIRE: Duration = Duration::from_secs(30);

pub(crate) struct Pools {
    /// Exactly one connection: the pool's queue is the writers' mutex, and it is fair.
    pub writer: SqlitePool,
    pub readers: SqlitePool,
    /// Whether the log may still hold what was erased; so it does when the process before this one died.
    log_owed: AtomicBool,
}

pub(super) async fn connect(url: &str) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        // What is erased is overwritten in the file, not just unlinked.
        .pragma("secure_delete", "ON")
        .statement_cache_capacity(256);
    let base = SqlitePoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let writer = base.clone().min_connections(1).max_connections(1).connect_with(options.clone()).await?;
    // An in-memory database is its connection: another one would see table locks instead of snapshots.
    let readers = if is_in_memory(url) {
        writer.clone()
    } else {
        base.max_connections(READERS).connect_with(options.read_only(true)).await?
    };
    Ok(Pools { writer, readers, log_owed: AtomicBool::new(true) })
}

/// How long this connection waits for whoever is in its way.
async fn wait_for(conn: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
    let sql = format!("PRAGMA busy_timeout = {}", time.as_millis());
    sqlx::query(AssertSqlSafe(sql)).execute(conn).await.map(|_| ())
}

/// Reads alone, of a file that is there.
pub(super) async fn look(url: &str) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?.read_only(true).busy_timeout(BUSY);
    let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
    // Opening alone does not look into the file.
    sqlx::query("SELECT 1 FROM sqlite_master").fetch_optional(&readers).await?;
    Ok(Pools { writer: readers.clone(), readers, log_owed: AtomicBool::new(false) })
}

impl Pools {
    pub async fn read(&self) -> Result<Connection, sqlx::Error> {
        self.readers.acquire().await.map(Connection::Sqlite)
    }

    /// Several reads of one state.
    pub async fn read_snapshot(&self) -> Result<Connection, sqlx::Error> {
        self.readers.begin().await.map(Connection::SqliteTx)
    }

    /// A deferred transaction that turns into a writer fails at once when another writer was faster; an
    /// immediate one waits its turn.
    pub async fn write(&self) -> Result<Connection, sqlx::Error> {
        let begun = match self.writer.begin_with("BEGIN IMMEDIATE").await {
            // On a full disk SQLite ends the transaction by itself. The driver goes on counting it, and this
            // connection begins no other.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                self.writer.begin_with("BEGIN IMMEDIATE").await
            }
            begun => begun,
        };
        begun.map(Connection::SqliteTx)
    }

    pub fn owe_log(&self) {
        self.log_owed.store(true, Ordering::Relaxed);
    }

    /// Cuts the log off, if that is owed. Who reads for long keeps it from being cut: then it stays owed, as everybody
    /// who writes waits for this.
    pub async fn forget_log(&self) -> Result<(), sqlx::Error> {
        if !self.log_owed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut writer = self.writer.acquire().await?;
        wait_for(&mut writer, CUT).await?;
        let busy = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
        wait_for(&mut writer, BUSY).await?;
        let busy: i64 = busy?;
        self.log_owed.store(busy != 0, Ordering::Relaxed);
        Ok(())
    }

    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
