//! `GET /processes` and `GET /processes/tree`.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ProcessBody;
use super::filter::{Parameters, matches};
use super::sort::{Place, Sort};
use super::tree::{self, ProcessNode};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::history;
use crate::live::HostEntry;
use crate::page::{self, Query};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_processes))
        .routes(routes!(process_tree))
}

/// A page of processes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessList {
    pub processes: Vec<ProcessBody>,
    /// On all pages together.
    pub total: usize,
    /// The instant that the list shows.
    pub at: String,
    pub next_cursor: Option<String>,
}

/// The processes of all hosts, or of one
#[utoipa::path(
    get, path = "/processes", tag = "processes",
    params(Parameters),
    responses(
        (status = 200, body = ProcessList),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn list_processes(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<ProcessList>, Problem> {
    let limit = page::limit(parameters.limit)?;
    let sort = Sort::parse(parameters.sort.as_deref())?;
    let after = match &parameters.cursor {
        Some(cursor) => Some(sort.read_cursor(cursor)?),
        None => None,
    };
    let (hosts, now_ms) = hosts(
        &app,
        parameters.agent_id.as_deref(),
        parameters.at.as_deref(),
    )
    .await?;
    let (total, places) = collect(&hosts, &parameters, &sort, now_ms);
    let (page, more) = cut(places, &sort, after.as_ref(), limit);
    let next_cursor = page
        .last()
        .filter(|_| more)
        .map(|last| sort.to_cursor(last));
    Ok(Json(ProcessList {
        processes: show(&hosts, &page, now_ms),
        total,
        at: rfc3339_ms(now_ms),
        next_cursor,
    }))
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

/// How many processes match, and their places in the order.
fn collect(
    hosts: &[Arc<HostEntry>],
    parameters: &Parameters,
    sort: &Sort,
    now_ms: i64,
) -> (usize, Vec<Place>) {
    let mut places = Vec::new();
    for entry in hosts {
        let host = entry.read();
        let matching = host.views(now_ms).filter(|view| matches(parameters, view));
        places.extend(matching.map(|view| sort.place(&view)));
    }
    (places.len(), places)
}

/// The page after a place, in order, and whether there is more after it.
fn cut(
    mut places: Vec<Place>,
    sort: &Sort,
    after: Option<&Place>,
    limit: usize,
) -> (Vec<Place>, bool) {
    if let Some(after) = after {
        places.retain(|place| sort.compare(place, after).is_gt());
    }
    let more = places.len() > limit;
    if more {
        places.select_nth_unstable_by(limit - 1, |a, b| sort.compare(a, b));
        places.truncate(limit);
    }
    places.sort_unstable_by(|a, b| sort.compare(a, b));
    (places, more)
}

/// The rows of a page. One that ended since its place was found is left out.
fn show(hosts: &[Arc<HostEntry>], page: &[Place], now_ms: i64) -> Vec<ProcessBody> {
    let mut rows: Vec<Option<ProcessBody>> = Vec::new();
    rows.resize_with(page.len(), || None);
    let mut wanted: std::collections::BTreeMap<&str, std::collections::HashMap<_, _>> =
        std::collections::BTreeMap::new();
    for (index, place) in page.iter().enumerate() {
        wanted
            .entry(&place.agent_id)
            .or_default()
            .insert(place.id, index);
    }
    for (agent_id, places) in wanted {
        // They come in the order of their names.
        let Ok(place) = hosts.binary_search_by(|entry| (*entry.agent_id).cmp(agent_id)) else {
            continue;
        };
        let entry = &hosts[place];
        for view in entry.read().views(now_ms) {
            if let Some(index) = places.get(&view.id) {
                rows[*index] = Some(ProcessBody::new(&view));
            }
        }
    }
    rows.into_iter().flatten().collect()
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
    ))]
async fn process_tree(
    State(app): State<App>,
    Query(parameters): Query<TreeParameters>,
) -> Result<Json<ProcessTree>, Problem> {
    let include_zombies = match parameters.include_zombies.as_deref() {
        None | Some("1" | "true") => true,
        Some("0" | "false") => false,
        Some(_) => return Err(Problem::bad_request("include_zombies must be 0 or 1")),
    };
    let entry = crate::hosts::find(&app, parameters.agent_id.as_deref())?;
    let at = parameters.at.as_deref();
    let (hosts, now_ms) = hosts(&app, Some(&entry.agent_id), at).await?;
    let host = hosts.first().unwrap_or(&entry).read();
    let views: Vec<_> = host.views(now_ms).collect();
    Ok(Json(ProcessTree {
        agent_id: host.agent_id.to_string(),
        at: rfc3339_ms(now_ms),
        roots: tree::build(&views, include_zombies),
    }))
}
