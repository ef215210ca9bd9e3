//! A server in this process, and agents that exist only as batches.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its part of it"
)]

pub(crate) mod agent;
pub(crate) mod binary;
pub(crate) mod disk;
pub(crate) mod postgres;
pub(crate) mod random;
pub(crate) mod receiver;
pub(crate) mod sampled;
pub(crate) mod sse;
pub(crate) mod whole;

pub(crate) use agent::{FakeAgent, event, exited, image, killed, process, row};

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use procmon_common::wire::{self, Ack, Batch};
use procmon_server::clock::Clock;
use procmon_server::config::Config;
use procmon_server::ingest::limits::IngestLimits;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// 2026-01-31T12:00:00Z.
pub(crate) const START_MS: i64 = 1_769_860_800_000;
const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) http: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    folder: Option<tempfile::TempDir>,
}

impl Server {
    /// With a clock that stands still until it is moved.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self::start_in(folder.path(), Clock::manual(START_MS)).await;
        server.folder = Some(folder);
        server
    }

    /// With other limits than the usual ones.
    pub(crate) async fn start_limited(limits: IngestLimits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::manual(START_MS);
        let mut server = Self::start_with(folder.path(), clock, limits).await;
        server.folder = Some(folder);
        server
    }

    pub(crate) async fn start_in(folder: &Path, clock: Clock) -> Self {
        Self::start_with(folder, clock, IngestLimits::default()).await
    }

    /// With rules in files.
    pub(crate) async fn start_with_rules(folder: &Path, rules_dir: &Path) -> Self {
        let clock = Clock::manual(START_MS);
        let limits = IngestLimits::default();
        Self::start_configured(folder, clock, limits, Some(rules_dir)).await
    }

    async fn start_with(folder: &Path, clock: Clock, ingest_limits: IngestLimits) -> Self {
        Self::start_configured(folder, clock, ingest_limits, None).await
    }

    async fn start_configured(
        folder: &Path,
        clock: Clock,
        ingest_limits: IngestLimits,
        rules_dir: Option<&Path>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = Config {
            bind_addr: address,
            any_host: false,
            key_file: Some(folder.join("secret.key")),
            webhook_allow: "127.0.0.0/8".parse().expect("a network"),
            data_dir: Some(folder.to_owned()),
            retention: 24 * HOUR,
            event_retention: 7 * 24 * HOUR,
            db_dsn: None,
            max_sample_bytes: None,
            max_event_bytes: None,
            max_snapshots: None,
            ingest_limits,
            metrics_groups: 10,
            argv_bytes: 256,
            eval_interval: Duration::from_secs(15),
            alert_retention: 90 * 24 * HOUR,
            rules_dir: rules_dir.map(Path::to_owned),
        };
        let shutdown = CancellationToken::new();
        let run = procmon_server::run::run(config, listener, clock.clone(), shutdown.clone());
        Self {
            address,
            clock,
            http: http_client(),
            task: tokio::spawn(run),
            shutdown,
            folder: None,
        }
    }

    /// Stops as on SIGTERM.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.task).await;
        ended
            .expect("stops within 5 s")
            .expect("no panic")
            .expect("no error");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http
            .get(self.url(path))
            .send()
            .await
            .expect("an answer")
    }

    /// The JSON of a request that succeeds.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The problem of a request that fails.
    pub(crate) async fn problem(&self, path: &str) -> Value {
        problem(self.get(path).await).await
    }

    pub(crate) async fn upload(&self, agent_id: &str, body: &Value) -> Response {
        self.http
            .post(self.url(&format!("/api/v1/agents/{agent_id}/processes")))
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn post_body(&self, agent_id: &str, body: Vec<u8>) -> Response {
        self.http
            .post(self.url(&format!("/api/v1/agents/{agent_id}/batches")))
            .header("content-type", wire::CONTENT_TYPE)
            .header("content-encoding", wire::CONTENT_ENCODING)
            .body(body)
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn post(&self, batch: &Batch) -> Response {
        let body = wire::encode(batch).expect("compresses");
        self.post_body(&batch.agent_id, body).await
    }

    /// Sends a batch that is accepted.
    pub(crate) async fn send(&self, batch: &Batch) -> Ack {
        let response = self.post(batch).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).expect("an ack")
    }
}

/// A client. When the whole workspace is built reqwest comes with TLS, and wants a provider of cryptography even where
/// nothing is encrypted.
pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// An error in its proper form; returns its body.
pub(crate) async fn problem(response: Response) -> Value {
    let status = response.status();
    assert!(
        status.is_client_error() || status.is_server_error(),
        "{status}"
    );
    let media_type = response.headers().get("content-type").cloned();
    let text = response.text().await.expect("a body");
    assert_eq!(
        media_type
            .as_ref()
            .map(reqwest::header::HeaderValue::as_bytes),
        Some(&b"application/problem+json"[..]),
        "{status} {text}"
    );
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["status"], status.as_u16());
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| detail.len() > 10),
        "{body}"
    );
    body
}
