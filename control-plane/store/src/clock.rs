//! Whether the machine's clock may be written into the books, where times only rise: a clock that jumps ahead
//! would take all that comes after it along.

use crate::StoreError;
use proto_model::UnixMicros;
use proto_model::time::SECOND_US;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// The machine's clock and the database's may differ by so much, in microseconds; beyond it, leases,
/// certificates and days would be judged wrongly.
pub const CLOCKS_APART: i64 = 60 * SECOND_US;

#[derive(Default)]
pub(crate) struct Clock(Mutex<Option<Watched>>);

#[derive(Clone, Copy)]
struct Watched {
    machine: fn() -> UnixMicros,
    /// The database's, and when it said so by a clock that never jumps.
    database: Option<(UnixMicros, Instant)>,
}

impl Clock {
    fn with<T>(&self, act: impl FnOnce(&mut Option<Watched>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn watch(&self, machine: fn() -> UnixMicros) {
        self.with(|watched| *watched = Some(Watched { machine, database: None }));
    }

    pub fn seen(&self, database: UnixMicros) {
        let seen = Some((database, Instant::now()));
        self.with(|watched| watched.iter_mut().for_each(|watched| watched.database = seen));
    }

    /// Compares with where the database's clock must stand by now.
    pub fn check(&self) -> Result<(), StoreError> {
        let Some(Watched { machine, database: Some((database, at)) }) = self.with(|watched| *watched) else {
            return Ok(());
        };
        let since = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
        let apart = machine().0.saturating_sub(database.0.saturating_add(since));
        match apart.saturating_abs() {
            far if far > CLOCKS_APART => Err(StoreError::ClocksApart { seconds: apart / SECOND_US }),
            _ => Ok(()),
        }
    }
}
