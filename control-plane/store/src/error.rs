use sqlx::error::ErrorKind;

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
    /// The database refused to change a row that is written once.
    #[error("the database refused the change: {0}")]
    Refused(String),
    /// A stored row cannot be read back; restore it from a backup or rebuild it by replay.
    #[error("stored {what} cannot be read: {detail}")]
    Corrupt { what: &'static str, detail: String },
    #[error("the database cannot be opened; check that the path exists and is writable")]
    Open(#[source] sqlx::Error),
    #[error("the database schema cannot be brought up to date; run the version that created it or newer")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    pub(crate) fn corrupt(what: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::RowNotFound => Self::NotFound,
                other => Self::Database(other),
            };
        };
        match database.kind() {
            ErrorKind::UniqueViolation => Self::Conflict("already_exists"),
            ErrorKind::ForeignKeyViolation => Self::MissingReference,
            _ => match crate::dialect::trigger_refusal(database) {
                Some(why) => Self::Refused(why),
                None => Self::Database(error),
            },
        }
    }
}
