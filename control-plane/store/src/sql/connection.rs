use super::loan::Loan;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, Transaction};

/// A connection on loan; a transaction that is dropped is rolled back.
pub(crate) enum Connection {
    /// Outside of any transaction.
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
    /// On PostgreSQL there is always a transaction: it carries whose rows may be seen.
    PostgresTx(Loan),
}

impl Connection {
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::SqliteTx(transaction) => transaction.commit().await,
            Self::PostgresTx(loan) => loan.commit().await,
        }
    }
}
