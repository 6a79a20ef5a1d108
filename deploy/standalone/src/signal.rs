//! Ctrl-C and SIGTERM mean the same: drain, lose nothing, leave.

use tokio::signal::unix::{Signal, SignalKind, signal};

pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From here on the signals no longer kill the process.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn requested(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }

    /// None when a signal came first, and what was begun is given up as in a crash: a start may wait for long, for a
    /// server that is silent or for an upgrade of its tables.
    pub async fn unless_requested<T>(&mut self, starting: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            started = starting => Some(started),
            name = self.requested() => {
                eprintln!("  {name}: stopped before it was ready");
                None
            }
        }
    }
}
