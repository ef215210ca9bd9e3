//! One request, and what its answer means.

use std::error::Error;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use procmon_common::config::Secret;
use procmon_common::wire::{self, Ack};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::state::unix_ms;
use super::{ShipTarget, ShipTiming};
use crate::spool::SpooledBatch;

/// Longer than any answer of a procmon server.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Dictionaries that a server may name.
const MAX_DICTIONARIES: usize = 64;
/// As much of a server's words as a log line needs.
const MAX_DETAIL_CHARS: usize = 400;

/// What the server, or the way to it, made of a batch.
#[derive(Debug)]
pub(super) enum Answer {
    Stored {
        ack: Ack,
        latency: Duration,
        offset_ms: i64,
    },
    /// It will never take this batch.
    Refused(String),
    /// It takes nothing from this agent until an operator acts.
    Held { reason: String, fix: String },
    /// Later, perhaps.
    Busy {
        reason: String,
        retry_after: Option<Duration>,
    },
}

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    /// Where batches of the agent id that is configured go, put together once.
    own: (String, Url),
    authorization: Option<HeaderValue>,
    /// Dictionaries that this server said to have. None, until it has said so: an older one never does.
    dictionaries: Mutex<Vec<u32>>,
}

impl Client {
    pub(super) fn new(target: &ShipTarget) -> anyhow::Result<Self> {
        let url = base_url(&target.server_url).map_err(|error| anyhow!("server_url {error}"))?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            http: http_client(&url, &target.timing)?,
            own: (
                target.agent_id.clone(),
                batches_url(&base, &target.agent_id)?,
            ),
            base,
            authorization: target.token.as_ref().map(bearer).transpose()?,
            dictionaries: Mutex::default(),
        })
    }

    /// Sends a batch, without a dictionary where the server does not have it.
    pub(super) async fn send(&self, agent_id: &str, batch: &SpooledBatch) -> Answer {
        let needed = wire::dictionary_of(&batch.payload);
        let payload = match needed {
            Some(id) if !self.dictionaries().contains(&id) => {
                match wire::without_dictionary(&batch.payload, wire::MAX_DECODED_BYTES) {
                    Ok(plain) => plain.into(),
                    // Damaged, or of a version with other dictionaries: the server may know better.
                    Err(_) => batch.payload.clone(),
                }
            }
            _ => batch.payload.clone(),
        };
        let sent_with = wire::dictionary_of(&payload);
        match self.post(agent_id, payload).await {
            // A server of an earlier version may have taken the place of one that had it.
            Answer::Refused(_) if sent_with.is_some() => {
                self.dictionaries().clear();
                match wire::without_dictionary(&batch.payload, wire::MAX_DECODED_BYTES) {
                    Ok(plain) => self.post(agent_id, plain.into()).await,
                    Err(error) => Answer::Refused(error.to_string()),
                }
            }
            answer => answer,
        }
    }

    async fn post(&self, agent_id: &str, payload: Bytes) -> Answer {
        let url = if self.own.0 == agent_id {
            self.own.1.clone()
        } else {
            match batches_url(&self.base, agent_id) {
                Ok(url) => url,
                Err(error) => return Answer::Refused(error.to_string()),
            }
        };
        let mut request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, wire::CONTENT_TYPE)
            .header(CONTENT_ENCODING, wire::CONTENT_ENCODING)
            .header(ACCEPT, "application/json")
            .header(wire::SENT_HEADER, unix_ms())
            .body(payload);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let (began, began_unix_ms) = (Instant::now(), unix_ms());
        match request.send().await {
            Err(error) => Answer::Busy {
                reason: Unreachable::of(&error).to_string(),
                retry_after: None,
            },
            Ok(response) => {
                self.note_dictionaries(&response);
                let mut answer = read_answer(response).await;
                if let Answer::Stored {
                    latency, offset_ms, ..
                } = &mut answer
                {
                    *latency = began.elapsed();
                    // The server took its time about in the middle.
                    *offset_ms -= began_unix_ms + latency.as_millis() as i64 / 2;
                }
                answer
            }
        }
    }
}

impl Client {
    /// What a server says to have, it has; one that says nothing may be a proxy in front of it.
    fn note_dictionaries(&self, response: &Response) {
        if let Some(list) = header_text(response, wire::DICTIONARIES_HEADER) {
            let ids = list.split(',').filter_map(|id| id.trim().parse().ok());
            *self.dictionaries() = ids.take(MAX_DICTIONARIES).collect();
        }
    }

    fn dictionaries(&self) -> MutexGuard<'_, Vec<u32>> {
        self.dictionaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn batches_url(base: &str, agent_id: &str) -> anyhow::Result<Url> {
    let address = format!("{base}/api/v1/agents/{agent_id}/batches");
    Url::parse(&address).with_context(|| format!("{address} is not an address"))
}

/// The server's address, checked. The error completes the sentence "the address …", without repeating what may be secret.
pub(crate) fn base_url(text: &str) -> anyhow::Result<Url> {
    const EXAMPLE: &str = "write it like http://127.0.0.1:8080";
    let Ok(url) = Url::parse(text) else {
        bail!("is not an address; {EXAMPLE}");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        bail!("is not an http:// or https:// address; {EXAMPLE}");
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!("must not contain a user or a password; the agent authenticates with `token`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        bail!("must end with the host or a path; remove what begins with `?` or `#`");
    }
    Ok(url)
}

/// A client for this address. It follows no redirect: a token is for the server that was named.
pub(crate) fn http_client(url: &Url, timing: &ShipTiming) -> anyhow::Result<reqwest::Client> {
    // An error says that the process has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("procmon-agent/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timing.connect)
        .timeout(timing.request)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(1);
    if url.scheme() == "http" {
        // A host without certificates of authorities can still use plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    if url.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .context("cannot set up TLS; are the certificates of authorities installed (package ca-certificates)?")
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn bearer(token: &Secret) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .ok()
        .context("the token has characters that no HTTP header can carry; copy it again")?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_answer(response: Response) -> Answer {
    let status = response.status();
    let retry_after = retry_after(&response);
    let location = header_text(&response, "location");
    // Only a procmon server that was sent a dictionary it does not have answers so.
    let has_dictionaries = response.headers().contains_key(wire::DICTIONARIES_HEADER);
    let body = match read_body(response).await {
        Ok(body) => body,
        Err(error) => {
            return Answer::Busy {
                reason: Unreachable::of(&error).to_string(),
                retry_after: None,
            };
        }
    };
    if status.is_success() {
        return stored(&body);
    }
    let reason = refusal(status, &body);
    match status.as_u16() {
        400 | 413 | 422 => Answer::Refused(reason),
        415 if has_dictionaries => Answer::Refused(reason),
        408 | 425 | 429 | 500..=599 => Answer::Busy {
            reason,
            retry_after: retry_after.filter(|_| matches!(status.as_u16(), 429 | 503)),
        },
        code => Answer::Held {
            reason,
            fix: fix_for(code, location.as_deref()),
        },
    }
}

fn stored(body: &[u8]) -> Answer {
    match serde_json::from_slice::<Ack>(body) {
        Ok(ack) => Answer::Stored {
            latency: Duration::ZERO,
            offset_ms: ack.received_unix_ms,
            ack,
        },
        Err(_) => Answer::Held {
            reason: "what answers there is not a procmon server".to_owned(),
            fix: "Check server_url".to_owned(),
        },
    }
}

fn fix_for(code: u16, location: Option<&str>) -> String {
    match (code, location) {
        (401, _) => "Give the agent a valid token (--token or PROCMON_TOKEN)".to_owned(),
        (403, _) => "Use a token that is allowed to write as this agent_id".to_owned(),
        (409, _) => "Give each machine an agent_id of its own (--agent-id)".to_owned(),
        (300..=399, Some(location)) => {
            format!("The address is redirected to {location}: set server_url accordingly")
        }
        _ => "Check server_url: it is the server's address without /api, for example http://127.0.0.1:8080"
            .to_owned(),
    }
}

/// The status with the server's own words: the `detail` of a problem, else nothing.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let words = problem.as_ref().and_then(|problem| {
        let field = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
        field("detail").or_else(|| field("title"))
    });
    match words {
        Some(words) => {
            let printable = words.chars().filter(|c| !c.is_control());
            let words: String = printable.take(MAX_DETAIL_CHARS).collect();
            format!("{status}: {}", words.trim_end_matches('.'))
        }
        None => status.to_string(),
    }
}

async fn read_body(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            // Whatever this is, it is not an answer to a batch.
            body.clear();
            break;
        }
    }
    Ok(body)
}

fn header_text(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// `Retry-After` in seconds. As a date it would need a clock that both sides agree on.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = header_text(response, "retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Why a server could not be talked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("connection refused, nothing listens there")]
    Refused,
    #[error("the name of the host is not known ({0})")]
    Name(String),
    #[error("TLS failed ({0})")]
    Tls(String),
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Other(String),
}

impl Unreachable {
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        let mut texts = Vec::new();
        let (mut refused, mut tls) = (false, false);
        while let Some(error) = cause {
            texts.push(error.to_string());
            tls |= error.is::<rustls::Error>();
            cause = match error.downcast_ref::<io::Error>() {
                Some(error) => {
                    refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                    // An io::Error hides the error it wraps from `source`.
                    error.get_ref().map(|inner| inner as _)
                }
                None => error.source(),
            };
        }
        let last = texts.last().cloned().unwrap_or_else(|| error.to_string());
        if refused {
            Self::Refused
        } else if tls {
            Self::Tls(last)
        } else if texts.iter().any(|text| text.contains("dns error")) {
            Self::Name(last)
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Other(last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:8080", "https://procmon.example/prefix/"] {
            base_url(good).expect(good);
        }
        for (bad, expected) in [
            ("127.0.0.1:8080", "is not an address"),
            ("localhost:8080", "is not an http:// or https:// address"),
            ("ftp://host", "is not an http:// or https:// address"),
            ("http://u:p@host", "must not contain a user"),
            ("http://host/?x=1", "remove what begins with"),
        ] {
            let message = base_url(bad).expect_err(bad).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_refusal_is_in_the_words_of_the_server() {
        let body = br#"{"title":"Conflict","detail":"another machine uses \u001b[31mthis id."}"#;
        assert_eq!(
            refusal(StatusCode::CONFLICT, body),
            "409 Conflict: another machine uses [31mthis id"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, b"<html>"),
            "502 Bad Gateway"
        );
    }
}
