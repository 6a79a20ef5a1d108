mod bus;
mod look;

pub(crate) use bus::Bus;
pub(super) use look::look;

use super::{Failure, Scope, failure};
use crate::row::Id;
use crate::signals::Signals;
use crate::sql::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// Of each pool: one reads, one writes, so that slow reports never keep an edge's batch waiting. Three processes
/// stay far below the hundred connections that a server allows by default.
const CONNECTIONS: u32 = 8;
/// What one process may hold: both pools, what it tells and hears, and a migration.
pub(crate) const PER_PROCESS: u32 = 2 * CONNECTIONS + 3;
const ACQUIRE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(3_600);

/// The setting that the policies of row security look at (migrations/postgres/0001).
const DEPLOYMENT: i64 = -1;

/// For each session. A process that hangs in the middle of a transaction must not keep its locks: others
/// would wait for it for ever.
const LIMITS: [(&str, &str); 5] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_user_timeout", "15000"),
];

pub(crate) struct Pools {
    pub readers: PgPool,
    pub writers: PgPool,
    pub options: PgConnectOptions,
}

pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let mut options = PgConnectOptions::from_str(url)?
        .application_name("tributary")
        .statement_cache_capacity(256)
        .options(LIMITS);
    // Beyond this machine nothing goes unencrypted or to a stranger, unless the URL says so.
    let stated =
        url.contains("sslmode=") || url.contains("ssl-mode=") || std::env::var_os("PGSSLMODE").is_some();
    if !stated {
        let mode = if is_local(&options) { PgSslMode::Prefer } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    Ok(options)
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) async fn connect(url: &str) -> Result<Pools, sqlx::Error> {
    let options = options(url)?;
    let base = PgPoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .idle_timeout(IDLE)
        .max_lifetime(LIFETIME)
        .test_before_acquire(false);
    let writers = match base.clone().max_connections(CONNECTIONS).connect_with(options.clone()).await {
        Ok(writers) => writers,
        Err(error) => return Err(look::why(&options, error).await),
    };
    let readers = base.max_connections(CONNECTIONS).connect_lazy_with(options.clone());
    Ok(Pools { readers, writers, options })
}

async fn begin(pool: &PgPool, scope: Scope, mode: &str) -> Result<Connection, sqlx::Error> {
    let tenant = match scope {
        Scope::Tenant(tenant) => tenant.column(),
        Scope::Deployment => DEPLOYMENT,
    };
    // One round trip. What is formatted is a number.
    let text = format!("BEGIN {mode}; SET LOCAL tributary.tenant = '{tenant}'");
    let mut stale = 0;
    loop {
        match pool.begin_with(AssertSqlSafe(text.clone())).await {
            Ok(transaction) => return Ok(Connection::PostgresTx(transaction)),
            // Lost while it lay in the pool. Nothing has begun, so another one is as good.
            Err(error) if stale < CONNECTIONS && is_lost(&error) => stale += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_lost(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
        && failure(error) == Failure::Unavailable
}

impl Pools {
    /// Several statements in it see one state.
    pub async fn read(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        begin(&self.readers, scope, "ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Who reads in order to write locks what it has read.
    pub async fn write(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        begin(&self.writers, scope, "ISOLATION LEVEL READ COMMITTED").await
    }

    pub fn bus(&self, signals: &Arc<Signals>) -> Bus {
        bus::start(&self.options, signals)
    }

    /// On a connection of its own, which may take its time.
    pub async fn migrate(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        let patient = [("statement_timeout", "0"), ("lock_timeout", "60s")];
        let mut conn = self.options.clone().options(patient).connect().await?;
        migrator.run(&mut conn).await?;
        conn.close().await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}
