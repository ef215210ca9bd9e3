//! `/alerts`

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::NoParameters;
use super::parameters::AlertParameters;
use super::view::{AlertList, AlertView};
use crate::alerts::state::AlertState;
use crate::alerts::{Acknowledgement, AlertRow};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::json_body::JsonBody;
use crate::page::{self, Query};

const MAX_COMMENT_BYTES: usize = 4096;

/// Who saw an alert.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcknowledgementBody {
    pub by: String,
    #[serde(default)]
    pub comment: String,
}

pub(super) fn state(text: &str) -> Result<AlertState, Problem> {
    Ok(match text {
        "pending" => AlertState::Pending,
        "firing" => AlertState::Firing,
        "resolved" => AlertState::Resolved,
        "inactive" => AlertState::Inactive,
        other => {
            return Err(Problem::bad_request(format!(
                "state is {other:?}; it must be pending, firing, resolved or inactive"
            )));
        }
    })
}

/// The newest first; the fingerprint settles ties, so that pages never overlap.
fn order(alert: &AlertRow) -> (i64, &str) {
    let active_ms = alert.progress.active_at_ms().unwrap_or(0);
    (-active_ms, &alert.fingerprint)
}

fn cursor_of(alert: &AlertRow) -> String {
    let (active_ms, fingerprint) = order(alert);
    format!("{active_ms}.{fingerprint}")
}

fn read_cursor(cursor: &str) -> Result<(i64, &str), Problem> {
    let wrong = || Problem::bad_request("cursor is not one that this resource gave");
    let (active_ms, fingerprint) = cursor.split_once('.').ok_or_else(wrong)?;
    Ok((active_ms.parse().map_err(|_| wrong())?, fingerprint))
}

/// Alerts that fire, or that are in other states
#[utoipa::path(
    get, path = "/alerts", tag = "alerts",
    params(AlertParameters),
    responses(
        (status = 200, body = AlertList),
        (status = 400, description = "A parameter is not valid", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_alerts(
    State(app): State<App>,
    Query(parameters): Query<AlertParameters>,
) -> Result<Json<AlertList>, Problem> {
    let limit = page::limit(parameters.limit)?;
    let after = parameters.cursor.as_deref().map(read_cursor).transpose()?;
    let states = match &parameters.state {
        None => vec![AlertState::Firing],
        Some(states) => states
            .split(',')
            .map(|text| state(text.trim()))
            .collect::<Result<_, _>>()?,
    };
    let shown = app.alerts.shown();
    let now_ms = app.clock.now_ms();
    let is_silenced = |alert: &AlertRow| !shown.silenced_by(alert, now_ms).is_empty();
    let is = |wanted: Option<&str>, value: Option<&str>| wanted.is_none() || wanted == value;
    let mut alerts: Vec<&AlertRow> = shown
        .alerts
        .iter()
        .filter(|alert| {
            states.contains(&alert.state())
                && is(parameters.rule_id.as_deref(), Some(&alert.rule_id))
                && is(parameters.agent_id.as_deref(), alert.labels.get("agent_id"))
                && is(
                    parameters.process_id.as_deref(),
                    alert.labels.get("process_id"),
                )
                && is(parameters.fingerprint.as_deref(), Some(&alert.fingerprint))
                && (parameters.silenced).is_none_or(|wanted| wanted == is_silenced(alert))
        })
        .collect();
    let total = alerts.len();
    alerts.retain(|alert| after.is_none_or(|after| order(alert) > after));
    alerts.sort_unstable_by_key(|alert| order(alert));
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    let last = alerts.last().filter(|_| more);
    Ok(Json(AlertList {
        next_cursor: last.map(|alert| cursor_of(alert)),
        alerts: alerts
            .iter()
            .map(|alert| AlertView::new(alert, &shown, now_ms))
            .collect(),
        total,
        evaluated_at: shown.evaluated_ms.map(rfc3339_ms),
    }))
}

/// Say that somebody saw an alert; it holds until the alert is resolved
#[utoipa::path(
    post, path = "/alerts/{fingerprint}/ack", tag = "alerts",
    params(("fingerprint" = String, Path)),
    request_body = AcknowledgementBody,
    responses(
        (status = 200, body = AlertView),
        (status = 404, description = "No such alert", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = ProblemBody, content_type = "application/problem+json"),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The body is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn acknowledge(
    State(app): State<App>,
    Path(fingerprint): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBody(AcknowledgementBody { by, comment }): JsonBody<AcknowledgementBody>,
) -> Result<Json<AlertView>, Problem> {
    if by.trim().is_empty() || by.len() + comment.len() > MAX_COMMENT_BYTES {
        return Err(Problem::invalid(format!(
            "by must say who saw it, and by and comment have at most {MAX_COMMENT_BYTES} bytes"
        )));
    }
    let seen = Acknowledgement {
        by,
        comment,
        at_ms: app.clock.now_ms(),
    };
    let changed = change(app.clone(), fingerprint, Some(seen));
    app.to_its_end(changed).await
}

/// Take back that somebody saw an alert
#[utoipa::path(
    delete, path = "/alerts/{fingerprint}/ack", tag = "alerts",
    params(("fingerprint" = String, Path)),
    responses(
        (status = 200, body = AlertView),
        (status = 404, description = "No such alert", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn take_back(
    State(app): State<App>,
    Path(fingerprint): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<AlertView>, Problem> {
    app.to_its_end(change(app.clone(), fingerprint, None)).await
}

async fn change(
    app: App,
    fingerprint: String,
    acknowledged: Option<Acknowledgement>,
) -> Result<Json<AlertView>, Problem> {
    let mut inner = app.alerts.lock().await;
    let found = inner.book.find(&fingerprint);
    let Some((key, alert)) = found.map(|(key, alert)| (key.clone(), alert.clone())) else {
        return Err(Problem::not_found(
            "there is no such alert; GET /api/v1/alerts?state=pending,firing lists those there are",
        ));
    };
    if alert.progress.is_over() {
        return Err(Problem::conflict(
            "the alert is resolved; there is nothing to acknowledge",
        ));
    }
    let alert = AlertRow {
        acknowledged,
        ..alert
    };
    app.store.save_alert(&alert.to_stored()).await?;
    inner.book.alerts.insert(key, alert.clone());
    app.alerts.show(&inner, None);
    drop(inner);
    let shown = app.alerts.shown();
    Ok(Json(AlertView::new(&alert, &shown, app.clock.now_ms())))
}
