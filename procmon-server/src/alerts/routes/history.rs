//! `GET /alerts/history`

use super::alerts::state;
use super::parameters::HistoryParameters;
use super::view::{TransitionList, TransitionView};
use crate::alerts::Transition;
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::{self, Query, instant_ms};
use crate::store::TransitionQuery;
use axum::Json;
use axum::extract::State;

/// What became of alerts, the newest first
#[utoipa::path(
    get, path = "/alerts/history", tag = "alerts",
    params(HistoryParameters),
    responses(
        (status = 200, body = TransitionList),
        (status = 400, description = "A parameter is not valid", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_transitions(
    State(app): State<App>,
    Query(parameters): Query<HistoryParameters>,
) -> Result<Json<TransitionList>, Problem> {
    let limit = page::limit(parameters.limit)?;
    let given_ms =
        |name, text: Option<&String>| text.map(|text| instant_ms(name, text)).transpose();
    if let Some(text) = &parameters.state {
        state(text)?;
    }
    let before = parameters.cursor.as_deref().map(str::parse::<i64>);
    let query = TransitionQuery {
        since_ms: given_ms("since", parameters.since.as_ref())?,
        until_ms: given_ms("until", parameters.until.as_ref())?,
        rule_id: parameters.rule_id,
        fingerprint: parameters.fingerprint,
        agent_id: parameters.agent_id,
        process_id: parameters.process_id,
        to_state: parameters.state,
        before: before
            .transpose()
            .map_err(|_| Problem::bad_request("cursor is not one that this resource gave"))?,
    };
    let mut rows = app.store.transitions(&query, limit as u32 + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|(number, _)| number.to_string());
    let transitions = rows.iter().filter_map(Transition::of_row);
    Ok(Json(TransitionList {
        transitions: transitions.map(TransitionView::from).collect(),
        next_cursor,
    }))
}
