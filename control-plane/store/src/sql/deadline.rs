//! A server that stands still with its sockets open, or a network that swallows everything: the server's own limits do
//! not end a statement then, so we stop waiting ourselves.

use std::io;
use std::time::Duration;

/// Far longer than the server's own `statement_timeout`, which says better what was wrong, and long enough for a
/// check of a whole installation, which sets none.
pub(crate) const STATEMENT: Duration = Duration::from_secs(120);
/// To get a connection and begin: whoever comes while the server stands still learns it here.
pub(crate) const BEGIN: Duration = Duration::from_secs(10);

pub(crate) async fn within<T>(
    longest: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(longest, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the database server does not answer").into()),
    }
}
