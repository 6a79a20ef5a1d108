//! One way to ask either database: a text (or one per database), its arguments, and rows to read.
//!
//! A thin layer over sqlx's own drivers. Its `Any` driver would copy each row once more, and knows neither
//! their types of columns nor their errors.

mod arg;
mod connection;
pub(crate) mod deadline;
mod loan;
mod row;
mod sessions;

pub(crate) use arg::Arg;
pub(crate) use connection::Connection;
pub(crate) use loan::{Lender, Loan};
pub(crate) use row::{Readable, Row};
pub(crate) use sessions::Sessions;

use sqlx::{Postgres, Sqlite};

/// The text of a statement: usually the same on both databases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A `SELECT` whose rows nobody else may change before this transaction ends. SQLite has one writer at a
/// time anyway; a lock that leaves keys alone does not stop rows that refer to these.
macro_rules! locking {
    ($text:expr) => {
        $crate::sql::Sql { sqlite: $text, postgres: concat!($text, " FOR NO KEY UPDATE") }
    };
}

/// The same for several transactions at once, none of which changes the rows.
macro_rules! sharing {
    ($text:expr) => {
        $crate::sql::Sql { sqlite: $text, postgres: concat!($text, " FOR SHARE") }
    };
}
pub(crate) use {locking, sharing};

pub(crate) struct Query<'q> {
    sql: Sql,
    args: Vec<Arg<'q>>,
}

pub(crate) fn query<'q>(sql: impl Into<Sql>) -> Query<'q> {
    Query { sql: sql.into(), args: Vec::new() }
}

/// Runs the query with the driver of the connection, and makes of its result what both have in common.
macro_rules! on {
    ($query:ident, $conn:ident, $run:ident, $common:expr) => {
        match $conn {
            Connection::Sqlite(conn) => $query.for_sqlite().$run(&mut **conn).await.map($common),
            Connection::SqliteTx(conn) => $query.for_sqlite().$run(&mut **conn).await.map($common),
            Connection::PostgresTx(loan) => {
                let longest = loan.longest();
                let work = $query.for_postgres().$run(loan.ask()?);
                let answer = deadline::within(longest, work).await;
                loan.answered(answer).map($common)
            }
        }
    };
}

/// Whether a statement may stay prepared. One that takes every column gives others once a migration of a newer
/// version, at work beside this one, has added some: PostgreSQL then refuses it, and sqlx's driver for SQLite
/// falls over. What is asked often names its columns.
fn keeps_its_columns(text: &str) -> bool {
    !text.contains(" *") && !text.contains(".*")
}

impl<'q> Query<'q> {
    pub fn bind(mut self, arg: impl Into<Arg<'q>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// How many rows it touched.
    pub async fn execute(self, conn: &mut Connection) -> Result<u64, sqlx::Error> {
        on!(self, conn, execute, |done| done.rows_affected())
    }

    pub async fn fetch_one(self, conn: &mut Connection) -> Result<Row, sqlx::Error> {
        on!(self, conn, fetch_one, Row::from)
    }

    pub async fn fetch_optional(self, conn: &mut Connection) -> Result<Option<Row>, sqlx::Error> {
        on!(self, conn, fetch_optional, |row| row.map(Row::from))
    }

    pub async fn fetch_all(self, conn: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        on!(self, conn, fetch_all, |rows| rows.into_iter().map(Row::from).collect())
    }

    fn for_sqlite(self) -> sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments> {
        let query = sqlx::query(self.sql.sqlite).persistent(keeps_its_columns(self.sql.sqlite));
        self.args.into_iter().fold(query, arg::bind)
    }

    fn for_postgres(self) -> sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments> {
        let query = sqlx::query(self.sql.postgres).persistent(keeps_its_columns(self.sql.postgres));
        self.args.into_iter().fold(query, arg::bind)
    }
}
