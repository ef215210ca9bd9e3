//! `/alert-rules`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::NoParameters;
use super::view::{RuleList, RuleView};
use super::warnings::warnings;
use crate::alerts::KeptRule;
use crate::alerts::engine::check_writable;
use crate::alerts::rule::{Rule, RuleBody, Source};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::json_body::JsonBytes;
use crate::page::Query;
use crate::store::RuleRow;

/// Rules of the API.
const MAX_RULES: usize = 1_000;

/// All rules of alerts
#[utoipa::path(
    get, path = "/alert-rules", tag = "alerts",
    responses((status = 200, body = RuleList)))]
pub(super) async fn list_rules(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Json<RuleList> {
    let shown = app.alerts.shown();
    let rules = shown.rules.values();
    let rules = rules
        .map(|kept| RuleView::new(kept, warnings(&app, &kept.rule), &shown))
        .collect();
    let errors = shown.file_errors.iter();
    Json(RuleList {
        rules,
        file_errors: errors
            .map(|error| {
                let name = error.path.file_name().unwrap_or_default();
                format!("{}: {}", name.to_string_lossy(), error.message)
            })
            .collect(),
        evaluated_at: shown.evaluated_ms.map(rfc3339_ms),
        evaluation_ms: shown.took.as_secs_f64() * 1000.0,
    })
}

/// Create a rule, or replace the one with the same id
#[utoipa::path(
    post, path = "/alert-rules", tag = "alerts",
    request_body = RuleBody,
    responses(
        (status = 200, description = "Replaced", body = RuleView),
        (status = 201, description = "Created", body = RuleView),
        (status = 409, description = "Written in a file", body = ProblemBody, content_type = "application/problem+json"),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not a rule; the answer explains", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_rule(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<RuleView>), Problem> {
    save(&app, RuleBody::from_json(&body)?).await
}

/// One rule
#[utoipa::path(
    get, path = "/alert-rules/{id}", tag = "alerts",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = RuleView),
        (status = 404, description = "No such rule", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_rule(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<RuleView>, Problem> {
    let shown = app.alerts.shown();
    let kept = shown.rules.get(&id).ok_or_else(|| unknown(&id))?;
    Ok(Json(RuleView::new(
        kept,
        warnings(&app, &kept.rule),
        &shown,
    )))
}

/// Replace a rule, or create it
#[utoipa::path(
    put, path = "/alert-rules/{id}", tag = "alerts",
    params(("id" = String, Path)),
    request_body = RuleBody,
    responses(
        (status = 200, description = "Replaced", body = RuleView),
        (status = 201, description = "Created", body = RuleView),
        (status = 409, description = "Written in a file, or the body names another rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not a rule; the answer explains", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_rule(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<RuleView>), Problem> {
    let mut body = RuleBody::from_json(&body)?;
    if body.id.as_ref().is_some_and(|named| *named != id) {
        return Err(Problem::conflict(format!(
            "the path names rule {id}, the body another; make them agree, or leave id out of the body"
        )));
    }
    body.id = Some(id);
    save(&app, body).await
}

/// Delete a rule; its alerts end
#[utoipa::path(
    delete, path = "/alert-rules/{id}", tag = "alerts",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Written in a file", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_rule(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<StatusCode, Problem> {
    app.to_its_end(delete(app.clone(), id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(app: App, id: String) -> Result<(), Problem> {
    let mut inner = app.alerts.lock().await;
    check_writable(&inner, &id)?;
    if !inner.rules.contains_key(&id) {
        return Err(unknown(&id));
    }
    app.store.delete_rule(&id).await?;
    inner.rules.remove(&id);
    inner.replan();
    app.alerts.show(&inner, None);
    Ok(())
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(64).collect();
    Problem::not_found(format!(
        "there is no rule {id}; GET /api/v1/alert-rules lists those there are"
    ))
}

async fn save(app: &App, body: RuleBody) -> Result<(StatusCode, Json<RuleView>), Problem> {
    let rule = Arc::new(Rule::new(body, Source::Api)?);
    app.to_its_end(keep(app.clone(), rule)).await
}

async fn keep(app: App, rule: Arc<Rule>) -> Result<(StatusCode, Json<RuleView>), Problem> {
    let mut inner = app.alerts.lock().await;
    check_writable(&inner, &rule.id)?;
    let before = inner.rules.get(&rule.id);
    if before.is_none() && inner.rules.len() >= MAX_RULES {
        return Err(Problem::conflict(format!(
            "there are {MAX_RULES} rules already; delete some, or put several into one with aggregate"
        )));
    }
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let now_ms = app.clock.now_ms();
    let kept = KeptRule {
        created_ms: before.map_or(now_ms, |before| before.created_ms),
        updated_ms: now_ms,
        rule: Arc::clone(&rule),
    };
    let row = RuleRow {
        rule_id: rule.id.clone(),
        body: serde_json::to_string(&rule.body).unwrap_or_default(),
        created_ms: kept.created_ms,
        updated_ms: now_ms,
    };
    app.store.save_rule(&row).await?;
    inner.rules.insert(rule.id.clone(), kept.clone());
    inner.replan();
    app.alerts.show(&inner, None);
    drop(inner);
    let view = RuleView::new(&kept, warnings(&app, &rule), &app.alerts.shown());
    Ok((status, Json(view)))
}
