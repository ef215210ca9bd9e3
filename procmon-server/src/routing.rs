//! All routes put together, and what surrounds every answer. No handler lives here but those of the root.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::error::Problem;
use crate::host_check::host_check;
use crate::{alerts, delivery, events, history, hosts, ingest, live, metrics, processes, ui};

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
        (name = "alerts", description = "What is wrong, and by which rules"),
        (name = "agents", description = "Who reports, and how well"),
        (name = "channels", description = "Who is told, and the proof that they were"),
        (name = "ingest", description = "The ways in"),
    )
)]
struct Api;

fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    let answers = OpenApiRouter::new()
        .merge(processes::routes::router())
        .merge(history::routes::router())
        .merge(events::routes::router())
        .merge(hosts::routes::router())
        .merge(live::routes::router())
        .merge(alerts::routes::router())
        .merge(delivery::routes::router())
        .layer(compression());
    let (answers, described) = OpenApiRouter::with_openapi(Api::openapi())
        .nest("/api/v1", answers)
        .split_for_parts();
    let (_, uploads) = OpenApiRouter::new()
        .nest("/api/v1", ingest::routes::router())
        .split_for_parts();
    // Uploads are answered by a line that is not worth compressing, and go by their whole path: a nested route writes each
    // request's anew.
    let router = answers.merge(ingest::routes::by_whole_path());
    (router, described.merge_from(uploads))
}

fn compression() -> CompressionLayer {
    CompressionLayer::new().gzip(true).zstd(true)
}

/// The description of the API as committed in `openapi.json`.
pub fn openapi_json() -> String {
    let (_, openapi) = api();
    let mut json = openapi.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// Everything the server answers. Each layer around all routes costs every upload, so there are few.
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
    let root = Router::new()
        .route("/api/v1/openapi.json", document)
        .route("/metrics", get(metrics::serve))
        .merge(docs)
        .layer(compression());
    Router::new()
        .merge(api)
        .merge(root)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(fallback)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard))
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

/// Answers to names of this server only, gives every answer its security headers, and every error of the framework its problem
/// body.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with("/docs");
    let mut response = match host_check(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
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
