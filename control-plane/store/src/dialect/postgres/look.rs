//! For who only looks at the database, and for who wants to know why there is no way into it.

use super::{CONNECTIONS, Pools, options};
use crate::sql::deadline::LOOK;
use crate::sql::{Lender, Sessions};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(5);

/// Does not wait for a server that is not there; what it then reads may take its time.
pub(in super::super) async fn look(url: &str) -> Result<Pools, sqlx::Error> {
    let options = options(url)?.options([("statement_timeout", "0")]);
    try_once(&options).await?;
    let readers = PgPoolOptions::new().max_connections(CONNECTIONS).connect_lazy_with(options.clone());
    let readers = Lender { pool: readers, longest: LOOK, sessions: Sessions::default() };
    Ok(Pools { writers: readers.clone(), readers, options })
}

/// A pool tries until its time is over and does not say why.
pub(super) async fn why(options: &PgConnectOptions, error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::PoolTimedOut => try_once(options).await.err().unwrap_or(error),
        _ => error,
    }
}

async fn try_once(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let tried = tokio::time::timeout(WAIT, options.connect()).await;
    let conn = tried.map_err(|_| sqlx::Error::PoolTimedOut)??;
    let _ = conn.close().await;
    Ok(())
}
