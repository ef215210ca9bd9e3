//! `POST /alert-rules/preview`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::alerts::LabelSet;
use crate::alerts::backtest::{Backtest, backtest, sent};
use crate::alerts::engine::aside;
use crate::alerts::evaluate::{Known, Moment, Plan, SeriesMemory, scan};
use crate::alerts::rule::{Rule, RuleBody, Source};
use crate::alerts::state::Sight;
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Problem, ProblemBody};
use crate::json_body::JsonBytes;
use crate::page::{Query, instant_ms};

use super::parameters::PreviewParameters;
use super::warnings::warnings;

const DAY_MS: i64 = 86_400_000;
/// The longest that is looked back.
const MAX_RANGE_MS: i64 = 31 * DAY_MS;
/// Matches, and episodes, that are shown.
const MAX_SHOWN: usize = 1_000;

/// What a rule finds now, and what it would have done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PreviewBody {
    pub warnings: Vec<String>,
    pub now: MatchesBody,
    /// Null where a rule cannot be tried on the past.
    pub backtest: Option<BacktestBody>,
    /// Why it cannot.
    pub backtest_unavailable: Option<String>,
}

/// What its condition holds of now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatchesBody {
    pub total: usize,
    pub matches: Vec<MatchBody>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatchBody {
    pub labels: LabelSet,
    pub value: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct BacktestBody {
    pub from: String,
    /// The last evaluation that was looked at.
    pub to: String,
    pub hosts: usize,
    /// How often an alert would have fired.
    pub fired: usize,
    /// Messages that a channel without grouping would have got: one for each that fires and each that is resolved.
    pub messages: usize,
    /// What the channels that there are would have got.
    pub sent: Vec<SentBody>,
    /// Alerts that would have fired more than once.
    pub flapping: usize,
    /// Alerts that would have been pending and never fired.
    pub only_pending: usize,
    /// The first of them, in the order in which they would have fired.
    pub episodes: Vec<EpisodeBody>,
    /// What was left out because it was too much, and what to do about it. Null when everything was looked at.
    pub cut_off: Option<String>,
}

/// Messages of one channel, by its matchers, grouping and repeat interval and by the silences that there are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SentBody {
    pub channel_id: String,
    pub name: String,
    /// How often an alert that fired would have been told to it.
    pub alerts: usize,
    pub messages: usize,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct EpisodeBody {
    pub labels: LabelSet,
    pub active_at: String,
    pub fired_at: String,
    /// Null when it would fire still.
    pub resolved_at: Option<String>,
    /// The most extreme value meanwhile.
    pub value: f64,
}

/// Try a rule: what it finds now, and when it would have fired
#[utoipa::path(
    post, path = "/alert-rules/preview", tag = "alerts",
    params(PreviewParameters),
    request_body = RuleBody,
    responses(
        (status = 200, body = PreviewBody),
        (status = 400, description = "A parameter is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not a rule; the answer explains", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn preview_rule(
    State(app): State<App>,
    Query(parameters): Query<PreviewParameters>,
    JsonBytes(body): JsonBytes,
) -> Result<Json<PreviewBody>, Problem> {
    let mut body = RuleBody::from_json(&body)?;
    body.enabled = true;
    let rule = Rule::new(body, Source::Api)?;
    let (from_ms, to_ms) = range(&app, &parameters)?;
    let now = matches(&app, &rule).await;
    let (past, unavailable) = match backtest(&app, &rule, from_ms, to_ms).await? {
        Ok(past) => (Some(shown(&app, &past, from_ms).await), None),
        Err(reason) => (None, Some(reason)),
    };
    Ok(Json(PreviewBody {
        warnings: warnings(&app, &rule),
        now,
        backtest: past,
        backtest_unavailable: unavailable,
    }))
}

fn range(app: &App, parameters: &PreviewParameters) -> Result<(i64, i64), Problem> {
    let read = |name, text: Option<&String>| text.map(|text| instant_ms(name, text)).transpose();
    let now_ms = app.clock.now_ms();
    let to_ms = read("to", parameters.to.as_ref())?
        .unwrap_or(now_ms)
        .min(now_ms);
    let from_ms = read("from", parameters.from.as_ref())?;
    let from_ms = from_ms.unwrap_or(to_ms.saturating_sub(DAY_MS));
    if from_ms >= to_ms || to_ms.saturating_sub(from_ms) > MAX_RANGE_MS {
        return Err(Problem::bad_request(
            "from must be before to, and before now, and not more than 31 days before",
        ));
    }
    Ok((from_ms, to_ms))
}

async fn matches(app: &App, rule: &Rule) -> MatchesBody {
    let plan = Plan::new([std::sync::Arc::new(rule.clone())]);
    let hosts = app.live.hosts(None);
    let moment = Moment {
        now_ms: app.clock.now_ms(),
        quiet_since_ms: 0,
    };
    let found = aside(move || {
        let mut memory = SeriesMemory::default();
        scan(&plan, &hosts, &Known::default(), &mut memory, moment)
    })
    .await;
    let left_out: u64 = found.left_out.values().sum();
    let present = found.sightings.into_iter();
    let present = present.filter(|sighting| sighting.sight == Sight::Present);
    let own = rule.labels.clone();
    let mut matches: Vec<_> = present
        .map(|sighting| MatchBody {
            labels: own.iter().chain(sighting.labels.iter()).collect(),
            value: sighting.value,
        })
        .collect();
    let total = matches.len() + left_out as usize;
    matches.sort_by(|one, other| other.value.total_cmp(&one.value));
    matches.truncate(MAX_SHOWN);
    MatchesBody { total, matches }
}

async fn shown(app: &App, past: &Backtest, from_ms: i64) -> BacktestBody {
    let resolved = past.episodes.iter();
    let resolved = resolved.filter(|episode| episode.resolved_at_ms.is_some());
    let silences: Vec<_> = {
        let inner = app.alerts.lock().await;
        inner.silences.values().cloned().collect()
    };
    let channels = app.delivery.channels();
    let sent = sent(
        &channels,
        &silences,
        &past.episodes,
        past.until_ms,
        app.alerts.eval_interval_ms,
    );
    BacktestBody {
        from: rfc3339_ms(from_ms),
        to: rfc3339_ms(past.until_ms),
        hosts: past.hosts,
        fired: past.episodes.len(),
        messages: past.episodes.len() + resolved.count(),
        sent: sent
            .into_iter()
            .map(|sent| SentBody {
                channel_id: sent.channel_id,
                name: sent.name,
                alerts: sent.alerts,
                messages: sent.messages,
            })
            .collect(),
        cut_off: past.cut_off.clone(),
        flapping: past.flapping,
        only_pending: past.only_pending,
        episodes: past
            .episodes
            .iter()
            .take(MAX_SHOWN)
            .map(|episode| EpisodeBody {
                labels: episode.labels.clone(),
                active_at: rfc3339_ms(episode.active_at_ms),
                fired_at: rfc3339_ms(episode.fired_at_ms),
                resolved_at: episode.resolved_at_ms.map(rfc3339_ms),
                value: episode.value,
            })
            .collect(),
    }
}
