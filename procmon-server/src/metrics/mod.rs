//! `GET /metrics`: the server's own health and what its agents report, without a label per process. OpenMetrics, or the
//! older text format, as the client accepts.

mod state;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use procmon_common::exposition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::error::Problem;
use crate::store::Door;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    stream: &'static str,
}

/// What clients can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Events,
    Live,
}

/// What is counted as it happens; everything else is read from the state when asked.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    bytes: Family<DoorLabels, Counter>,
    seconds: Family<DoorLabels, Histogram>,
    stream_resyncs: Family<StreamLabels, Counter>,
    stalled_connections: Counter,
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
            stream_resyncs: Family::default(),
            stalled_connections: Counter::default(),
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

    /// A client that follows was told to start anew: it was too far behind.
    pub fn stream_resync(&self, stream: Stream) {
        let stream = match stream {
            Stream::Events => "events",
            Stream::Live => "live",
        };
        self.stream_resyncs
            .get_or_create(&StreamLabels { stream })
            .inc();
    }

    /// Counts connections that were ended because their client took nothing.
    pub fn stalled_connections(&self) -> &Counter {
        &self.stalled_connections
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
        registry.register(
            "stream_resyncs",
            "Clients that were too far behind and were told to start anew",
            self.stream_resyncs.clone(),
        );
        registry.register(
            "stalled_connections",
            "Connections ended because their client took nothing",
            self.stalled_connections.clone(),
        );
        registry.register_collector(Box::new(state::StateCollector(app.clone())));
        registry
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
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let (content_type, text) = exposition::negotiate(accept, text);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
