//! A server that stands still with its sockets open, or a network that swallows everything: the server's own limits do
//! not end a statement then, so we stop waiting ourselves.

use std::io;
use std::time::Duration;

/// Longer than the server's own `statement_timeout`, which says better what was wrong.
pub(crate) const STATEMENT: Duration = Duration::from_secs(40);
/// Whoever only looks has no such limit: it may read a whole installation.
pub(crate) const LOOK: Duration = Duration::from_secs(24 * 3_600);
/// What is answered at once, or on this connection never.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// To get a connection and begin: whoever comes while the server stands still still learns it here.
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

/// What comes later on this connection would be the answer to an earlier question.
pub(crate) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
