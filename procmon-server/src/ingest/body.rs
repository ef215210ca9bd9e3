//! Request bodies, within limits before and after decompression.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use procmon_common::wire::{self, DecodeError};
use tokio::time::{Instant, timeout_at};

use super::limits::Held;
use crate::error::Problem;
use crate::metrics::Reject;

/// What is decompressed on the spot: it takes less time than handing it to another thread.
const SMALL_BODY_BYTES: usize = 16 << 10;
const SMALL_CONTENT_BYTES: usize = 256 << 10;
/// Time for a body to arrive: this much, and more by what has arrived, so that a long way is no fault but a stalled one is.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PATIENCE: Duration = Duration::from_mins(1);
const SLOWEST_BYTES_PER_S: u64 = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let name = value.to_str().unwrap_or_default().trim();
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("zstd") {
        Ok(Encoding::Zstd)
    } else if is("gzip") || is("x-gzip") {
        Ok(Encoding::Gzip)
    } else if name.is_empty() || is("identity") {
        Ok(Encoding::Identity)
    } else {
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unknown Content-Encoding; send zstd, gzip or none",
        ))
    }
}

/// The body as it came.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limit: u64,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(body_too_large(limit));
    }
    let started = Instant::now();
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    loop {
        let arrived = first.len() + whole.len();
        let more = Duration::from_secs(arrived as u64 / SLOWEST_BYTES_PER_S);
        let deadline = started + (PATIENCE + more).min(LONGEST_PATIENCE);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(too_slow(arrived)),
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Problem::bad_request(
                    "the body ended before its announced length; send the whole batch again",
                ));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if (arrived + data.len()) as u64 > limit {
            return Err(body_too_large(limit));
        }
        held.grow_to(arrived + data.len()).await?;
        // Most bodies come in one piece, which is then taken as it is.
        if arrived == 0 {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.into()
    })
}

/// Reads what is left of the body of a refused request, and forgets it: a connection that is closed while its client still sends
/// may take the answer with it, and an agent that has none sends the same batch for ever.
pub(super) async fn drain(mut body: Body) {
    const MOST_BYTES: usize = 64 << 20;
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut drained = 0;
    while drained < MOST_BYTES
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        drained += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn too_slow(arrived: usize) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        format!(
            "of the body {arrived} bytes arrived in time, too few; send it faster than {} KiB/s, or in smaller batches",
            SLOWEST_BYTES_PER_S >> 10
        ),
    )
}

fn body_too_large(limit: u64) -> Problem {
    Problem::too_large(format!(
        "the body is larger than {limit} bytes (ingest_limits.body_bytes); send smaller batches"
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
pub(super) fn decompress(body: Bytes, encoding: Encoding, limit: u64) -> Result<Bytes, Problem> {
    let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Zstd => match wire::decompress(&body, bytes) {
            Ok(plain) => Ok(plain.into()),
            Err(DecodeError::TooLarge { .. }) => Err(content_too_large(limit)),
            Err(error @ DecodeError::Dictionary { .. }) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                error.to_string(),
            )
            .because(Reject::Dictionary)),
            Err(error) => Err(Problem::bad_request(error.to_string())),
        },
        Encoding::Gzip => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&*body)
                .take(limit + 1)
                .read_to_end(&mut plain)
                .map_err(|error| {
                    Problem::bad_request(format!("the body is not valid gzip: {error}"))
                })?;
            if plain.len() > bytes {
                return Err(content_too_large(limit));
            }
            Ok(plain.into())
        }
    }
}

fn content_too_large(limit: u64) -> Problem {
    Problem::too_large(format!(
        "the body is larger than {limit} bytes when decompressed (ingest_limits.content_bytes); send smaller batches"
    ))
    .because(Reject::ContentSize)
}
