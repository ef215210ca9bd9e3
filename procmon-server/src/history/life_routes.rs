//! `GET /processes/by-id/{process_id}`.
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

use super::host::PastHost;
use super::life;
use super::life_view::WholeLifeBody;
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::{self, Query};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(process_by_id))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LifeParameters {
    /// Process ids are unique within an agent.
    #[param(required = true)]
    agent_id: Option<String>,
}

/// One process from its beginning to its end: what it was, what it ran, who started it, and why it died
///
/// For processes that run and for those that have ended, for as long as their events or samples are kept.
#[utoipa::path(
    get, path = "/processes/by-id/{process_id}", tag = "history",
    params(("process_id" = String, Path), LifeParameters),
    responses(
        (status = 200, body = WholeLifeBody),
        (status = 400, description = "A parameter that is missing, not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent, or nothing of this process is kept", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn process_by_id(
    State(app): State<App>,
    Path(process_id): Path<String>,
    Query(parameters): Query<LifeParameters>,
) -> Result<Json<WholeLifeBody>, Problem> {
    let agent_id = parameters.agent_id.ok_or_else(|| {
        Problem::bad_request(
            "agent_id is needed: process ids are unique within an agent; GET /api/v1/agents lists them",
        )
    })?;
    let id = page::process_id(&process_id)?;
    let _turn = app.past_turn().await?;
    let host = PastHost::find(&app, Some(&agent_id))?;
    match life::find(&app, &host, id).await? {
        Some(found) => Ok(Json(WholeLifeBody::new(&host, found))),
        None => Err(Problem::not_found(format!(
            "nothing is kept of process {process_id} of {agent_id}; GET /api/v1/processes lists what runs, \
             GET /api/v1/events?agent_id={agent_id} what has ended"
        ))),
    }
}
