//! The database beside the store: as whoever owns its file, or its tables.

use crate::world;
use control_plane_store::{DatabaseUrl, Store};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::path::PathBuf;
use tempfile::TempDir;

/// A database that more than one can open, unlike one in memory; gone when dropped.
pub struct Place {
    pub url: DatabaseUrl,
    pub directory: TempDir,
}

impl Place {
    /// With the whole schema, on the database that the tests were started for.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match world::database().await {
            Some(url) => url,
            None => file(&directory),
        };
        Self { url, directory }
    }

    /// With nothing in it.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match control_plane_testing::chosen() {
            Some(server) => server.create_database().url.parse().unwrap(),
            None => file(&directory),
        };
        Self { url, directory }
    }

    /// Whose migrations it has.
    pub fn kind(&self) -> &'static str {
        match self.url {
            DatabaseUrl::Sqlite(_) => "sqlite",
            DatabaseUrl::Postgres(_) => "postgres",
        }
    }

    /// The file of SQLite's.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("tributary.db")
    }

    /// The name of PostgreSQL's.
    pub fn name(&self) -> &str {
        let (DatabaseUrl::Sqlite(url) | DatabaseUrl::Postgres(url)) = &self.url;
        url.rsplit_once('/').unwrap().1
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }
}

fn file(directory: &TempDir) -> DatabaseUrl {
    format!("sqlite://{}", directory.path().join("tributary.db").display()).parse().unwrap()
}

pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    /// On PostgreSQL the owner, who sees every tenant's rows.
    pub async fn open(url: &DatabaseUrl) -> Self {
        match url {
            DatabaseUrl::Sqlite(url) => {
                let options: SqliteConnectOptions = url.parse().unwrap();
                let options = options.create_if_missing(true);
                Self::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
            }
            DatabaseUrl::Postgres(url) => {
                let mut raw = Self::Postgres(PgConnection::connect(url).await.unwrap());
                raw.run("SET tributary.tenant = '-1'").await.unwrap();
                raw
            }
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// How many rows it touched. Where the databases differ, the text is SQLite's and [`for_postgres`] changes it.
    pub async fn run(&mut self, sql: &str) -> Result<u64, String> {
        match self {
            Self::Sqlite(conn) => {
                let done = sqlx::query(AssertSqlSafe(sql)).execute(conn).await;
                done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
            }
            Self::Postgres(conn) => {
                let done =
                    sqlx::query(AssertSqlSafe(for_postgres(sql))).persistent(false).execute(conn).await;
                done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
            }
        }
    }

    /// Several statements, or none of them.
    pub async fn script(&mut self, sql: &str) {
        let done = match self {
            Self::Sqlite(conn) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(|_| ()),
            Self::Postgres(conn) => {
                sqlx::raw_sql(AssertSqlSafe(for_postgres(sql))).execute(conn).await.map(|_| ())
            }
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub async fn migrate(&mut self, migrator: &Migrator) {
        match self {
            Self::Sqlite(conn) => migrator.run(conn).await.unwrap(),
            Self::Postgres(conn) => migrator.run(conn).await.unwrap(),
        }
    }

    pub async fn number(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(conn) => sqlx::query_scalar(sql).fetch_one(conn).await.unwrap(),
            Self::Postgres(conn) => sqlx::query_scalar(sql).persistent(false).fetch_one(conn).await.unwrap(),
        }
    }

    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(conn) => sqlx::query_scalar(sql).fetch_all(conn).await.unwrap(),
            Self::Postgres(conn) => sqlx::query_scalar(sql).persistent(false).fetch_all(conn).await.unwrap(),
        }
    }

    pub async fn count(&mut self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }
}

/// Bytes are written differently.
fn for_postgres(sql: &str) -> String {
    let mut sql = sql.to_owned();
    for length in [16, 32, 64] {
        let zeros = format!("decode(repeat('00', {length}), 'hex')");
        sql = sql.replace(&format!("zeroblob({length})"), &zeros);
    }
    sql
}
