//! Signals between the processes on one database, by `LISTEN` and `NOTIFY`.
//!
//! Told after the commit, on a connection apart: a `NOTIFY` inside the transaction would make all commits of the
//! database wait for one another.

use crate::signals::{Owed, Signals};
use crate::sql::deadline::{ANSWER, BEGIN, within};
use crate::sql::{Lender, Sessions};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const CHANNEL: &str = "tributary";
/// One tells, one hears.
pub(super) const CONNECTIONS: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);
/// After so much silence the listener asks whether anybody could be heard.
const QUIET: Duration = Duration::from_secs(10);

/// Both directions; ends when dropped.
pub(crate) struct Bus {
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn start(options: &PgConnectOptions, signals: &Arc<Signals>) -> Bus {
    let own = Arc::new(AtomicU32::new(0));
    let tasks = [
        tokio::spawn(tell(lender(options), signals.clone(), own.clone())),
        tokio::spawn(hear(options.clone(), signals.clone(), own)),
    ];
    Bus { tasks }
}

fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER).connect_lazy_with(options.clone())
}

fn lender(options: &PgConnectOptions) -> Lender {
    Lender { pool: pool(options), longest: ANSWER, sessions: Sessions::default() }
}

/// `own` is by whose process number this process can tell what it said itself.
async fn tell(lender: Lender, signals: Arc<Signals>, own: Arc<AtomicU32>) {
    loop {
        let owed = signals.untold().await;
        match within(BEGIN, notify(&lender, owed)).await {
            Ok(pid) => own.store(i32::cast_unsigned(pid), Ordering::Relaxed),
            Err(error) => {
                // They look by themselves, a little later.
                tracing::warn!("other control planes were not told of a change: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn notify(lender: &Lender, owed: Owed) -> Result<i32, sqlx::Error> {
    let mut loan = lender.lend().await?;
    let tell = sqlx::query_scalar("SELECT pg_backend_pid() FROM pg_notify($1, $2)");
    let telling = tell.bind(CHANNEL).bind(owed.bits().to_string()).fetch_one(loan.ask()?);
    let told = within(ANSWER, telling).await;
    loan.answered(told)
}

async fn hear(options: PgConnectOptions, signals: Arc<Signals>, own: Arc<AtomicU32>) {
    loop {
        // A pool for each: a listener that ends first says so to the server, however long that takes.
        if let Err(error) = hear_until_lost(&pool(&options), &signals, &own).await {
            tracing::warn!("cannot hear other control planes: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_until_lost(pool: &PgPool, signals: &Signals, own: &AtomicU32) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    within(ANSWER, listener.listen(CHANNEL)).await?;
    // What was said before this moment was missed.
    signals.fire(Owed::ALL);
    loop {
        let Ok(heard) = tokio::time::timeout(QUIET, listener.try_recv()).await else {
            within(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            continue;
        };
        let Some(message) = heard? else { return Ok(()) };
        if message.process_id() != own.load(Ordering::Relaxed)
            && let Ok(bits) = message.payload().parse()
        {
            signals.fire(Owed::from_bits(bits));
        }
    }
}
