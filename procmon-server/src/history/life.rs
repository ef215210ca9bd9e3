//! A whole life: everything that is kept of one process, put together.

use std::ops::ControlFlow;
use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;

use super::ancestors::ancestors;
use super::host::PastHost;
use super::life_events::{About, for_each_event};
use super::metric::{self, METRICS, Metric};
use super::range::Range;
use super::series::raw_points;
use super::view::PointBody;
use crate::alerts::Transition;
use crate::app::App;
use crate::batch::{EventKind, Life};
use crate::error::Problem;
use crate::events::EventBody;
use crate::processes::ProcessBody;
use crate::store::TransitionQuery;
use crate::store::history::{HostSamples, LifeFilter};

/// Samples of the end of a life that are shown.
const LAST_SAMPLES: usize = 60;
/// Events of one life that are shown.
const MAX_EVENTS: usize = 1_000;
/// Changes of its alerts that are shown, the newest.
const MAX_TRANSITIONS: u32 = 100;
/// A start that is computed from the boot time is about as exact.
const START_SLACK_MS: i64 = 5_000;

/// What was found of a life.
pub(super) struct Found {
    pub(super) id: ProcessId,
    /// As it was last.
    pub(super) life: Arc<Life>,
    /// Its values now, while it runs.
    pub(super) process: Option<ProcessBody>,
    /// Each with the time from which it was run, by the host's clock.
    pub(super) images: Vec<(Option<i64>, Arc<Life>)>,
    pub(super) ancestors: Vec<Arc<Life>>,
    pub(super) end: Option<(i64, EventBody)>,
    pub(super) oom: Option<EventBody>,
    pub(super) events: Vec<EventBody>,
    pub(super) events_complete: bool,
    pub(super) alerts: Vec<Transition>,
    pub(super) last_samples: Vec<PointBody>,
    /// When it was last in a sample, and whether the host was sampled after that.
    pub(super) last_sampled_ms: Option<i64>,
    pub(super) sampled_without: bool,
}

/// Everything about a process of a host; none when nothing of it is kept.
pub(super) async fn find(
    app: &App,
    host: &PastHost,
    id: ProcessId,
) -> Result<Option<Found>, Problem> {
    let running = running(app, host, id);
    let running_since_ms = running
        .as_ref()
        .and_then(|(life, _)| life.started_ns)
        .map(|ns| ns.div_euclid(1_000_000));
    let began_ms = running_since_ms
        .or_else(|| host.started_ms(id))
        .map_or(0, |ms| ms.saturating_sub(START_SLACK_MS));
    let whole = Range {
        from_ms: began_ms,
        to_ms: host.now_ms.saturating_add(1),
    };
    let sampled = sampled(app, host, id, whole, running.is_some()).await?;
    let mut traces = Traces::default();
    traces.read(app, host, id, whole, &sampled).await?;
    let (current, process) =
        running.map_or((None, None), |(life, process)| (Some(life), Some(process)));
    let in_samples = sampled.lives.first().map(|life| Arc::clone(&life.life));
    let newest = current.or_else(|| traces.last_life.clone()).or(in_samples);
    let Some(life) = newest else {
        return Ok(None);
    };
    let first_ms = sampled
        .lives
        .first()
        .and_then(|sampled_life| sampled.sample_ms.get(sampled_life.first).copied());
    let started_ms = life.started_ns.map(|ns| ns.div_euclid(1_000_000));
    let around_ms = match (started_ms, first_ms) {
        // Of a time before anything was kept only the first sample can tell.
        (Some(started_ms), Some(first_ms)) if life.baseline => started_ms.max(first_ms),
        (Some(started_ms), _) => started_ms,
        (None, first_ms) => first_ms.unwrap_or(host.now_ms),
    };
    let ancestors = ancestors(app, host, &life, around_ms).await?;
    let last_sampled_ms = last_sampled_ms(&sampled);
    let last_samples = last_samples(app, host, id, last_sampled_ms).await?;
    let alerts = transitions(app, host, id).await?;
    Ok(Some(Found {
        id,
        alerts,
        images: images(&life, &traces),
        life,
        process: process.filter(|_| traces.end.is_none()),
        ancestors,
        end: traces.end,
        oom: traces.oom,
        events: traces.events,
        events_complete: traces.complete,
        last_samples,
        last_sampled_ms,
        sampled_without: sampled
            .lives
            .first()
            .is_some_and(|life| life.last + 1 < sampled.sample_ms.len()),
    }))
}

async fn transitions(
    app: &App,
    host: &PastHost,
    id: ProcessId,
) -> Result<Vec<Transition>, Problem> {
    let query = TransitionQuery {
        agent_id: Some(host.agent_id.to_string()),
        process_id: Some(id.to_string()),
        ..TransitionQuery::default()
    };
    let rows = app.store.transitions(&query, MAX_TRANSITIONS).await?;
    Ok(rows.iter().rev().filter_map(Transition::of_row).collect())
}

fn running(app: &App, host: &PastHost, id: ProcessId) -> Option<(Arc<Life>, ProcessBody)> {
    let entry = app.live.get(&host.agent_id)?;
    let state = entry.read();
    let mut views = state.views(app.clock.now_ms());
    let view = views.find(|view| view.id == id)?;
    Some((Arc::clone(&view.process.life), ProcessBody::new(&view)))
}

/// In which samples it was. Of a process that runs the newest ones are enough.
async fn sampled(
    app: &App,
    host: &PastHost,
    id: ProcessId,
    whole: Range,
    runs: bool,
) -> Result<HostSamples, Problem> {
    let lately_ms = host.now_ms.saturating_sub(2 * host.patience_ms);
    let from_ms = if runs {
        whole.from_ms.max(lately_ms)
    } else {
        whole.from_ms
    };
    let range = Range { from_ms, ..whole };
    let query = host.query(range, LifeFilter::Id(id));
    Ok(app.store.samples(&query).await?)
}

fn last_sampled_ms(sampled: &HostSamples) -> Option<i64> {
    let life = sampled.lives.first()?;
    sampled.sample_ms.get(life.last).copied()
}

async fn last_samples(
    app: &App,
    host: &PastHost,
    id: ProcessId,
    last_ms: Option<i64>,
) -> Result<Vec<PointBody>, Problem> {
    let Some(last_ms) = last_ms else {
        return Ok(Vec::new());
    };
    // The patience is three intervals, so that this is about as long as the samples that are shown took.
    let back_ms = host.patience_ms.saturating_mul(LAST_SAMPLES as i64 / 3 + 2);
    let range = Range {
        from_ms: last_ms.saturating_sub(back_ms),
        to_ms: last_ms.saturating_add(1),
    };
    let metrics: Vec<&Metric> = METRICS.iter().collect();
    let mut query = host.query(range, LifeFilter::Id(id));
    query.columns = metric::columns(&metrics);
    query.columns.push(Column::Status);
    let samples = app.store.samples(&query).await?;
    let mut points = raw_points(host, &samples, &query.columns, range)?;
    points.drain(..points.len().saturating_sub(LAST_SAMPLES));
    Ok(points)
}

/// What the events say of a life.
#[derive(Default)]
struct Traces {
    last_life: Option<Arc<Life>>,
    images: Vec<(i64, Arc<Life>)>,
    end: Option<(i64, EventBody)>,
    oom: Option<EventBody>,
    events: Vec<EventBody>,
    complete: bool,
}

impl Traces {
    async fn read(
        &mut self,
        app: &App,
        host: &PastHost,
        id: ProcessId,
        whole: Range,
        sampled: &HostSamples,
    ) -> Result<(), Problem> {
        // After the samples go on without it there is nothing to come but an exit that waited for its totals.
        let gone_ms = sampled
            .lives
            .first()
            .and_then(|life| sampled.sample_ms.get(life.last + 1))
            .map_or(i64::MAX, |ms| ms.saturating_add(host.patience_ms));
        let range = Range {
            to_ms: whole.to_ms.min(gone_ms),
            ..whole
        };
        let mut enough = true;
        let about = About {
            life: Some(id),
            ..About::default()
        };
        let all = for_each_event(
            app,
            &host.agent_id,
            about,
            range,
            |stored, position, event| {
                let Some(life) = event.life.as_ref().filter(|life| life.id == Some(id)) else {
                    return ControlFlow::Continue(());
                };
                self.last_life = Some(Arc::clone(life));
                if self.events.len() == MAX_EVENTS {
                    // The oldest of the many is the least of the loss; the ends of a life stay.
                    self.events.remove(MAX_EVENTS / 2);
                    enough = false;
                }
                let body = EventBody::new(stored, position, event);
                match event.kind {
                    EventKind::Exec => self.images.push((event.ts_ns, Arc::clone(life))),
                    EventKind::Oom(_) => self.oom = Some(body.clone()),
                    EventKind::Exit(_) => self.end = Some((event.ts_ns, body.clone())),
                    _ => {}
                }
                self.events.push(body);
                match event.kind {
                    EventKind::Exit(_) => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            },
        )
        .await?;
        self.complete = all && enough;
        Ok(())
    }
}

/// What it ran, oldest first. An image that no event told of is from before the first that one did.
fn images(life: &Arc<Life>, traces: &Traces) -> Vec<(Option<i64>, Arc<Life>)> {
    let mut images: Vec<(Option<i64>, Arc<Life>)> = Vec::new();
    let sequence = |life: &Life| life.image.as_ref().map(|image| image.seq);
    for (ts_ns, told) in &traces.images {
        images.push((Some(*ts_ns), Arc::clone(told)));
    }
    let known = |images: &[(Option<i64>, Arc<Life>)]| {
        images
            .iter()
            .any(|(_, told)| sequence(told) == sequence(life))
    };
    if life.image.is_some() && !known(&images) {
        let from_the_start = sequence(life) == Some(0);
        let since = life.started_ns.filter(|_| from_the_start);
        let place = if from_the_start { 0 } else { images.len() };
        images.insert(place, (since, Arc::clone(life)));
    }
    images
}
