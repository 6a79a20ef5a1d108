//! A connection of a PostgreSQL pool, on loan, with a transaction on it as a rule.
//!
//! The pool asks a connection that comes back whether it is sound, and waits for the answer as long as that takes; what
//! it holds is lent to nobody meanwhile. On a connection that the network has dropped without a word the answer never
//! comes. So we hang up on who does not answer, and limit how long a connection may take to come back.

use super::Sessions;
use super::deadline::{ANSWER, is_silence, within};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgTransactionManager;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, SqlSafeStr};
// Not shown by `sqlx` itself, whose own `Transaction` cannot be told how long to wait.
use sqlx_core::transaction::TransactionManager;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;

/// Of the connections of one pool.
#[derive(Clone)]
pub(crate) struct Lender {
    pub pool: PgPool,
    /// How long a statement may take.
    pub longest: Duration,
    pub sessions: Sessions,
}

impl Lender {
    /// Outside of any transaction.
    pub async fn lend(&self) -> Result<Loan, sqlx::Error> {
        let conn = Some(self.pool.acquire().await?);
        Ok(Loan { conn, longest: self.longest, sessions: self.sessions.clone(), asked: false })
    }

    /// `text` begins a transaction, which is rolled back when the loan is dropped.
    pub async fn begin(&self, text: &str) -> Result<Loan, sqlx::Error> {
        let mut loan = self.lend().await?;
        let text = AssertSqlSafe(text.to_owned()).into_sql_str();
        let begun = within(ANSWER, PgTransactionManager::begin(loan.conn()?, Some(text))).await;
        if let Err(error) = begun {
            if is_silence(&error) {
                loan.hang_up();
                self.forget_idle();
            }
            return Err(error);
        }
        Ok(loan)
    }

    /// What lay beside a connection that has fallen silent went over the same network.
    fn forget_idle(&self) {
        while let Some(idle) = self.pool.try_acquire() {
            drop(idle.detach());
        }
    }
}

pub(crate) struct Loan {
    /// None once we have hung up.
    conn: Option<PoolConnection<Postgres>>,
    longest: Duration,
    sessions: Sessions,
    /// A statement is under way: the connection comes back when the server is done with it.
    asked: bool,
}

impl Loan {
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let longest = self.longest;
        let done = within(longest, PgTransactionManager::commit(self.ask()?)).await;
        self.answered(done)
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// To say something by; what became of it goes to [`Loan::answered`].
    pub fn ask(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.asked = true;
        self.conn()
    }

    pub fn answered<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.sessions.look_at(&answer);
        match &answer {
            Err(error) if is_silence(error) => self.hang_up(),
            _ => self.asked = false,
        }
        answer
    }

    fn conn(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let gone =
            || io::Error::new(io::ErrorKind::NotConnected, "the database server did not answer before");
        self.conn.as_deref_mut().ok_or_else(|| gone().into())
    }

    fn hang_up(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            drop(conn.detach());
            return;
        };
        PgTransactionManager::start_rollback(&mut conn);
        let longest = if self.asked { self.longest } else { ANSWER };
        // What the pool's own connection does when it is dropped, with no limit.
        let coming_back = conn.return_to_pool();
        runtime.spawn(async move {
            if tokio::time::timeout(longest, coming_back).await.is_err() {
                tracing::warn!("a connection to the database has fallen silent, and is given up");
            }
        });
    }
}
