//! Errors as clients see them: RFC 9457 problem details, whose `detail` says what to do.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::metrics::Reject;
use crate::query::QueryError;
use crate::store::StoreError;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a client that was turned away may come back.
const RETRY_AFTER_S: u16 = 2;

/// What went wrong with a request.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    retry_after_s: Option<u16>,
    reject: Option<Reject>,
}

/// Body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: the status says what kind it is.
    pub r#type: &'static str,
    pub title: &'static str,
    pub status: u16,
    /// What went wrong and what to do about it.
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after_s: None,
            reject: None,
        }
    }

    /// The same, counted under a reason of its own.
    #[must_use]
    pub fn because(self, reject: Reject) -> Self {
        Self {
            reject: Some(reject),
            ..self
        }
    }

    /// What it is counted under when it refuses an upload.
    pub fn reject(&self) -> Reject {
        self.reject
            .unwrap_or_else(|| Reject::of_status(self.status))
    }

    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// Well formed, but its content cannot be.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// An expression that cannot be read.
    pub fn query(error: QueryError) -> Self {
        let QueryError { column, message } = error;
        Self::bad_request(format!("q is not valid at column {column}: {message}"))
    }

    /// An expression that costs more than a request may.
    pub fn too_costly() -> Self {
        Self::invalid(
            "this takes more steps than one request may; narrow it with agent_id or other parameters, or make q simpler",
        )
    }

    /// Not now; the client is told when to come back.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// More than this client may send; in so many seconds it may again.
    pub fn too_many(reject: Reject, wait_s: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_s: Some(wait_s),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail).because(reject)
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::unavailable(
                "the server's disk is full; free space in its data directory, or shorten its retention, and send again",
            )
            .because(Reject::DiskFull),
            StoreError::Busy => {
                Self::unavailable("the server's disk does not keep up; send again")
                    .because(Reject::QueueFull)
            }
            StoreError::Unavailable(reason) => {
                // The writer says it once, not for each request.
                tracing::debug!(%reason, "the database cannot be reached");
                Self::unavailable("the server's database cannot be reached; send again")
            }
            StoreError::Gone(_) => {
                Self::unavailable("what was asked for was dropped in the same moment; send again")
            }
            StoreError::Taken => Self::unavailable(
                "another server has taken this one's database; send again, to that one",
            ),
            StoreError::Exists => Self::conflict("there is one like this already"),
            StoreError::Closed => Self::unavailable("the server is shutting down; send again"),
            StoreError::Failed(reason) => {
                tracing::error!(%reason, "the store failed");
                Self::unavailable("the server's store failed; see the server's log, and send again")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.into_owned(),
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(wait_s) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, wait_s.into());
        }
        response
    }
}
