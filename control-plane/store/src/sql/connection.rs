use super::Sessions;
use super::deadline::{STATEMENT, within};
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Sqlite, Transaction};

/// A connection on loan; a transaction that is dropped is rolled back.
pub(crate) enum Connection {
    /// Outside of any transaction.
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
    /// On PostgreSQL there is always a transaction: it carries whose rows may be seen.
    PostgresTx(Transaction<'static, Postgres>, Sessions),
}

impl Connection {
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::SqliteTx(transaction) => transaction.commit().await,
            Self::PostgresTx(transaction, _) => within(STATEMENT, transaction.commit()).await,
        }
    }
}
