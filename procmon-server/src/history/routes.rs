//! `GET /processes/{pid}/history` and `GET /processes/{pid}/series`.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::host::{PastHost, Subject};
use super::metric;
use super::range::{Grid, Range};
use super::series::{self, SeriesRequest, Stat};
use super::view::{HistoryBody, SeriesBody};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::{self, Query};

const MAX_MINUTES: u32 = 10_080;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(process_history))
        .routes(routes!(process_series))
        .merge(super::life_routes::router())
        .merge(super::host_routes::router())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryParameters {
    /// Needed as soon as there is more than one agent.
    agent_id: Option<String>,
    /// How far back, 1 to 10 080.
    #[param(default = 10)]
    minutes: Option<u32>,
}

/// Samples of a process as they were taken
///
/// The pid may be a process id: then only that life is shown, else every life that had the pid.
#[utoipa::path(
    get, path = "/processes/{pid}/history", tag = "history",
    params(("pid" = String, Path, description = "A pid, or a process_id"), HistoryParameters),
    responses(
        (status = 200, body = HistoryBody),
        (status = 400, description = "A parameter that is missing, not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn process_history(
    State(app): State<App>,
    Path(pid): Path<String>,
    Query(parameters): Query<HistoryParameters>,
) -> Result<Json<HistoryBody>, Problem> {
    let subject = Subject::read(&pid)?;
    let minutes = parameters.minutes.unwrap_or(10);
    if !(1..=MAX_MINUTES).contains(&minutes) {
        return Err(Problem::bad_request(format!(
            "minutes={minutes} must be 1 to {MAX_MINUTES}; GET /processes/{{pid}}/series takes any from and to"
        )));
    }
    let _turn = app.past_turn().await?;
    let host = PastHost::find(&app, parameters.agent_id.as_deref())?;
    let now_ms = app.clock.now_ms();
    let range = Range {
        from_ms: now_ms.saturating_sub(i64::from(minutes) * 60_000),
        // The newest sample may be of this very millisecond.
        to_ms: now_ms.saturating_add(1),
    };
    let body = series::history(&app, &host, subject, range).await?;
    Ok(Json(body))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeriesParameters {
    /// Needed as soon as there is more than one agent.
    agent_id: Option<String>,
    /// RFC 3339, or Unix seconds. An hour before `to` when left out.
    from: Option<String>,
    /// Exclusive. Now when left out.
    to: Option<String>,
    /// At least 1s. A round one that makes about 300 points when left out.
    #[param(example = "15s")]
    step: Option<String>,
    /// One or more, by comma or repetition; the seed's when left out.
    #[param(example = "cpu_percent,memory_rss")]
    metric: Option<String>,
    /// What to add to each average: min, max, last, count.
    #[param(example = "min,max")]
    stats: Option<String>,
}

/// Metrics of a process by steps of time
///
/// A point has the average of each metric under the metric's name. Steps without a sample are left out and listed as gaps with
/// a reason. The pid may be a process id: then only that life is shown, else every life that had the pid.
#[utoipa::path(
    get, path = "/processes/{pid}/series", tag = "history",
    params(("pid" = String, Path, description = "A pid, or a process_id"), SeriesParameters),
    responses(
        (status = 200, body = SeriesBody),
        (status = 400, description = "A parameter that is missing, not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn process_series(
    State(app): State<App>,
    Path(pid): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<SeriesBody>, Problem> {
    let parameters: SeriesParameters =
        page::parse_with_lists(query.as_deref(), &["metric", "stats"])?;
    let range = Range::read(
        parameters.from.as_deref(),
        parameters.to.as_deref(),
        app.clock.now_ms(),
    )?;
    let request = SeriesRequest {
        subject: Subject::read(&pid)?,
        grid: Grid::new(range, parameters.step.as_deref())?,
        metrics: metric::read(parameters.metric.as_deref())?,
        stats: Stat::read(parameters.stats.as_deref())?,
    };
    let _turn = app.past_turn().await?;
    let host = PastHost::find(&app, parameters.agent_id.as_deref())?;
    Ok(Json(series::series(&app, &host, &request).await?))
}
