//! JSON that people send. Another content type is refused, because a page of somebody else could send that in their name.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::Problem;

const MAX_BYTES: usize = 64 << 10;

/// As it came.
pub(crate) struct JsonBytes(pub(crate) Bytes);

/// What it says. Errors name the place.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// The media type of a request, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !media_type(request.headers()).eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON: send Content-Type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await;
        let too_long = || Problem::too_large(format!("the body is longer than {MAX_BYTES} bytes"));
        let bytes = bytes.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_long()
            } else {
                Problem::bad_request("the body could not be read")
            }
        })?;
        if bytes.len() > MAX_BYTES {
            return Err(too_long());
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        // Elsewhere in the list of keys a list would be taken for their values.
        if first == Some(&b'[') {
            return Err(Problem::invalid("the body must be an object, not a list"));
        }
        Ok(Self(bytes))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let place = if path == "." { "the body" } else { &path };
            let message = error.inner();
            if message.is_data() {
                Problem::invalid(format!("{place}: {message}"))
            } else {
                Problem::bad_request(format!("{place} is not JSON: {message}"))
            }
        })?;
        reader
            .end()
            .map_err(|error| Problem::bad_request(format!("after the body: {error}")))?;
        Ok(Self(body))
    }
}
