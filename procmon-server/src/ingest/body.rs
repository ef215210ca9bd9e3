//! Request bodies, within limits before and after decompression.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use procmon_common::wire::{self, DecodeError, MAX_BODY_BYTES, MAX_DECODED_BYTES};

use crate::error::Problem;

/// What is decompressed on the spot: it takes less time than handing it to another thread.
const SMALL_BODY_BYTES: usize = 16 << 10;
const SMALL_CONTENT_BYTES: usize = 256 << 10;
/// Time for a whole body to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// The media type of a request, without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unknown Content-Encoding; send zstd, gzip or none",
        )),
    }
}

/// The body as it came.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(body_too_large());
    }
    let collect = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(PATIENCE, collect).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(body_too_large()),
        Ok(Err(_)) => Err(Problem::bad_request(
            "the body ended before its announced length; send the whole batch again",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive within 30 s; send smaller batches",
        )),
    }
}

fn body_too_large() -> Problem {
    Problem::too_large(format!(
        "the body is larger than {} MiB; send smaller batches",
        MAX_BODY_BYTES >> 20
    ))
}

/// The content of a body that is small before and after; `None` for others, and for those that are not valid.
pub(super) fn decompress_small(body: &Bytes, encoding: Encoding) -> Option<Bytes> {
    if body.len() > SMALL_BODY_BYTES {
        return None;
    }
    match encoding {
        Encoding::Identity => Some(body.clone()),
        Encoding::Zstd => wire::decompress(body, SMALL_CONTENT_BYTES)
            .ok()
            .map(Bytes::from),
        Encoding::Gzip => None,
    }
}

/// The content of a body.
pub(super) fn decompress(body: Bytes, encoding: Encoding) -> Result<Bytes, Problem> {
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Zstd => match wire::decompress(&body, MAX_DECODED_BYTES) {
            Ok(plain) => Ok(plain.into()),
            Err(DecodeError::TooLarge { .. }) => Err(content_too_large()),
            Err(error) => Err(Problem::bad_request(error.to_string())),
        },
        Encoding::Gzip => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&*body)
                .take(MAX_DECODED_BYTES as u64 + 1)
                .read_to_end(&mut plain)
                .map_err(|error| {
                    Problem::bad_request(format!("the body is not valid gzip: {error}"))
                })?;
            if plain.len() > MAX_DECODED_BYTES {
                return Err(content_too_large());
            }
            Ok(plain.into())
        }
    }
}

fn content_too_large() -> Problem {
    Problem::too_large(format!(
        "the body is larger than {} MiB when decompressed; send smaller batches",
        MAX_DECODED_BYTES >> 20
    ))
}
