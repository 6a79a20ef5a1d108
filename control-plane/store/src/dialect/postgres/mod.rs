mod bus;
mod look;

pub(crate) use bus::Bus;
pub(super) use look::look;

use super::{Failure, Scope, failure};
use crate::Trouble;
use crate::row::Id;
use crate::signals::Signals;
use crate::sql::deadline::{ANSWER, BEGIN, STATEMENT, within};
use crate::sql::{Connection, Lender, Loan, Sessions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// Of each pool: one reads, one writes, so that slow reports never keep an edge's batch waiting. Three processes
/// stay far below the hundred connections that a server allows by default.
const CONNECTIONS: u32 = 8;
/// What one process may hold: both pools, and what it tells and hears.
pub(crate) const PER_PROCESS: u32 = 2 * CONNECTIONS + bus::CONNECTIONS;
const ACQUIRE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(3_600);
/// Connections that are still busy after this are left to themselves.
const CLOSE: Duration = Duration::from_secs(5);

const READ_ONLY: &str = "ISOLATION LEVEL REPEATABLE READ READ ONLY";

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
    pub readers: Lender,
    pub writers: Lender,
    pub options: PgConnectOptions,
}

pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let mut options = PgConnectOptions::from_str(url)?
        .application_name("tributary")
        .statement_cache_capacity(256)
        .options(LIMITS);
    // Beyond this machine nothing goes unencrypted or to a stranger, unless the URL says so.
    if !states_tls(url) && std::env::var_os("PGSSLMODE").is_none() {
        let mode = if is_local(&options) { PgSslMode::Prefer } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    Ok(options)
}

/// A user or a password may hold such words, too.
fn states_tls(url: &str) -> bool {
    let parameters = url.split_once('?').map_or("", |(_, rest)| rest).split('#').next().unwrap_or_default();
    let names = parameters.split('&').filter_map(|pair| pair.split_once('=').map(|(name, _)| name));
    names.into_iter().any(|name| matches!(name, "sslmode" | "ssl-mode"))
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
    let sessions = Sessions::default();
    let of_writers = base.clone().max_connections(CONNECTIONS).before_acquire({
        let sessions = sessions.clone();
        move |_, session| {
            let current = sessions.is_current(session.age);
            Box::pin(async move { Ok(current) })
        }
    });
    let writers = match of_writers.connect_with(options.clone()).await {
        Ok(writers) => writers,
        Err(error) => return Err(look::why(&options, error).await),
    };
    let readers = base.max_connections(CONNECTIONS).connect_lazy_with(options.clone());
    let lender = |pool, sessions| Lender { pool, longest: STATEMENT, sessions };
    Ok(Pools { readers: lender(readers, Sessions::default()), writers: lender(writers, sessions), options })
}

async fn begin(lender: &Lender, scope: Scope, mode: &str) -> Result<Connection, sqlx::Error> {
    let tenant = match scope {
        Scope::Tenant(tenant) => tenant.column(),
        Scope::Deployment => DEPLOYMENT,
    };
    // One round trip. What is formatted is a number.
    let text = format!("BEGIN {mode}; SET LOCAL tributary.tenant = '{tenant}'");
    within(BEGIN, begin_on_any(lender, &text)).await.map(Connection::PostgresTx)
}

async fn begin_on_any(lender: &Lender, text: &str) -> Result<Loan, sqlx::Error> {
    let mut stale = 0;
    loop {
        match lender.begin(text).await {
            // Lost while it lay in the pool. Nothing has begun, so another one is as good.
            Err(error) if stale < CONNECTIONS && is_lost(&error) => stale += 1,
            begun => return begun,
        }
    }
}

fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => false,
        other if Trouble::of(other).is_refusal() => false,
        other => failure(other) == Failure::Unavailable,
    }
}

impl Pools {
    /// Several statements in it see one state.
    pub async fn read(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        begin(&self.readers, scope, READ_ONLY).await
    }

    /// By the connections of those who write.
    pub async fn read_beside_reports(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        begin(&self.writers, scope, READ_ONLY).await
    }

    /// Who reads in order to write locks what it has read.
    pub async fn write(&self, scope: Scope) -> Result<Connection, sqlx::Error> {
        begin(&self.writers, scope, "ISOLATION LEVEL READ COMMITTED").await
    }

    pub async fn encoding(&self) -> Result<String, sqlx::Error> {
        let mut loan = self.writers.lend().await?;
        let asking = sqlx::query_scalar("SHOW server_encoding").fetch_one(loan.ask()?);
        let answer = within(ANSWER, asking).await;
        loan.answered(answer)
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
        let closing = async { tokio::join!(self.readers.pool.close(), self.writers.pool.close()) };
        if tokio::time::timeout(CLOSE, closing).await.is_err() {
            tracing::warn!("connections to the database that are still busy are left to themselves");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Row as _};

    #[test]
    fn strangers_are_believed_by_their_certificate_alone_unless_the_url_says_otherwise() {
        use PgSslMode::{Disable, Prefer, Require, VerifyFull};
        let cases = [
            ("postgres://a@db.example/t", VerifyFull),
            ("postgres://a:b@10.0.0.1:6432/t?connect_timeout=5", VerifyFull),
            ("postgres://a:sslmode=disable@db.example/t", VerifyFull),
            ("postgres://sslmode=disable@db.example/t", VerifyFull),
            ("postgres://a@db.example/sslmode=disable", VerifyFull),
            ("postgres://a@db.example/t?application_name=sslmode", VerifyFull),
            ("postgres://a@db.example/t?sslmode=require", Require),
            ("postgres://a@db.example/t?application_name=x&ssl-mode=disable", Disable),
            ("postgres://a@localhost/t", Prefer),
            ("postgres://a@127.0.0.2/t", Prefer),
            ("postgres://a@localhost/t?host=/run/postgresql", Prefer),
            ("postgres://a@localhost/t?sslmode=verify-full", VerifyFull),
        ];
        for (url, expected) in cases {
            let found = options(url).unwrap().get_ssl_mode();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{url}");
        }
    }

    #[tokio::test]
    async fn every_session_has_its_limits() {
        // SQLite has no sessions, so this one has the other database always.
        let database = control_plane_testing::server().create_database();
        let pools = connect(&database.url).await.unwrap();
        for pool in [&pools.readers.pool, &pools.writers.pool] {
            for (name, limit) in LIMITS {
                // A keepalive has no meaning on every kind of connection, and is then shown as 0.
                let sql = format!("SELECT reset_val, source FROM pg_settings WHERE name = '{name}'");
                let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
                let (value, source): (String, String) = (row.get("reset_val"), row.get("source"));
                assert_eq!(source, "client", "{name}");
                let seconds = limit.strip_suffix('s').map(|seconds| format!("{seconds}000"));
                assert_eq!(value, seconds.unwrap_or_else(|| limit.to_owned()), "{name}");
            }
        }
        pools.close().await;
    }
    /// It checks a whole installation, say, which takes minutes where there is much.
    #[tokio::test]
    async fn who_only_looks_has_no_limit_for_a_statement() {
        let database = control_plane_testing::server().create_database();
        let pools = look(&database.url).await.unwrap();
        let sql = "SELECT current_setting('statement_timeout')";
        let timeout: String = sqlx::query_scalar(sql).fetch_one(&pools.readers.pool).await.unwrap();
        assert_eq!(timeout, "0");
        let longest = pools.readers.longest;
        assert!(longest > Duration::from_secs(6 * 3_600), "{longest:?}");
        pools.close().await;
    }

    #[test]
    fn what_was_lost_is_asked_again_at_once_and_a_full_pool_is_not() {
        let of = sqlx::Error::Io;
        assert!(is_lost(&of(std::io::ErrorKind::UnexpectedEof.into())));
        assert!(is_lost(&of(std::io::ErrorKind::TimedOut.into())));
        assert!(!is_lost(&sqlx::Error::PoolTimedOut));
        assert!(!is_lost(&sqlx::Error::PoolClosed));
    }
}
