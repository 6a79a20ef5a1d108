//! A transaction that the database rolled back for another one's sake is run again, whole.

use crate::StoreError;
use std::time::Duration;

const ATTEMPTS: u32 = 5;

#[derive(Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// Whether to run it again; rests a little longer each time.
    pub async fn again(&mut self, error: &StoreError) -> bool {
        self.0 += 1;
        let again = matches!(error, StoreError::Busy(_)) && self.0 < ATTEMPTS;
        if again {
            tracing::debug!(attempt = self.0, "a transaction gave way and is run again");
            tokio::time::sleep(Duration::from_millis(10 << self.0)).await;
        }
        again
    }
}

/// The expression makes a future that does the whole transaction. A macro and not a function: of an async
/// closure's future the compiler cannot yet see that it may move between threads.
macro_rules! retrying {
    ($transaction:expr) => {{
        let mut attempts = $crate::retry::Attempts::default();
        loop {
            match $transaction.await {
                Err(error) if attempts.again(&error).await => {}
                result => break result,
            }
        }
    }};
}
pub(crate) use retrying;
