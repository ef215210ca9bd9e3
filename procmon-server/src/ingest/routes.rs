//! `POST /agents/{agent_id}/batches` and `POST /agents/{agent_id}/processes`.

use std::sync::LazyLock;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use procmon_common::ids::valid_agent_id;
use procmon_common::wire::{self, Ack, CONTENT_TYPE, SENT_HEADER};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::upload::{Accepted, Upload};
use super::{admit, body, count, detached, native, upload};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::json_body::media_type;
use crate::metrics::Reject;
use crate::store::Door;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(post_batch))
        .routes(routes!(post_processes))
}

/// The same without their description.
pub fn by_whole_path() -> Router<App> {
    Router::new()
        .route("/api/v1/agents/{agent_id}/batches", post(post_batch))
        .route("/api/v1/agents/{agent_id}/processes", post(post_processes))
}

/// Take a batch of procmon's own agent
///
/// The body is one `procmon.v1.Batch` in protobuf. It is durable when the answer comes; a repeated batch is answered
/// again, without effect.
#[utoipa::path(
    post, path = "/agents/{agent_id}/batches", tag = "ingest",
    params(("agent_id" = String, Path)),
    request_body(content_type = "application/x-protobuf", content = Vec<u8>),
    responses(
        (status = 200, body = AckBody),
        (status = 400, description = "Not valid zstd, or not a batch", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another agent_id in the body, or a second live machine under it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Over a limit of size: of the body, its content, processes, names, texts or events", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not protobuf, or a dictionary or encoding that is not known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Well formed, but it cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "More than this agent may send: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn post_batch(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
    mut body: Body,
) -> (Announced, Result<Json<Ack>, Problem>) {
    let started = Instant::now();
    let mut bytes = 0;
    let outcome = receive_batch(&app, agent_id, &headers, &mut body, &mut bytes).await;
    count(&app, Door::Native, started, bytes, &outcome);
    drain_refused(&app, body, &outcome);
    (announced(), outcome.map(Json))
}

/// A header with the dictionaries that this server has.
type Announced = [(HeaderName, HeaderValue); 1];

fn announced() -> Announced {
    static KNOWN: LazyLock<HeaderValue> = LazyLock::new(|| {
        let ids: Vec<_> = wire::known_dictionaries()
            .map(|id| id.to_string())
            .collect();
        HeaderValue::from_str(&ids.join(",")).unwrap_or(HeaderValue::from_static(""))
    });
    [(
        HeaderName::from_static(wire::DICTIONARIES_HEADER),
        KNOWN.clone(),
    )]
}

async fn receive_batch(
    app: &App,
    agent_id: String,
    headers: &HeaderMap,
    body: &mut Body,
    bytes: &mut usize,
) -> Result<Ack, Problem> {
    check_agent_id(&agent_id)?;
    let media_type = media_type(headers);
    if !media_type.eq_ignore_ascii_case(CONTENT_TYPE)
        && !media_type.eq_ignore_ascii_case("application/protobuf")
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "batches are protobuf: send Content-Type: {CONTENT_TYPE}; for JSON lists of processes use \
                 POST /api/v1/agents/{{agent_id}}/processes"
            ),
        ));
    }
    let admitted = admit(app, &agent_id, headers, body).await?;
    *bytes = admitted.body.len();
    let sent = headers.get(SENT_HEADER);
    let request = native::Request {
        admitted,
        sent_ms: sent.and_then(|value| value.to_str().ok()?.parse().ok()),
    };
    detached(app, native::take(app.clone(), agent_id, request)).await
}

/// Take a list of all processes of a host as JSON
///
/// For scripts and foreign agents. Processes that appear or vanish between two uploads become exec and exit events marked
/// `observed: "sample"`.
#[utoipa::path(
    post, path = "/agents/{agent_id}/processes", tag = "ingest",
    params(("agent_id" = String, Path)),
    request_body = Upload,
    responses(
        (status = 202, body = Accepted),
        (status = 400, description = "Not valid JSON of this shape", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another agent_id in the body, or a procmon agent reports under it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Over a limit of size: of the body, its content, processes, names, texts or events", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an encoding that is not known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Well formed, but it cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "More than this agent may send: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn post_processes(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let started = Instant::now();
    let mut bytes = 0;
    let outcome = receive_upload(&app, agent_id, &headers, &mut body, &mut bytes).await;
    count(&app, Door::Upload, started, bytes, &outcome);
    drain_refused(&app, body, &outcome);
    outcome.map(|accepted| (StatusCode::ACCEPTED, Json(accepted)))
}

async fn receive_upload(
    app: &App,
    agent_id: String,
    headers: &HeaderMap,
    body: &mut Body,
    bytes: &mut usize,
) -> Result<Accepted, Problem> {
    check_agent_id(&agent_id)?;
    // A web page of another site cannot send this type without asking first.
    if !media_type(headers).eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send Content-Type: application/json (with curl: -H 'Content-Type: application/json')",
        ));
    }
    let admitted = admit(app, &agent_id, headers, body).await?;
    *bytes = admitted.body.len();
    detached(app, upload::take(app.clone(), agent_id, admitted)).await
}

/// The answer leaves at once; what is left of the body is read beside it. One that comes too slowly is not waited for any longer.
fn drain_refused<T>(app: &App, body: Body, outcome: &Result<T, Problem>) {
    let refused = outcome.as_ref().err();
    if !body.is_end_stream()
        && refused.is_some_and(|problem| problem.status != StatusCode::REQUEST_TIMEOUT)
    {
        let shutdown = app.shutdown.clone();
        app.uploads.spawn(async move {
            tokio::select! {
                () = body::drain(body) => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

fn check_agent_id(agent_id: &str) -> Result<(), Problem> {
    if valid_agent_id(agent_id) {
        return Ok(());
    }
    Err(Problem::bad_request(
        "an agent_id has 1 to 128 letters, digits, '.', '_', '-' or ':'",
    ))
}

pub(super) fn too_many_agents() -> Problem {
    Problem::unavailable(
        "this server already knows as many agents as it may (ingest_limits.agents); remove some, raise the limit, or add a server",
    )
    .because(Reject::Agents)
}

/// The answer to a batch.
#[derive(utoipa::ToSchema)]
#[schema(as = Ack)]
#[expect(dead_code, reason = "describes the answer, whose type has no schema")]
pub struct AckBody {
    epoch: u64,
    /// Every batch of this epoch up to here is stored, or was skipped by the agent.
    durable_seq: u64,
    /// The next batch must be a key batch.
    resync: bool,
    /// Unix milliseconds.
    received_unix_ms: i64,
}
