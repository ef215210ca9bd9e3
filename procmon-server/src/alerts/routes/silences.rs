//! `/silences`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use procmon_common::config::parse_duration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NoParameters;
use super::view::AlertView;
use crate::alerts::labels::stable_hash;
use crate::alerts::silence::{MatcherText, Silence, SilenceState, SilenceText};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::json_body::JsonBody;
use crate::page::{Query, instant_ms};
use crate::store::SilenceRow;

const MAX_SILENCES: usize = 10_000;
/// Alerts that a preview shows.
const MAX_SHOWN: usize = 1_000;

/// A silence: alerts that all matchers take are not told about from `starts_at` to `ends_at`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SilenceBody {
    /// Of the silence to replace. Made when left out.
    pub id: Option<String>,
    pub matchers: Vec<MatcherText>,
    /// Now when left out.
    pub starts_at: Option<String>,
    pub ends_at: Option<String>,
    /// Instead of `ends_at`: 2h.
    pub duration: Option<String>,
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub comment: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SilenceView {
    pub id: String,
    pub state: SilenceState,
    pub matchers: Vec<MatcherText>,
    pub starts_at: String,
    pub ends_at: String,
    pub created_by: String,
    pub comment: String,
    pub updated_at: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SilenceList {
    pub silences: Vec<SilenceView>,
}

/// What a silence would be about now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SilencePreview {
    pub alerts: Vec<AlertView>,
    pub total: usize,
}

impl SilenceView {
    fn new(silence: &Silence, now_ms: i64) -> Self {
        let text = &silence.text;
        Self {
            id: text.id.clone(),
            state: silence.state(now_ms),
            matchers: text.matchers.clone(),
            starts_at: rfc3339_ms(text.starts_ms),
            ends_at: rfc3339_ms(text.ends_ms),
            created_by: text.created_by.clone(),
            comment: text.comment.clone(),
            updated_at: rfc3339_ms(text.updated_ms),
        }
    }
}

fn silence_of(body: SilenceBody, now_ms: i64) -> Result<Silence, Problem> {
    let given_ms =
        |name, text: Option<&String>| text.map(|text| instant_ms(name, text)).transpose();
    let starts_ms = given_ms("starts_at", body.starts_at.as_ref())?.unwrap_or(now_ms);
    let ends_ms = match (&body.ends_at, &body.duration) {
        (Some(ends_at), None) => given_ms("ends_at", Some(ends_at))?,
        (None, Some(text)) => {
            let duration = parse_duration(text).ok_or_else(|| {
                Problem::invalid(format!("duration {text:?} is not a time; write it like 2h"))
            })?;
            Some(starts_ms.saturating_add(duration.as_millis() as i64))
        }
        _ => None,
    };
    let ends_ms = ends_ms
        .ok_or_else(|| Problem::invalid("give either ends_at or duration, and one of them"))?;
    let id = body.id.filter(|id| !id.is_empty()).unwrap_or_else(|| {
        let matchers = serde_json::to_string(&body.matchers).unwrap_or_default();
        let times = format!("{now_ms} {starts_ms} {ends_ms}");
        format!(
            "silence_{:016x}",
            stable_hash(&[&matchers, &times, &body.comment])
        )
    });
    Silence::new(SilenceText {
        id,
        matchers: body.matchers,
        starts_ms,
        ends_ms,
        created_by: body.created_by,
        comment: body.comment,
        updated_ms: now_ms,
    })
    .map_err(Problem::invalid)
}

/// All silences, expired ones too
#[utoipa::path(
    get, path = "/silences", tag = "alerts",
    responses((status = 200, body = SilenceList)))]
pub(super) async fn list_silences(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Json<SilenceList> {
    let now_ms = app.clock.now_ms();
    let shown = app.alerts.shown();
    let silences = shown.silences.iter();
    Json(SilenceList {
        silences: silences
            .map(|silence| SilenceView::new(silence, now_ms))
            .collect(),
    })
}

/// Create a silence, or replace the one with the same id
#[utoipa::path(
    post, path = "/silences", tag = "alerts",
    request_body = SilenceBody,
    responses(
        (status = 200, description = "Replaced", body = SilenceView),
        (status = 201, description = "Created", body = SilenceView),
        (status = 404, description = "No silence has this id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not a silence", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_silence(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBody(body): JsonBody<SilenceBody>,
) -> Result<(StatusCode, Json<SilenceView>), Problem> {
    let named = body.id.clone().filter(|id| !id.is_empty());
    let now_ms = app.clock.now_ms();
    let silence = silence_of(body, now_ms)?;
    if silence.text.ends_ms <= now_ms {
        return Err(Problem::invalid(
            "ends_at is over: a silence is about alerts of now or of later",
        ));
    }
    app.to_its_end(replace(app.clone(), named, silence)).await
}

async fn replace(
    app: App,
    named: Option<String>,
    silence: Silence,
) -> Result<(StatusCode, Json<SilenceView>), Problem> {
    let mut inner = app.alerts.lock().await;
    let known = inner.silences.contains_key(&silence.text.id);
    if let Some(id) = named.filter(|_| !known) {
        return Err(unknown(&id));
    }
    if !known && inner.silences.len() >= MAX_SILENCES {
        return Err(Problem::conflict(format!(
            "there are {MAX_SILENCES} silences; expired ones go after alert_retention"
        )));
    }
    let view = keep(&app, &mut inner, silence).await?;
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(view)))
}

/// What a silence would be about now; nothing is kept
#[utoipa::path(
    post, path = "/silences/preview", tag = "alerts",
    request_body = SilenceBody,
    responses(
        (status = 200, body = SilencePreview),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not a silence", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn preview_silence(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBody(mut body): JsonBody<SilenceBody>,
) -> Result<Json<SilencePreview>, Problem> {
    if body.ends_at.is_none() && body.duration.is_none() {
        body.duration = Some("1h".to_owned());
    }
    let now_ms = app.clock.now_ms();
    let silence = silence_of(body, now_ms)?;
    let shown = app.alerts.shown();
    let alerts = shown.alerts.iter();
    let taken: Vec<_> = alerts
        .filter(|alert| !alert.progress.is_over() && silence.takes(&alert.labels))
        .collect();
    Ok(Json(SilencePreview {
        total: taken.len(),
        alerts: taken
            .into_iter()
            .take(MAX_SHOWN)
            .map(|alert| AlertView::new(alert, &shown, now_ms))
            .collect(),
    }))
}

/// One silence
#[utoipa::path(
    get, path = "/silences/{id}", tag = "alerts",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = SilenceView),
        (status = 404, description = "No such silence", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_silence(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<SilenceView>, Problem> {
    let shown = app.alerts.shown();
    let silence = shown.silences.iter().find(|silence| silence.text.id == id);
    let silence = silence.ok_or_else(|| unknown(&id))?;
    Ok(Json(SilenceView::new(silence, app.clock.now_ms())))
}

/// End a silence now; it stays in the list
#[utoipa::path(
    delete, path = "/silences/{id}", tag = "alerts",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is over"),
        (status = 404, description = "No such silence", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_silence(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<StatusCode, Problem> {
    app.to_its_end(end(app.clone(), id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(app: App, id: String) -> Result<(), Problem> {
    let mut inner = app.alerts.lock().await;
    let silence = inner.silences.get(&id).ok_or_else(|| unknown(&id))?;
    let now_ms = app.clock.now_ms();
    let mut ended = Silence::clone(silence);
    ended.text.starts_ms = ended.text.starts_ms.min(now_ms - 1);
    ended.text.ends_ms = ended.text.ends_ms.min(now_ms);
    ended.text.updated_ms = now_ms;
    keep(&app, &mut inner, ended).await?;
    Ok(())
}

async fn keep(
    app: &App,
    inner: &mut crate::alerts::engine::Inner,
    silence: Silence,
) -> Result<SilenceView, Problem> {
    let row = SilenceRow {
        silence_id: silence.text.id.clone(),
        ends_ms: silence.text.ends_ms,
        body: serde_json::to_string(&silence.text).unwrap_or_default(),
    };
    app.store.save_silence(&row).await?;
    let view = SilenceView::new(&silence, app.clock.now_ms());
    inner.silences.insert(row.silence_id, Arc::new(silence));
    app.alerts.show(inner, None);
    Ok(view)
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(64).collect();
    Problem::not_found(format!(
        "there is no silence {id}; GET /api/v1/silences lists those there are"
    ))
}
