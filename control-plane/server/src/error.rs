//! What a use case answers when it cannot do what was asked.

use control_plane_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A field of the request; the message tells what to send instead.
    #[error("{field}: {message}")]
    Invalid { field: &'static str, message: String },
    /// The same, for a place deep in the request.
    #[error("{pointer}: {message}")]
    InvalidAt { pointer: String, message: String },
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The request contradicts what stands; `code` is stable.
    #[error("{message}")]
    Conflict { code: &'static str, message: String },
    /// No credential, or one that is unknown, expired or revoked.
    #[error("credentials are missing, unknown, expired or revoked")]
    Unauthenticated,
    #[error("this credential does not allow that")]
    Forbidden,
    #[error("{0}; try again shortly")]
    Unavailable(&'static str),
    #[error("storage failed")]
    Store(#[source] StoreError),
    #[error("{0}")]
    Internal(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AppError {
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    pub fn internal(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(what, source.into())
    }

    /// `NotFound` of the store becomes "no such `what`"; conflicts keep their code.
    pub fn of(what: &'static str) -> impl FnOnce(StoreError) -> Self {
        move |error| match error {
            StoreError::NotFound => Self::NotFound(what),
            other => other.into(),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound("resource"),
            StoreError::Conflict(code) => {
                Self::Conflict { code, message: format!("refused: {}", code.replace('_', " ")) }
            }
            other => Self::Store(other),
        }
    }
}

/// An error with everything that caused it, on one line for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
