//! A session takes over what a database or a role sets when it begins, and keeps it: one that began while
//! `default_transaction_read_only` was on writes nothing when that has long been lifted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// While the server goes on refusing, no more than one round of new sessions in this time.
const ROUND: Duration = Duration::from_secs(5);

/// Those of one pool.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    refused: Arc<Mutex<Option<Instant>>>,
}

impl Sessions {
    /// To be told of what each statement came to.
    pub fn look_at<T>(&self, result: &Result<T, sqlx::Error>) {
        let Err(sqlx::Error::Database(error)) = result else { return };
        if error.code().is_some_and(|code| code == "25006") {
            self.write_refused(Instant::now());
        }
    }

    fn write_refused(&self, now: Instant) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_none_or(|at| now.saturating_duration_since(at) >= ROUND) {
            *refused = Some(now);
        }
    }

    /// Whether a session of this age may be used again.
    pub fn is_current(&self, age: Duration) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_none_or(|at| age <= at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_from_before_a_refusal_are_given_up_a_round_at_a_time() {
        let sessions = Sessions::default();
        assert!(sessions.is_current(Duration::from_secs(3_000)));
        let now = Instant::now();
        sessions.write_refused(now);
        assert!(!sessions.is_current(Duration::from_secs(1)));
        assert!(sessions.is_current(Duration::ZERO));
        // Those that were made since then have their time.
        sessions.write_refused(now + ROUND / 2);
        assert_eq!(*sessions.refused.lock().unwrap(), Some(now));
        sessions.write_refused(now + ROUND);
        assert_eq!(*sessions.refused.lock().unwrap(), Some(now + ROUND));
    }
}
