//! Whether anything is asked on a connection that carries many requests at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

pub struct Activity {
    running: Cell<usize>,
    last: Cell<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { running: Cell::new(0), last: Cell::new(Instant::now()) }
    }
}

/// A request that is being answered.
pub struct Running(Rc<Activity>);

impl Activity {
    pub fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running(Rc::clone(self))
    }

    /// Resolves when nothing has been asked for `limit`. Pings and the like keep nothing alive.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let since = if self.running.get() > 0 { Instant::now() } else { self.last.get() };
            let until = since + limit;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.last.set(Instant::now());
    }
}
