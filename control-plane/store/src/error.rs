use crate::Trouble;
use crate::dialect::{Failure, failure};

/// What a store operation can fail with. The server maps these to HTTP and gRPC in one place.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not there, or another tenant's: the caller cannot tell which.
    #[error("not found")]
    NotFound,
    /// The change disagrees with what is stored; the code names the rule, e.g. `already_exists`.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The row names something (an advertiser, an offer, ...) that this tenant does not have.
    #[error("a row that is referred to does not exist in this tenant")]
    MissingReference,
    /// Another holder has taken over: stop, and acquire the lease or open the session again.
    #[error("fenced: another holder has taken over")]
    Fenced,
    /// The database refused to change a row that is written once, or to touch another tenant's.
    #[error("the database refused the change: {0}")]
    Refused(String),
    /// A stored row cannot be read back; restore it from a backup or rebuild it by replay.
    #[error("stored {what} cannot be read: {detail}")]
    Corrupt { what: &'static str, detail: String },
    #[error("{database}: {}", Trouble::of(.source))]
    Open { database: String, source: sqlx::Error },
    #[error(
        "the database has schema {found}, which versions below schema {oldest} cannot work with, and this one \
         knows schema {known}: run a newer Tributary"
    )]
    NewerSchema { found: i64, oldest: i64, known: i64 },
    #[error(
        "{database} keeps texts as {found}, which cannot hold every letter: make a database with ENCODING 'UTF8' \
         TEMPLATE template0, and name that one"
    )]
    Encoding { database: String, found: String },
    #[error("the schema cannot be brought up to date: {}", Trouble::of_migration(.0))]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Rolled back, nothing has changed; the same call may succeed.
    #[error("the database gave way to another transaction; try again")]
    Busy(#[source] sqlx::Error),
    /// What was not committed has not happened; of a commit under way nobody knows.
    #[error("{}", unavailable(.0))]
    Unavailable(#[source] sqlx::Error),
    /// Nothing is written until they agree again.
    #[error(
        "the clocks of this machine and of the database are {seconds} s apart, and nothing is written meanwhile: \
         set both by NTP"
    )]
    ClocksApart { seconds: i64 },
    #[error("the database cannot be written; check its free space and the rights of its user")]
    CannotWrite(#[source] sqlx::Error),
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

fn unavailable(error: &sqlx::Error) -> String {
    match Trouble::of(error) {
        trouble @ Trouble::TooManyLocks => trouble.to_string(),
        trouble if trouble.is_refusal() => format!("the database does not let this process in: {trouble}"),
        _ => "the database cannot be reached; check that it is up and takes connections".to_owned(),
    }
}

impl StoreError {
    pub(crate) fn corrupt(what: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }

    /// Whether the same call may succeed later, with nothing changed by hand.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::Unavailable(_)
                | Self::CannotWrite(_)
                | Self::ClocksApart { .. }
                | Self::Fenced
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match failure(&error) {
            Failure::NotFound => Self::NotFound,
            Failure::AlreadyExists => Self::Conflict("already_exists"),
            Failure::MissingReference => Self::MissingReference,
            Failure::Refused(why) => Self::Refused(why),
            Failure::InvalidText => Self::Conflict("invalid_text"),
            Failure::Busy => Self::Busy(error),
            Failure::Unavailable => Self::Unavailable(error),
            Failure::CannotWrite => Self::CannotWrite(error),
            Failure::Other => Self::Database(error),
        }
    }
}
