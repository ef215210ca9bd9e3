//! A server in this process, and agents that exist only as batches.

#![allow(dead_code, reason = "each test binary uses its part of it")]

pub(crate) mod binary;
pub(crate) mod disk;
pub(crate) mod postgres;
pub(crate) mod random;
pub(crate) mod receiver;
pub(crate) mod sampled;
pub(crate) mod sse;
pub(crate) mod whole;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
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

/// An agent whose host is made up.
pub(crate) struct FakeAgent {
    pub(crate) id: String,
    pub(crate) boot: [u8; 16],
    pub(crate) machine: Vec<u8>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The host's clock.
    pub(crate) now_ns: i64,
}

static AGENTS: AtomicU64 = AtomicU64::new(1);

impl FakeAgent {
    pub(crate) fn new(id: &str) -> Self {
        let number = AGENTS.fetch_add(1, Ordering::Relaxed);
        let mut boot = [0x0f; 16];
        boot[8..].copy_from_slice(&number.to_be_bytes());
        Self {
            id: id.to_owned(),
            boot,
            machine: boot.to_vec(),
            epoch: START_MS as u64 * 1_000_000,
            seq: 0,
            now_ns: START_MS * 1_000_000,
        }
    }

    /// The next batch, with nothing in it.
    pub(crate) fn batch(&mut self) -> Batch {
        self.seq += 1;
        Batch {
            agent_id: self.id.clone(),
            boot_id: self.boot.to_vec().into(),
            machine_id: self.machine.clone().into(),
            epoch: self.epoch,
            seq: self.seq,
            built_unix_ns: self.now_ns,
            interval_ms: 5000,
            ..Batch::default()
        }
    }

    /// A key batch with processes `first..first + count`, handles equal to pids, and a frame of theirs.
    pub(crate) fn key(&mut self, first: u32, count: u32) -> Batch {
        let mut batch = self.batch();
        batch.key = true;
        batch.processes = (first..first + count)
            .map(|pid| process(pid, self.now_ns))
            .collect();
        let mut encoder = FrameEncoder::default();
        for pid in first..first + count {
            encoder.push(pid, &Row::default(), &row(pid));
        }
        batch.frame = Some(wire::Frame {
            ts_unix_ns: self.now_ns,
            columns: encoder.finish(),
            ports: vec![wire::Ports {
                handle: first,
                ports: vec![443, 80],
            }],
            ..wire::Frame::default()
        });
        batch.host = Some(wire::HostTotals {
            cpus: 4,
            memory_total_bytes: 1 << 30,
            ..wire::HostTotals::default()
        });
        batch.health = Some(wire::AgentHealth {
            version: "9.9.9-unheard-of".to_owned(),
            hostname: "host-1".to_owned(),
            kernel: "6.12.0".to_owned(),
            probe: "ebpf".to_owned(),
            drops: [("exec.ring_full".to_owned(), 3)].into(),
            ..wire::AgentHealth::default()
        });
        batch
    }

    /// A batch in which one process lives from start to end, with its exec and its exit.
    pub(crate) fn life(&mut self, pid: u32, exit: wire::Exit) -> Batch {
        let mut batch = self.batch();
        let mut born = process(pid, self.now_ns);
        born.image = Some(image(0, b"bash\0-c\0true\0"));
        batch.processes = vec![born];
        let exec = wire::Exec {
            image: Some(image(1, b"/bin/true\0a b\0\0")),
            credentials: None,
        };
        batch.events = vec![
            event(self.now_ns + 1_000_000, pid, wire::event::Kind::Exec(exec)),
            event(self.now_ns + 2_500_000, pid, wire::event::Kind::Exit(exit)),
        ];
        batch
    }
}

pub(crate) fn event(ts_unix_ns: i64, handle: u32, kind: wire::event::Kind) -> wire::Event {
    wire::Event {
        ts_unix_ns,
        handle,
        sampled: false,
        kind: Some(kind),
    }
}

pub(crate) fn process(pid: u32, now_ns: i64) -> wire::Process {
    wire::Process {
        handle: pid,
        pid,
        start_ticks: 1000 + u64::from(pid),
        ppid: if pid.is_multiple_of(10) {
            1
        } else {
            pid / 10 * 10
        },
        started_unix_ns: now_ns,
        image: Some(image(0, format!("/usr/bin/demo\0--n\0{pid}\0").as_bytes())),
        credentials: Some(wire::Credentials {
            uid: 1000,
            euid: Some(0),
            gid: 1000,
            username: Some("alice".to_owned()),
        }),
        cgroup: Some("/system.slice/demo.service".to_owned()),
        container_id: (pid.is_multiple_of(2)).then(|| "0123456789abcdef".to_owned()),
        systemd_unit: (pid == 10).then(|| "demo.service".to_owned()),
        pid_namespace: None,
        namespace_pid: None,
        baseline: true,
    }
}

pub(crate) fn image(seq: u32, args: &[u8]) -> wire::Image {
    let first = args.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = first
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    wire::Image {
        seq,
        name: name.to_vec().into(),
        exe: first.to_vec().into(),
        args: args.to_vec().into(),
        args_bytes: args.len() as u64,
        args_cut: None,
    }
}

pub(crate) fn row(pid: u32) -> Row {
    let mut row = Row::default();
    let state = if pid.is_multiple_of(7) { b'Z' } else { b'S' };
    row.set(Column::Status, Some(u64::from(state)));
    row.set(Column::CpuCentipercent, Some(u64::from(pid) * 100));
    row.set(Column::RssKib, Some(u64::from(pid) * 1024));
    row.set(Column::Threads, Some(2));
    row.set(Column::NetConns, Some(0));
    row.set(Column::ReadBytes, Some(1000));
    row.set(Column::WriteBytes, Some(0));
    row
}

/// A clean exit with all totals.
pub(crate) fn exited(code: u32) -> wire::Exit {
    wire::Exit {
        code: Some(code),
        cpu_time_ns: Some(1_234_567),
        user_time_ns: Some(1_000_000),
        system_time_ns: Some(234_567),
        max_rss_bytes: Some(4 << 20),
        read_bytes: Some(0),
        write_bytes: Some(4096),
        totals_final: true,
        ..wire::Exit::default()
    }
}

pub(crate) fn killed(signal: u32) -> wire::Exit {
    wire::Exit {
        signal: Some(signal),
        core_dumped: signal == 11,
        totals_final: true,
        ..wire::Exit::default()
    }
}
