//! One attempt to send: the only place that opens connections to where channels lead. Addresses are checked, no redirect is
//! followed, no proxy is used, and size and time of the answer are bounded.

use std::error::Error;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::address_guard::{AddressGuard, Refused};
use super::body;
use super::channel::{Channel, ChannelKind, ReadyTarget};
use super::resend::ENDS_AFTER_MS;
use super::sign::signatures;
use crate::store::{AttemptResult, OutboxRow};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For all of it: Standard Webhooks recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Of an answer, what is kept. The rest is not read.
const RESPONSE_BYTES: usize = 1024;
const IDLE: Duration = Duration::from_secs(30);
const HEADERS: usize = 64;
const ALERTMANAGER_PATH: &str = "/api/v2/alerts";

#[derive(Clone, Debug)]
pub struct HttpSender {
    http: reqwest::Client,
    guard: AddressGuard,
}

/// What came of an attempt.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub result: AttemptResult,
    /// The header of that name.
    pub retry_after: Option<String>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        self.result.error.is_empty()
    }

    fn failed(error: String) -> Self {
        let result = AttemptResult {
            error,
            ..AttemptResult::default()
        };
        Self {
            result,
            retry_after: None,
        }
    }
}

impl HttpSender {
    pub fn new(guard: AddressGuard) -> anyhow::Result<Self> {
        // An error says that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("procmon-server/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
                .http1_only()
                .http1_max_headers(HEADERS)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(IDLE)
                .dns_resolver(guard.clone())
        };
        let http = builder().build().or_else(|error| {
            // A machine without certificates of authorities still reaches receivers in its own network.
            tracing::warn!(
                "webhooks to https:// will fail, because certificates of authorities cannot be read ({error}): install ca-certificates"
            );
            builder().tls_certs_only([]).build()
        });
        Ok(Self {
            http: http.context("cannot set up the sending of webhooks")?,
            guard,
        })
    }

    /// Whether an address in a URL may be connected to; that of a name is known when it is connected to.
    pub fn check(&self, url: &reqwest::Url) -> Result<(), Refused> {
        self.guard.check_literal(url)
    }

    /// Sends a message to a channel, at a time by the server's clock.
    pub async fn send(&self, channel: &Channel, message: &OutboxRow, now_ms: i64) -> Answer {
        let target = match &channel.target {
            Ok(target) => target,
            Err(reason) => return Answer::failed(reason.clone()),
        };
        match channel.kind {
            ChannelKind::Webhook => self.webhook(target, message, now_ms).await,
            ChannelKind::Slack => {
                let body = message.body.clone();
                self.post(target, target.url.clone(), HeaderMap::new(), body)
                    .await
            }
            ChannelKind::Alertmanager => {
                match body::with_ends(&message.body, now_ms + ENDS_AFTER_MS) {
                    Some(body) => self.alertmanager(target, body).await,
                    None => Answer::failed("the message cannot be read".to_owned()),
                }
            }
        }
    }

    async fn webhook(&self, target: &ReadyTarget, message: &OutboxRow, now_ms: i64) -> Answer {
        let timestamp_s = now_ms.div_euclid(1000);
        let id = &message.message_id;
        let mut headers = vec![
            ("webhook-id", id.clone()),
            ("webhook-timestamp", timestamp_s.to_string()),
        ];
        if !target.secrets.is_empty() {
            let signed = signatures(&target.secrets, id, timestamp_s, message.body.as_bytes());
            headers.push(("webhook-signature", signed));
        }
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::from_str(&value).ok()?;
            Some((HeaderName::from_static(name), value))
        });
        let body = message.body.clone();
        self.post(target, target.url.clone(), headers.collect(), body)
            .await
    }

    /// Posts a list of alerts.
    pub(super) async fn alertmanager(&self, target: &ReadyTarget, body: String) -> Answer {
        let mut url = target.url.clone();
        if !url.path().ends_with(ALERTMANAGER_PATH) {
            let path = format!("{}{ALERTMANAGER_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        self.post(target, url, HeaderMap::new(), body).await
    }

    async fn post(
        &self,
        target: &ReadyTarget,
        url: reqwest::Url,
        headers: HeaderMap,
        body: String,
    ) -> Answer {
        if let Err(refused) = self.guard.check_literal(&target.url) {
            return Answer::failed(refused.to_string());
        }
        let started = Instant::now();
        let request = self
            .http
            .post(url)
            .headers(headers)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let mut answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer::failed(why(&error)),
        };
        answer.result.latency_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        answer
    }
}

/// The status decides; the beginning of the body is for people.
async fn read(mut response: reqwest::Response) -> Answer {
    let status = response.status();
    let header = response.headers().get(RETRY_AFTER);
    let retry_after = header
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut bytes = Vec::new();
    while bytes.len() < RESPONSE_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                bytes.extend(&chunk[..chunk.len().min(RESPONSE_BYTES - bytes.len())]);
            }
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let error = if status.is_success() {
        String::new()
    } else if status.is_redirection() {
        format!(
            "answered {status}: redirects are not followed; give the channel the URL that it leads to"
        )
    } else {
        format!("answered {status}")
    };
    Answer {
        result: AttemptResult {
            status: Some(status.as_u16()),
            latency_ms: 0,
            error,
            // A database may refuse a NUL.
            response: text.replace('\0', "\u{fffd}"),
        },
        retry_after,
    }
}

/// What went wrong before there was an answer, without the URL, which may be a secret.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        if let Some(refused) = source.downcast_ref::<Refused>() {
            return refused.to_string();
        }
        last = source;
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    format!("{what}: {last}")
}
