//! What a database error means, by its code.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// The kinds of failure that callers tell apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    NotFound,
    AlreadyExists,
    MissingReference,
    /// One of our triggers, with its text.
    Refused(String),
    InvalidText,
    /// Rolled back for another transaction's sake; the same again may succeed.
    Busy,
    /// No connection, or one that was lost: nobody knows whether a commit under way has happened.
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
        // A text with a NUL, which PostgreSQL cannot hold.
        "22021" | "22P05" => Failure::InvalidText,
        // The day's partition was made or dropped meanwhile.
        "23514" if message.contains("partition") => Failure::Busy,
        // Serialization, deadlock, lock and statement timeouts.
        "40001" | "40P01" | "55P03" | "57014" => Failure::Busy,
        // Disk full, read-only, no right.
        "53100" | "25006" | "42501" => Failure::CannotWrite,
        // Too many connections, shutting down or starting up, idle in a transaction for too long.
        "53300" | "57P01" | "57P02" | "57P03" | "25P03" => Failure::Unavailable,
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
