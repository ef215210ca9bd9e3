//! `GET /agents` and `GET /agents/{agent_id}`.

use axum::Json;
use axum::extract::{Path, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AgentBody, AgentList, BlockLatencyBody, ShortLivedListBody, find, list};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::Query;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_agents))
        .routes(routes!(get_agent))
        .routes(routes!(get_block_latency))
        .routes(routes!(get_short_lived))
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// All agents and their health
#[utoipa::path(
    get, path = "/agents", tag = "agents",
    responses((status = 200, body = AgentList)))]
async fn list_agents(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Json<AgentList> {
    Json(list(&app))
}

/// One agent and its health
#[utoipa::path(
    get, path = "/agents/{agent_id}", tag = "agents",
    params(("agent_id" = String, Path)),
    responses(
        (status = 200, body = AgentBody),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn get_agent(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<AgentBody>, Problem> {
    let entry = find(&app, Some(&agent_id))?;
    let body = AgentBody::new(&entry.read(), app.clock.now_ms());
    Ok(Json(body))
}

/// How long block requests took on a host, as histograms
#[utoipa::path(
    get, path = "/agents/{agent_id}/block-latency", tag = "agents",
    params(("agent_id" = String, Path)),
    responses(
        (status = 200, body = BlockLatencyBody),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn get_block_latency(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<BlockLatencyBody>, Problem> {
    let entry = find(&app, Some(&agent_id))?;
    let body = BlockLatencyBody::new(&entry.read());
    Ok(Json(body))
}

/// What no sample shows of lives that ended between the two newest ones of a host
#[utoipa::path(
    get, path = "/agents/{agent_id}/short-lived", tag = "agents",
    params(("agent_id" = String, Path)),
    responses(
        (status = 200, body = ShortLivedListBody),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn get_short_lived(
    State(app): State<App>,
    Path(agent_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<ShortLivedListBody>, Problem> {
    let entry = find(&app, Some(&agent_id))?;
    let body = ShortLivedListBody::new(&entry.read());
    Ok(Json(body))
}
