//! Errors as RFC 9457 problems. A handler returns a [`Problem`]; the outermost layer writes its body, since
//! only that knows the request id, and turns every other error response into one.

use crate::app::settings;
use crate::error::{AppError, chain};
use axum::Json;
use axum::response::{IntoResponse, Response};
use control_plane_store::StoreError;
use http::{HeaderName, HeaderValue, StatusCode, header};
use utoipa::ToSchema;

/// What handlers return.
pub type Reply<T> = Result<T, Problem>;

#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    pub errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One thing that is wrong with one place of the request body.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body.
    #[schema(example = "/goals/0/plan")]
    pub pointer: String,
    /// Stable code; translate by this.
    #[schema(example = "invalid_value")]
    pub code: String,
    /// What to send instead, in English.
    pub message: String,
}

/// The body of every error: `application/problem+json`, RFC 9457.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:tributary:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// Stable code; act on this.
    #[schema(example = "not_found")]
    pub code: String,
    pub detail: String,
    /// Quote it when you ask for help.
    pub request_id: String,
    /// The same request may succeed later as it is.
    pub retryable: bool,
    pub errors: Vec<FieldError>,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.to_owned(), message: message.into() }
    }
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// What the store or a use case refused; a reused key is the request's fault, not the state's.
    fn refused(code: &'static str, detail: String) -> Self {
        let status = match code {
            "idempotency_key_reused" | "invalid_text" => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, code, detail)
    }

    pub fn unauthenticated() -> Self {
        let mut problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Send a valid API key as `Authorization: Bearer tbk_...`.",
        );
        problem.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        problem
    }

    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This kind of API key may not call this route.")
    }

    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something failed on our side; the log has it under this request id.",
        )
    }

    /// The body is JSON but not what this route takes.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
            "The request body has invalid values; see `errors`.",
        );
        problem.errors = errors;
        problem
    }

    pub fn invalid_field(pointer: &str, code: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, message)])
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn retryable(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 429 | 500 | 502..=504)
    }

    /// The finished response; called once, by the outermost layer.
    pub fn render(self, request_id: &str) -> Response {
        let body = ProblemBody {
            kind: format!("urn:tributary:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            request_id: request_id.to_owned(),
            retryable: self.retryable(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }

    /// What an error response of axum itself (unknown route, wrong method, body too large) says.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not_found", "There is nothing at this path."),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "This path does not take that method; see `Allow`.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "body_too_large", "The request body is larger than 1 MiB.")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "unsupported_media_type", "Send `Content-Type: application/json`.")
            }
            status if status.is_server_error() => Self { status, ..Self::internal() },
            status => Self::new(status, "bad_request", "The request could not be read."),
        }
    }
}

/// Carries the problem to the outermost layer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::InvalidAt { pointer, message } => {
                Self::invalid_field(&pointer, "invalid_value", message)
            }
            AppError::Invalid { field, message } => {
                Self::invalid_field(&pointer_of(field), "invalid_value", message)
            }
            AppError::NotFound(what) => Self::not_found(what),
            AppError::Conflict { code, message } => Self::refused(code, message),
            AppError::Unauthenticated => Self::unauthenticated(),
            AppError::Forbidden => Self::forbidden(),
            AppError::Unavailable(what) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                format!("{what}; try again shortly."),
            )
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
            AppError::Store(error) => error.into(),
            error @ AppError::Internal(..) => {
                tracing::error!(error = chain(&error), "request failed");
                Self::internal()
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found("resource"),
            StoreError::Conflict(code) => {
                Self::refused(code, format!("Refused: {}.", code.replace('_', " ")))
            }
            StoreError::MissingReference => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown_reference",
                "The request names something that does not exist.",
            ),
            StoreError::Fenced => Self::from(AppError::Unavailable("another process has taken over")),
            other if other.is_temporary() => {
                tracing::warn!(error = chain(&other), "the store cannot do it now");
                Self::from(AppError::Unavailable(match other {
                    StoreError::CannotWrite(_) => {
                        "The database cannot be written (full, read-only, or no right to)"
                    }
                    StoreError::ClocksApart { .. } => "The clocks of this node and of the database are apart",
                    _ => "The database is busy or cannot be reached",
                }))
            }
            other => {
                tracing::error!(error = chain(&other), "the store failed");
                Self::internal()
            }
        }
    }
}

/// Settings that the database has kept.
pub fn stored<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Problem> {
    settings::read(json).map_err(|error| {
        tracing::error!(%error, "stored settings cannot be read");
        Problem::internal()
    })
}

/// `goals` and `goals[0].plan` as JSON pointers.
pub fn pointer_of(path: &str) -> String {
    let mut pointer = String::new();
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(&part.trim_end_matches(']').replace('~', "~0").replace('/', "~1"));
    }
    pointer
}
