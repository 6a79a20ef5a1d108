//! Signals between the processes on one database, by `LISTEN` and `NOTIFY`.
//!
//! Told after the commit, on a connection apart: a `NOTIFY` inside the transaction would make all commits of the
//! database wait for one another.

use crate::signals::{Owed, Signals};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const CHANNEL: &str = "tributary";
/// One tells, one hears.
pub(super) const CONNECTIONS: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);

/// Both directions; ends when dropped.
pub(crate) struct Bus {
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn start(options: &sqlx::postgres::PgConnectOptions, signals: &Arc<Signals>) -> Bus {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect_lazy_with(options.clone());
    let own = Arc::new(AtomicU32::new(0));
    let tasks = [
        tokio::spawn(tell(pool.clone(), signals.clone(), own.clone())),
        tokio::spawn(hear(pool, signals.clone(), own)),
    ];
    Bus { tasks }
}

/// `own` is by whose process number this process can tell what it said itself.
async fn tell(pool: PgPool, signals: Arc<Signals>, own: Arc<AtomicU32>) {
    loop {
        let owed = signals.untold().await;
        let message = owed.bits().to_string();
        let tell = sqlx::query_scalar("SELECT pg_backend_pid() FROM pg_notify($1, $2)");
        match tell.bind(CHANNEL).bind(message).fetch_one(&pool).await {
            Ok(pid) => own.store(i32::cast_unsigned(pid), Ordering::Relaxed),
            Err(error) => {
                // They look by themselves, a little later.
                tracing::warn!("other control planes were not told of a change: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn hear(pool: PgPool, signals: Arc<Signals>, own: Arc<AtomicU32>) {
    loop {
        if let Err(error) = hear_until_lost(&pool, &signals, &own).await {
            tracing::warn!("cannot hear other control planes: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_until_lost(pool: &PgPool, signals: &Signals, own: &AtomicU32) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What was said before this moment was missed.
    signals.fire(Owed::ALL);
    while let Some(message) = listener.try_recv().await? {
        if message.process_id() != own.load(Ordering::Relaxed)
            && let Ok(bits) = message.payload().parse()
        {
            signals.fire(Owed::from_bits(bits));
        }
    }
    Ok(())
}
