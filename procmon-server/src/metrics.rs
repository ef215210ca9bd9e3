//! `GET /metrics`: the server's own health and what its agents report, without a label per process. OpenMetrics, or the
//! older text format, as the client accepts.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::error::Problem;
use crate::live::AgentStatus;
use crate::store::Door;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of the buckets of request times, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: &'static str,
}

/// What is counted as it happens; everything else is read from the state when asked.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    bytes: Family<DoorLabels, Counter>,
    seconds: Family<DoorLabels, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        Self {
            requests: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }

    /// Counts an upload; no status is success.
    pub fn ingest(&self, door: Door, status: Option<StatusCode>, bytes: usize, took: Duration) {
        let door = door.name();
        let result = match status {
            None => "accepted",
            Some(StatusCode::CONFLICT) => "conflict",
            Some(StatusCode::PAYLOAD_TOO_LARGE) => "too_large",
            Some(StatusCode::SERVICE_UNAVAILABLE) => "unavailable",
            Some(status) if status.is_client_error() => "invalid",
            Some(_) => "failed",
        };
        self.requests
            .get_or_create(&RequestLabels { door, result })
            .inc();
        let labels = DoorLabels { door };
        self.bytes.get_or_create(&labels).inc_by(bytes as u64);
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    fn registry(&self, app: &App) -> Registry {
        let mut registry = Registry::with_prefix("procmon");
        registry.register(
            "build",
            "Version of the server",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "ingest_requests",
            "Uploads by way in and outcome",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "ingest_received",
            "Body bytes of uploads as they came",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "ingest_request_duration",
            "Time from the headers of an upload to its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register_collector(Box::new(StateCollector(app.clone())));
        registry
    }
}

#[derive(Debug)]
struct StateCollector(App);

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.agents(&mut encoder)?;
        self.processes(&mut encoder)?;
        self.lives(&mut encoder)?;
        self.drops(&mut encoder)?;
        self.store(&mut encoder)?;
        gauge(
            &mut encoder,
            "open_streams",
            "Clients that follow events or processes.",
            self.0.open_streams() as u64,
        )
    }
}

impl StateCollector {
    fn agents(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now_ms = self.0.clock.now_ms();
        let hosts = self.0.live.hosts(None);
        let live = hosts
            .iter()
            .filter(|entry| entry.read().agent.status(now_ms) == AgentStatus::Live)
            .count();
        let mut metric = encoder.encode_descriptor(
            "agents",
            "Agents that have reported, by status.",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for (status, count) in [("live", live), ("stale", hosts.len() - live)] {
            ConstGauge::new(count as u64).encode(metric.encode_family(&[("status", status)])?)?;
        }
        Ok(())
    }

    fn processes(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now_ms = self.0.clock.now_ms();
        let mut metric = encoder.encode_descriptor(
            "processes",
            "Processes by host and state letter.",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for entry in self.0.live.hosts(None) {
            let host = entry.read();
            let mut states = std::collections::BTreeMap::<&str, u64>::new();
            for view in host.views(now_ms) {
                *states.entry(state_label(view.status())).or_default() += 1;
            }
            for (state, count) in states {
                let labels = [("agent_id", &*host.agent_id), ("state", state)];
                ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn lives(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        for (name, help, is_start) in [
            (
                "process_starts",
                "Processes that started, since the server did.",
                true,
            ),
            (
                "process_exits",
                "Processes that ended, since the server started.",
                false,
            ),
        ] {
            let counter = ConstCounter::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, counter)?;
            for entry in self.0.live.hosts(None) {
                let host = entry.read();
                let count = if is_start { host.starts } else { host.exits };
                let labels = [("agent_id", &*host.agent_id)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn drops(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let counter = ConstCounter::new(0_u64).metric_type();
        let mut metric = encoder.encode_descriptor(
            "agent_drops",
            "What an agent could not see or keep, since it started.",
            None,
            counter,
        )?;
        for entry in self.0.live.hosts(None) {
            let host = entry.read();
            for (key, count) in &host.agent.health.drops {
                let (kind, reason) = key.split_once('.').unwrap_or((key, "unknown"));
                let labels = [
                    ("agent_id", &*host.agent_id),
                    ("kind", kind),
                    ("reason", reason),
                ];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let stats = self.0.store.stats();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, value) in [
            (
                "store_commits",
                "Transactions of the log.",
                load(&stats.commits),
            ),
            ("store_batches", "Batches stored.", load(&stats.batches)),
            (
                "store_failures",
                "Transactions that failed.",
                load(&stats.failures),
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let bytes = ConstCounter::new(load(&stats.bytes));
        bytes.encode(encoder.encode_descriptor(
            "store_written",
            "Bytes of batches stored.",
            Some(&Unit::Bytes),
            bytes.metric_type(),
        )?)?;
        let seconds = ConstCounter::new(load(&stats.commit_nanos) as f64 / 1e9);
        seconds.encode(encoder.encode_descriptor(
            "store_commit",
            "Time spent in transactions of the log.",
            Some(&Unit::Seconds),
            seconds.metric_type(),
        )?)?;
        gauge(
            encoder,
            "store_queue_length",
            "Batches that wait to be stored.",
            self.0.store.queue_depth() as u64,
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> std::fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// A closed set, whatever an agent sends.
fn state_label(status: Option<char>) -> &'static str {
    match status {
        Some('R') => "R",
        Some('S') => "S",
        Some('D') => "D",
        Some('Z') => "Z",
        Some('T' | 't') => "T",
        Some('I') => "I",
        Some(_) => "other",
        None => "unknown",
    }
}

pub async fn serve(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut text = String::new();
    if encode(&mut text, &app.metrics.registry(&app)).is_err() {
        return Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written; please report it with the server's log",
        )
        .into_response();
    }
    let wants_openmetrics = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/openmetrics-text"));
    if wants_openmetrics {
        ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, CLASSIC)], classic(&text)).into_response()
    }
}

/// OpenMetrics text in the format 0.0.4: there a family has the name of its samples, types are fewer, and neither units nor
/// an end are written.
fn classic(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = ("", "");
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if help.0 == name {
                let _ = writeln!(out, "# HELP {name}{suffix} {}", help.1);
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_text_names_families_as_their_samples() {
        let openmetrics = "# HELP a Things.\n# TYPE a counter\n# UNIT a bytes\na_total{x=\"1\"} 2\n\
            # HELP b Build.\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(
            classic(openmetrics),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
             # HELP b_info Build.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n"
        );
    }
}
