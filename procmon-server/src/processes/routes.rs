//! `GET /processes` and `GET /processes/tree`.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::Format;
use super::filter::Parameters;
use super::json::write_value;
use super::list::{self, ProcessAnswer};
use super::rows::Rows;
use super::tree::{self, ProcessNode};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::history;
use crate::live::HostEntry;
use crate::page::Query;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_processes))
        .routes(routes!(process_tree))
}

/// The processes of all hosts, or of one
///
/// With `group_by` the answer is a list of groups, with `format` it is everything, streamed: `text/csv`, or JSON.
#[utoipa::path(
    get, path = "/processes", tag = "processes",
    params(Parameters),
    responses(
        (status = 200, content((ProcessAnswer = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "More work or more groups than one request may make", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn list_processes(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Problem> {
    let agent_id = parameters.agent_id.as_deref();
    let (hosts, at_ms) = hosts(&app, agent_id, parameters.at.as_deref()).await?;
    list::answer(&app, Rows::new(hosts, at_ms), parameters).await
}

/// The hosts that rows come from, of now or of an instant of the past; and that instant.
async fn hosts(
    app: &App,
    agent_id: Option<&str>,
    at: Option<&str>,
) -> Result<(Vec<Arc<HostEntry>>, i64), Problem> {
    match at {
        Some(at) => history::hosts_at(app, agent_id, at).await,
        None => Ok((app.live.hosts(agent_id), app.clock.now_ms())),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TreeParameters {
    /// Needed as soon as there is more than one agent.
    agent_id: Option<String>,
    /// 0 or false leaves zombies out.
    #[param(default = true)]
    include_zombies: Option<String>,
    /// An instant of the past: RFC 3339, or Unix seconds. Now when left out.
    at: Option<String>,
}

/// Bytes of JSON, most times.
const ROOM_PER_PROCESS: usize = 1024;

/// The processes of one host as a forest.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessTree {
    pub agent_id: String,
    pub at: String,
    pub roots: Vec<ProcessNode>,
}

/// Who started whom on one host
#[utoipa::path(
    get, path = "/processes/tree", tag = "processes",
    params(TreeParameters),
    responses(
        (status = 200, body = ProcessTree),
        (status = 400, description = "A parameter that is missing, not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn process_tree(
    State(app): State<App>,
    Query(parameters): Query<TreeParameters>,
) -> Result<Response, Problem> {
    let include_zombies = match parameters.include_zombies.as_deref() {
        None | Some("1" | "true") => true,
        Some("0" | "false") => false,
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "include_zombies={other} is not valid; it must be 0, 1, false or true"
            )));
        }
    };
    let entry = crate::hosts::find(&app, parameters.agent_id.as_deref())?;
    let at = parameters.at.as_deref();
    let (hosts, now_ms) = hosts(&app, Some(&entry.agent_id), at).await?;
    let host = hosts.first().unwrap_or(&entry).read();
    let views: Vec<_> = host.views(now_ms).collect();
    let mut json = Vec::with_capacity(views.len() * ROOM_PER_PROCESS);
    json.extend_from_slice(b"{\"agent_id\":");
    write_value(&mut json, &*host.agent_id);
    json.extend_from_slice(b",\"at\":");
    write_value(&mut json, rfc3339_ms(now_ms));
    json.extend_from_slice(b",\"roots\":");
    tree::write(&views, include_zombies, &mut json);
    json.push(b'}');
    Ok(Format::Json.answer(json))
}
