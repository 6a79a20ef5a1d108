//! The same rows without us: prepared statements on one connection of the same driver, in the same schema.

use super::BenchError;
use control_plane_store::DatabaseUrl;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow};
use sqlx::sqlite::{SqliteSynchronous, SqliteValueRef};
use sqlx::{Column, ConnectOptions, Connection, Executor, Row, TypeInfo, ValueRef};
use std::str::FromStr;

/// A column of any table. NULL keeps its type: PostgreSQL wants to know it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    pub fn int(&self) -> i64 {
        if let Self::Int(Some(value)) = self { *value } else { 0 }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

/// Rows of one table, and the statement that inserts one.
#[derive(Clone, Default)]
pub struct Rows {
    pub insert: &'static str,
    pub rows: Vec<Vec<Value>>,
}

pub enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

macro_rules! bound {
    ($sql:expr, $args:expr) => {
        $args.iter().fold(sqlx::query($sql), |query, arg| match arg {
            Value::Int(value) => query.bind(*value),
            Value::Bool(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.as_deref()),
            Value::Bytes(value) => query.bind(value.as_deref()),
        })
    };
}

impl Bare {
    /// With the settings that the store has, and the rights of the whole deployment.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, BenchError> {
        match url {
            DatabaseUrl::Sqlite(url) => {
                let options = SqliteConnectOptions::from_str(url)?
                    .foreign_keys(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("secure_delete", "ON")
                    .busy_timeout(std::time::Duration::from_secs(10));
                Ok(Self::Sqlite(options.connect().await?))
            }
            DatabaseUrl::Postgres(url) => {
                let mut conn = PgConnection::connect(url).await?;
                conn.execute("SET tributary.tenant = '-1'").await?;
                Ok(Self::Postgres(conn))
            }
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub async fn begin(&mut self) -> Result<(), BenchError> {
        self.run(if self.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" }).await
    }

    pub async fn commit(&mut self) -> Result<(), BenchError> {
        self.run("COMMIT").await
    }

    /// Statements without arguments.
    pub async fn run(&mut self, sql: &'static str) -> Result<(), BenchError> {
        match self {
            Self::Sqlite(conn) => conn.execute(sqlx::raw_sql(sql)).await.map(|_| ())?,
            Self::Postgres(conn) => conn.execute(sqlx::raw_sql(sql)).await.map(|_| ())?,
        }
        Ok(())
    }

    pub async fn execute(&mut self, sql: &'static str, args: &[Value]) -> Result<(), BenchError> {
        match self {
            Self::Sqlite(conn) => {
                let query: sqlx::query::Query<'_, _, SqliteArguments> = bound!(sql, args);
                query.execute(conn).await.map(|_| ())?;
            }
            Self::Postgres(conn) => {
                let query: sqlx::query::Query<'_, _, PgArguments> = bound!(sql, args);
                query.execute(conn).await.map(|_| ())?;
            }
        }
        Ok(())
    }

    pub async fn fetch(&mut self, sql: &'static str, args: &[Value]) -> Result<Vec<Vec<Value>>, BenchError> {
        match self {
            Self::Sqlite(conn) => {
                let query: sqlx::query::Query<'_, _, SqliteArguments> = bound!(sql, args);
                query.fetch_all(conn).await?.iter().map(sqlite_row).collect()
            }
            Self::Postgres(conn) => {
                let query: sqlx::query::Query<'_, _, PgArguments> = bound!(sql, args);
                query.fetch_all(conn).await?.iter().map(postgres_row).collect()
            }
        }
    }

    /// What `sql` selects from `table`, to be inserted into the same table elsewhere.
    pub async fn rows(&mut self, table: &str, sql: &'static str, args: &[Value]) -> Result<Rows, BenchError> {
        let names: Vec<String> = match self {
            Self::Sqlite(conn) => columns(conn.describe(sql_str(sql)).await?.columns()),
            Self::Postgres(conn) => columns(conn.describe(sql_str(sql)).await?.columns()),
        };
        let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
        let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
        Ok(Rows { insert: insert.leak(), rows: self.fetch(sql, args).await? })
    }

    /// Everything that `sql` selects there and that is not here yet.
    pub async fn copy(&mut self, from: &mut Self, table: &str, sql: &'static str) -> Result<(), BenchError> {
        let mut rows = from.rows(table, sql, &[]).await?;
        rows.insert = format!("{} ON CONFLICT DO NOTHING", rows.insert).leak();
        self.begin().await?;
        self.insert(&rows).await?;
        self.commit().await
    }

    pub async fn insert(&mut self, rows: &Rows) -> Result<(), BenchError> {
        for row in &rows.rows {
            self.execute(rows.insert, row).await?;
        }
        Ok(())
    }
}

fn sql_str(sql: &'static str) -> sqlx::SqlStr {
    sqlx::SqlSafeStr::into_sql_str(sql)
}

fn columns<C: Column>(columns: &[C]) -> Vec<String> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn sqlite_row(row: &SqliteRow) -> Result<Vec<Value>, BenchError> {
    let value = |index: usize, column: &sqlx::sqlite::SqliteColumn| {
        let raw: SqliteValueRef<'_> = row.try_get_raw(index)?;
        // NULL has no type of its own; SQLite takes any.
        let kind = if raw.is_null() { column.type_info().clone() } else { raw.type_info().into_owned() };
        Ok(match kind.name() {
            "TEXT" => Value::Text(row.try_get(index)?),
            "BLOB" => Value::Bytes(row.try_get(index)?),
            _ => Value::Int(row.try_get(index)?),
        })
    };
    row.columns().iter().enumerate().map(|(index, column)| value(index, column)).collect()
}

fn postgres_row(row: &PgRow) -> Result<Vec<Value>, BenchError> {
    let value = |index: usize, column: &sqlx::postgres::PgColumn| {
        Ok(match column.type_info().name() {
            "INT8" => Value::Int(row.try_get(index)?),
            "INT4" => Value::Int(row.try_get::<Option<i32>, _>(index)?.map(i64::from)),
            "BOOL" => Value::Bool(row.try_get(index)?),
            "BYTEA" => Value::Bytes(row.try_get(index)?),
            _ => Value::Text(row.try_get(index)?),
        })
    };
    row.columns().iter().enumerate().map(|(index, column)| value(index, column)).collect()
}
