//! `GET /metrics`: the server's own health and what its agents report, without a label per process. OpenMetrics, or the
//! older text format, as the client accepts.

mod alerts;
mod compaction;
mod delivery;
mod families;
mod family;
mod figures;
mod own;
mod page;
mod reject;
mod state;
mod store;

pub use page::page;
pub use reject::Reject;
pub(crate) use state::Queue;

use std::sync::Arc;
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
use prometheus_client::registry::{Metric, Registry};

use crate::app::App;
use crate::error::Problem;
use crate::store::Door;

/// Bounded queues that turn away; each has its counter from the start.
const REFUSING_QUEUES: [&str; 4] = ["large_uploads", "streams", "lists", "history"];
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
struct QueueLabels {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    stream: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectLabels {
    door: &'static str,
    reason: &'static str,
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
    rejects: Family<RejectLabels, Counter>,
    bytes: Family<DoorLabels, Counter>,
    seconds: Family<DoorLabels, Histogram>,
    refusals: Family<QueueLabels, Counter>,
    resyncs: Family<StreamLabels, Counter>,
    stalled_connections: Counter,
    shown: Arc<figures::Shown>,
    started_ms: i64,
}

impl Metrics {
    pub fn new(started_ms: i64) -> Self {
        Self {
            requests: Family::default(),
            rejects: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            refusals: known(&REFUSING_QUEUES, |queue| QueueLabels { queue }),
            stalled_connections: Counter::default(),
            resyncs: known(&["events", "live"], |stream| StreamLabels { stream }),
            shown: Arc::default(),
            started_ms,
        }
    }

    /// Counts an upload; no reason to refuse it is success.
    pub fn ingest(&self, door: Door, reject: Option<Reject>, bytes: usize, took: Duration) {
        let door = door.name();
        let result = if reject.is_none() {
            "accepted"
        } else {
            "refused"
        };
        self.requests
            .get_or_create(&RequestLabels { door, result })
            .inc();
        if let Some(reject) = reject {
            let reason = reject.name();
            self.rejects
                .get_or_create(&RejectLabels { door, reason })
                .inc();
        }
        let labels = DoorLabels { door };
        self.bytes.get_or_create(&labels).inc_by(bytes as u64);
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts what was turned away because a bounded queue was full.
    pub(crate) fn refused(&self, queue: &'static str) {
        self.refusals.get_or_create(&QueueLabels { queue }).inc();
    }

    /// Counts a client of a stream that begins anew because it was too far behind.
    pub(crate) fn stream_resync(&self, stream: Stream) {
        let stream = match stream {
            Stream::Events => "events",
            Stream::Live => "live",
        };
        self.resyncs.get_or_create(&StreamLabels { stream }).inc();
    }

    /// Counts connections that were ended because their client took nothing.
    pub(crate) fn stalled_connections(&self) -> &Counter {
        &self.stalled_connections
    }

    fn registry(&self, app: &App) -> Registry {
        let mut registry = Registry::default();
        let mut put = |family: &family::Family, metric: Box<dyn PutInto>| {
            metric.put(&mut registry, family);
        };
        put(&families::INGEST_REQUESTS, Box::new(self.requests.clone()));
        put(&families::INGEST_REJECTS, Box::new(self.rejects.clone()));
        put(&families::INGEST_RECEIVED, Box::new(self.bytes.clone()));
        put(&families::INGEST_DURATION, Box::new(self.seconds.clone()));
        put(&families::QUEUE_REFUSALS, Box::new(self.refusals.clone()));
        put(&families::STREAM_RESYNCS, Box::new(self.resyncs.clone()));
        put(
            &families::STALLED_CONNECTIONS,
            Box::new(self.stalled_connections.clone()),
        );
        registry.register_collector(Box::new(state::StateCollector {
            app: app.clone(),
            groups: app.metrics_groups,
        }));
        registry
    }
}

/// A metric that is registered as its family says.
trait PutInto {
    fn put(self: Box<Self>, registry: &mut Registry, family: &family::Family);
}

impl<M: Metric> PutInto for M {
    fn put(self: Box<Self>, registry: &mut Registry, family: &family::Family) {
        // The registry ends the sentence.
        let help = family.help;
        match family.unit.unit() {
            Some(unit) => registry.register_with_unit(family.name, help, unit, *self),
            None => registry.register(family.name, help, *self),
        }
    }
}

/// Counters that are there from the start: what never happened is 0, not unknown.
fn known<L: Clone + Eq + std::hash::Hash>(
    values: &[&'static str],
    labels: impl Fn(&'static str) -> L,
) -> Family<L, Counter> {
    let family = Family::default();
    for value in values {
        drop(family.get_or_create(&labels(value)));
    }
    family
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
