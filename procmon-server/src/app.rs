//! The state that requests share, and all routes put together. No handler lives here but those of the root.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::KeepAlive;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::clock::Clock;
use crate::compaction::CompactionStats;
use crate::config::Config;
use crate::error::Problem;
use crate::events::RecentEvents;
use crate::host_check::host_check;
use crate::ingest::limits::BodyMemory;
use crate::live::Live;
use crate::metrics::{self, Metrics, Queue, Reject};
use crate::store::Store;
use crate::{events, history, hosts, ingest, live, processes, ui};

/// Lists worked on at a time: each keeps a processor busy, and ingest needs some too. More wait for their turn.
const SCANS: usize = 4;
const SCAN_PATIENCE: Duration = Duration::from_secs(10);
/// Followers of the live state worked for at a time. The others wait, and get their changes later.
const LIVE_TURNS: usize = 2;
/// For a large upload to have its turn.
const HEAVY_PATIENCE: Duration = Duration::from_secs(10);
/// Streams open at a time.
const STREAMS: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What requests share.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
pub struct Shared {
    pub store: Store,
    pub live: Arc<Live>,
    /// The end of the log, for those who follow it.
    pub recent_events: RecentEvents,
    pub clock: Clock,
    pub metrics: Metrics,
    pub compaction: Arc<CompactionStats>,
    pub metrics_groups: usize,
    pub any_host: bool,
    /// Uploads that run to their end even when their client has gone.
    pub uploads: TaskTracker,
    pub shutdown: CancellationToken,
    scans: Arc<Semaphore>,
    live_turns: Arc<Semaphore>,
    /// What bodies take on their way in.
    pub(crate) body_memory: BodyMemory,
    /// Large uploads are worked on by as many threads as there are cores, in turn; small ones never wait for them.
    heavy: Arc<Semaphore>,
    heavy_places: u32,
    streams: Arc<Semaphore>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(
        store: Store,
        live: Arc<Live>,
        clock: Clock,
        config: &Config,
        shutdown: CancellationToken,
    ) -> Self {
        let started_ms = clock.now_ms();
        let heavy_places =
            std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let (any_host, metrics_groups) = (config.any_host, config.metrics_groups);
        Self(Arc::new(Shared {
            store,
            live,
            recent_events: RecentEvents::default(),
            clock,
            compaction: Arc::default(),
            scans: Arc::new(Semaphore::new(SCANS)),
            live_turns: Arc::new(Semaphore::new(LIVE_TURNS)),
            metrics: Metrics::new(started_ms),
            metrics_groups,
            any_host,
            uploads: TaskTracker::new(),
            shutdown,
            body_memory: BodyMemory::new(),
            heavy: Arc::new(Semaphore::new(heavy_places as usize)),
            heavy_places,
            streams: Arc::new(Semaphore::new(STREAMS)),
        }))
    }

    /// A turn for a large upload, whose content takes memory and time.
    pub(crate) async fn heavy_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.heavy).acquire_owned();
        if let Ok(Ok(permit)) = tokio::time::timeout(HEAVY_PATIENCE, turn).await {
            return Ok(permit);
        }
        self.metrics.refused("large_uploads");
        Err(
            Problem::unavailable("the server has more large uploads than it can take; send again")
                .because(Reject::Memory),
        )
    }

    /// Does work that keeps a processor busy, away from the threads that serve everybody, and not too much of it at a time.
    pub async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.scans).acquire_owned();
        let Ok(Ok(_turn)) = tokio::time::timeout(SCAN_PATIENCE, turn).await else {
            return Err(Problem::unavailable(
                "the server has more lists to make than it can; ask again, or ask for less",
            ));
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Problem::unavailable("the server is shutting down")),
            },
        }
    }

    /// The same for a follower of the live state, who waits as long as it takes; `None` when the server shuts down.
    pub async fn look_at_live<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.live_turns).acquire_owned();
        let turn = tokio::select! {
            turn = turn => turn.ok()?,
            () = self.shutdown.cancelled() => return None,
        };
        let result = tokio::task::spawn_blocking(work).await;
        drop(turn);
        match result.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => Some(result),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => None,
        }
    }

    /// A place among the streams.
    pub fn admit_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            self.metrics.refused("streams");
            Problem::unavailable(format!(
                "{STREAMS} streams are open; close some, and come back"
            ))
        })
    }

    /// Everything that is bounded and waited for.
    pub(crate) fn queues(&self) -> [Queue; 3] {
        let heavy = self.heavy_places as usize;
        let queue = |name, length: usize, capacity: usize| Queue {
            name,
            length: length as u64,
            capacity: capacity as u64,
        };
        [
            queue(
                "store",
                self.store.queue_depth(),
                self.store.queue_capacity(),
            ),
            queue(
                "large_uploads",
                heavy.saturating_sub(self.heavy.available_permits()),
                heavy,
            ),
            queue("streams", self.open_streams(), STREAMS),
        ]
    }

    pub fn open_streams(&self) -> usize {
        STREAMS - self.streams.available_permits()
    }
}

/// Comments that keep proxies from closing a quiet stream.
pub(crate) fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(KEEP_ALIVE)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "procmon",
        description = "Every process on every host, from its exec to its exit. Errors are RFC 9457 problem details."
    ),
    tags(
        (name = "processes", description = "What runs now"),
        (name = "history", description = "What was"),
        (name = "events", description = "What happened"),
        (name = "agents", description = "Who reports, and how well"),
        (name = "ingest", description = "The ways in"),
    )
)]
struct Api;

fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Api::openapi())
        .nest(
            "/api/v1",
            OpenApiRouter::new()
                .merge(ingest::routes::router())
                .merge(processes::routes::router())
                .merge(history::routes::router())
                .merge(events::routes::router())
                .merge(hosts::routes::router())
                .merge(live::routes::router()),
        )
        .split_for_parts()
}

/// The description of the API as committed in `openapi.json`.
pub fn openapi_json() -> String {
    let (_, openapi) = api();
    let mut json = openapi.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// Everything the server answers.
pub fn router(app: App) -> Router {
    let (api, openapi) = api();
    let openapi: Arc<str> = openapi.to_json().unwrap_or_default().into();
    let served = Arc::clone(&openapi);
    let document = get(move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            served.to_string(),
        )
    });
    let docs = utoipa_swagger_ui::SwaggerUi::new("/docs")
        .config(utoipa_swagger_ui::Config::from("/api/v1/openapi.json"));
    Router::new()
        .merge(api)
        .route("/api/v1/openapi.json", document)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::serve))
        .merge(docs)
        .fallback(fallback)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), host_check))
        .layer(middleware::from_fn(finish))
        .layer(CompressionLayer::new().gzip(true).zstd(true))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Problem::not_found(format!(
            "there is nothing at {path}; GET /api/v1/openapi.json lists what there is"
        ))
        .into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return wrong_method().await.into_response();
    }
    ui::serve(&request)
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; the Allow header and GET /api/v1/openapi.json say which it takes",
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the server failed at this request; please report it with the server's log",
    )
    .into_response()
}

/// Gives every answer its security headers, and every error of the framework its problem body.
async fn finish(request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let typed = response.headers().contains_key(header::CONTENT_TYPE);
    let is_text = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    let status = response.status();
    if status.is_client_error() && (!typed || is_text) {
        let allow = response.headers_mut().remove(header::ALLOW);
        let detail = "the request is not valid; GET /api/v1/openapi.json describes what is";
        response = Problem::new(status, detail).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    // The vendored documentation page shows inline images.
    let policy = if is_docs {
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
    } else {
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// The process answers.
async fn healthz() -> axum::Json<Health> {
    axum::Json(Health {
        status: "ok",
        reasons: Vec::new(),
    })
}

/// What is sent now will be stored.
async fn readyz(State(app): State<App>) -> Response {
    let mut reasons = Vec::new();
    if app.shutdown.is_cancelled() {
        reasons.push("the server is shutting down".to_owned());
    } else if !app.store.writer_alive() {
        reasons.push("the store's writer has ended".to_owned());
    } else if let Err(error) = app.store.probe().await {
        reasons.push(error.to_string());
    }
    if reasons.is_empty() {
        let health = Health {
            status: "ok",
            reasons,
        };
        return axum::Json(health).into_response();
    }
    let health = Health {
        status: "unavailable",
        reasons,
    };
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(health)).into_response()
}
