//! `GET /agents/{agent_id}/diff` and `GET /processes/groups/series`.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::diff::{self, DiffBody};
use super::groups::{self, GroupBy, GroupSeriesBody, GroupsRequest};
use super::host::PastHost;
use super::metric;
use super::range::{Grid, Range};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::Query;

const DEFAULT_TOP: usize = 10;
const MAX_TOP: usize = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(agent_diff))
        .routes(routes!(group_series))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DiffParameters {
    /// The earlier instant: RFC 3339, or Unix seconds. An hour before `to` when left out.
    from: Option<String>,
    /// The later one. Now when left out.
    to: Option<String>,
}

/// What is different on a host between two instants
#[utoipa::path(
    get, path = "/agents/{agent_id}/diff", tag = "history",
    params(("agent_id" = String, Path), DiffParameters),
    responses(
        (status = 200, body = DiffBody),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent, or nobody looked at one of the instants", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn agent_diff(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    Query(parameters): Query<DiffParameters>,
) -> Result<Json<DiffBody>, Problem> {
    let range = Range::read(
        parameters.from.as_deref(),
        parameters.to.as_deref(),
        app.clock.now_ms(),
    )?;
    let _turn = app.past_turn().await?;
    let host = PastHost::find(&app, Some(&agent_id))?;
    Ok(Json(diff::diff(&app, &host, range).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GroupsParameters {
    /// Needed as soon as there is more than one agent.
    agent_id: Option<String>,
    /// name, user, container or cgroup.
    #[param(default = "name")]
    group_by: Option<String>,
    #[param(default = "cpu_percent")]
    metric: Option<String>,
    /// RFC 3339, or Unix seconds. An hour before `to` when left out.
    from: Option<String>,
    /// Exclusive. Now when left out.
    to: Option<String>,
    /// At least 1s. A round one that makes about 300 points when left out.
    #[param(example = "15s")]
    step: Option<String>,
    /// Groups that are shown each for itself, 1 to 100; the rest is `other`.
    #[param(default = 10)]
    top: Option<usize>,
}

/// What groups of processes of a host used, by steps of time
#[utoipa::path(
    get, path = "/processes/groups/series", tag = "history",
    params(GroupsParameters),
    responses(
        (status = 200, body = GroupSeriesBody),
        (status = 400, description = "A parameter that is missing, not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn group_series(
    State(app): State<App>,
    Query(parameters): Query<GroupsParameters>,
) -> Result<Json<GroupSeriesBody>, Problem> {
    let range = Range::read(
        parameters.from.as_deref(),
        parameters.to.as_deref(),
        app.clock.now_ms(),
    )?;
    let top = parameters.top.unwrap_or(DEFAULT_TOP);
    if !(1..=MAX_TOP).contains(&top) {
        return Err(Problem::bad_request(format!(
            "top={top} must be 1 to {MAX_TOP}; the other groups are added up as other"
        )));
    }
    let metrics = metric::read(Some(parameters.metric.as_deref().unwrap_or("cpu_percent")))?;
    let [metric] = metrics[..] else {
        return Err(Problem::bad_request(format!(
            "metric={}: groups have one metric at a time; ask once for each",
            parameters.metric.as_deref().unwrap_or_default()
        )));
    };
    let request = GroupsRequest {
        grid: Grid::new(range, parameters.step.as_deref())?,
        group_by: GroupBy::read(parameters.group_by.as_deref().unwrap_or("name"))?,
        metric,
        top,
    };
    let _turn = app.past_turn().await?;
    let host = PastHost::find(&app, parameters.agent_id.as_deref())?;
    Ok(Json(groups::groups(&app, &host, &request).await?))
}
