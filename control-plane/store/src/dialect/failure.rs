//! What a database error means, by its code.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// The kinds of failure that callers tell apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    NotFound,
    AlreadyExists,
    MissingReference,
    /// One of our triggers or the wall between tenants, with its text.
    Refused(String),
    InvalidText,
    /// Rolled back for another transaction's sake; the same again may succeed.
    Busy,
    /// No connection, one that was lost, or a server at its limits: nobody knows whether a commit under way has
    /// happened.
    Unavailable,
    /// No space left, or no right to write.
    CannotWrite,
    Other,
}

pub(crate) fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::RowNotFound => Failure::NotFound,
        sqlx::Error::Database(error) => of_database(error.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Failure::Unavailable,
        _ => Failure::Other,
    }
}

/// Of a database that has not come so far yet, or was never ours.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(error) => error.code() == "42P01",
        // SQLite has no code of its own for it.
        None => error.message().contains("no such table"),
    }
}

fn of_database(error: &dyn DatabaseError) -> Failure {
    match error.kind() {
        ErrorKind::UniqueViolation => return Failure::AlreadyExists,
        ErrorKind::ForeignKeyViolation => return Failure::MissingReference,
        _ => {}
    }
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => of_postgres(&code, error.message()),
        None => of_sqlite(&code, error.message()),
    }
}

fn of_postgres(code: &str, message: &str) -> Failure {
    match code {
        // Raised by our triggers (migrations/postgres/0005).
        "TB001" => Failure::Refused(message.to_owned()),
        // The wall between tenants (migrations/postgres/0001).
        "42501" if message.contains("row-level security") => Failure::Refused(message.to_owned()),
        // No right to connect to it any more.
        "42501" if message.contains("for database") => Failure::Unavailable,
        // A text with a NUL, which PostgreSQL cannot hold.
        "22021" | "22P05" => Failure::InvalidText,
        // The day's partition was made or dropped meanwhile.
        "23514" if message.contains("partition") => Failure::Busy,
        // Serialization, deadlock, lock and statement timeouts.
        "40001" | "40P01" | "55P03" | "57014" => Failure::Busy,
        // Disk full, read-only, no right.
        "53100" | "25006" | "42501" => Failure::CannotWrite,
        // Not let in, no such database, too many connections or locks, shutting down or starting up, idle in a
        // transaction for too long.
        "28000" | "28P01" | "3D000" | "53300" | "53200" | "57P01" | "57P02" | "57P03" | "25P03" => {
            Failure::Unavailable
        }
        code if code.starts_with("08") => Failure::Unavailable,
        _ => Failure::Other,
    }
}

/// Extended codes; the low byte is the primary one.
fn of_sqlite(code: &str, message: &str) -> Failure {
    const TRIGGER: u32 = 1811;
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    let Ok(code) = code.parse::<u32>() else { return Failure::Other };
    match code & 0xff {
        _ if code == TRIGGER => Failure::Refused(message.to_owned()),
        BUSY | LOCKED => Failure::Busy,
        READ_ONLY | IO | FULL => Failure::CannotWrite,
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_and_what_is_refused_are_told_apart() {
        let wall = "new row violates row-level security policy for table \"offers\"";
        let cases = [
            ("42501", wall, Failure::Refused(wall.into())),
            ("42501", "permission denied for table offers", Failure::CannotWrite),
            ("42501", "permission denied for database \"books\"", Failure::Unavailable),
            ("28P01", "password authentication failed for user \"t\"", Failure::Unavailable),
            ("28000", "role \"t\" is not permitted to log in", Failure::Unavailable),
            ("3D000", "database \"books\" does not exist", Failure::Unavailable),
            ("53200", "out of shared memory", Failure::Unavailable),
            ("53100", "could not extend file", Failure::CannotWrite),
            ("40P01", "deadlock detected", Failure::Busy),
            ("23514", "no partition of relation \"journal\" found for row", Failure::Busy),
            ("23514", "violates check constraint", Failure::Other),
            ("42P01", "relation \"offers\" does not exist", Failure::Other),
        ];
        for (code, message, expected) in cases {
            assert_eq!(of_postgres(code, message), expected, "{code} {message}");
        }
    }
}
