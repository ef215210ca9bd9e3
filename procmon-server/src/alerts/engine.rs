//! The evaluation: every so often all rules are looked at, what became of alerts is written down, and then shown.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::book::{Book, Decision, TOLERATED_INTERVALS};
use super::evaluate::{EventMemory, Found, Moment, Plan, SeriesMemory, scan};
use super::restore;
use super::rule::files::{FileError, RuleFiles};
use super::rule::{Rule, Source};
use super::shown::Shown;
use super::silence::Silence;
use super::state::Step;
use super::telling;
use crate::app::App;
use crate::config::Config;
use crate::delivery::route::Alert;
use crate::error::Problem;
use crate::store::{Evaluation, EventQuery, Position, Routed, StoreError};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// After an evaluation that could not be stored: looking at everything has a price.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Batches of the log read at a time, and reads of one evaluation: what is left is for the next.
const EVENT_BATCHES: u32 = 64;
const EVENT_READS: usize = 1_000;
const EXPIRE_EVERY_MS: i64 = 60_000;

/// All about alerts that requests share.
#[derive(Debug)]
pub struct Alerts {
    pub(super) inner: Mutex<Inner>,
    shown: RwLock<Arc<Shown>>,
    pub(super) eval_interval_ms: i64,
    retention_ms: i64,
    rules_dir: Option<PathBuf>,
}

/// What changes with rules and evaluations, one of which there is at a time.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) rules: BTreeMap<String, KeptRule>,
    pub(super) files: RuleFiles,
    pub(super) silences: BTreeMap<String, Arc<Silence>>,
    pub(super) book: Book,
    pub(super) plan: Arc<Plan>,
    pub(super) series: SeriesMemory,
    pub(super) events: EventMemory,
    pub(super) evaluated_ms: Option<i64>,
    /// How far the log of events was read.
    pub(super) position: Option<Position>,
    pub(super) quiet_since_ms: i64,
    expired_ms: i64,
}

/// A rule of the API, and when it was written.
#[derive(Clone, Debug)]
pub struct KeptRule {
    pub rule: Arc<Rule>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Inner {
    /// Rules of files count more than those of the API with the same id.
    pub(super) fn all_rules(&self) -> BTreeMap<String, KeptRule> {
        let mut all = self.rules.clone();
        for (id, rule) in self.files.rules() {
            let kept = KeptRule {
                rule,
                created_ms: 0,
                updated_ms: 0,
            };
            all.insert(id, kept);
        }
        all
    }

    /// Those of the API whose ids files have taken.
    pub(super) fn hidden_rules(&self) -> HashSet<String> {
        let files = self.files.rules();
        let hidden = self.rules.keys().filter(|id| files.contains_key(*id));
        hidden.cloned().collect()
    }

    /// After rules changed.
    pub(super) fn replan(&mut self) {
        let rules = self.all_rules();
        // What was remembered for a rule that looks at something else now, or looked at nothing for a while, means nothing.
        let before = self.plan.rules().iter();
        let before: HashMap<&str, &Rule> = before.map(|rule| (rule.id.as_str(), &**rule)).collect();
        let goes_on = |id: &str| {
            let rule = rules.get(id).map(|kept| &kept.rule);
            let rule = rule.filter(|rule| rule.enabled);
            rule.is_some_and(|rule| before.get(id).is_some_and(|old| old.looks_as(rule)))
        };
        self.series.retain_rules(goes_on);
        self.events.retain_rules(goes_on);
        self.plan = Arc::new(Plan::new(rules.into_values().map(|kept| kept.rule)));
    }
}

impl Alerts {
    pub fn new(config: &Config) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            inner: Mutex::default(),
            shown: RwLock::default(),
            eval_interval_ms: millis(config.eval_interval),
            retention_ms: millis(config.alert_retention),
            rules_dir: config.rules_dir.clone(),
        }
    }

    /// What was decided last.
    pub fn shown(&self) -> Arc<Shown> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shown)
    }

    /// Shows rules, silences and alerts as they are now.
    pub(super) fn show(&self, inner: &Inner, evaluation: Option<(&Found, Duration)>) {
        let before = self.shown();
        let shown = Shown::new(inner, &before, evaluation);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }

    pub fn file_errors(&self) -> Vec<FileError> {
        self.shown().file_errors.clone()
    }

    pub(super) async fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().await
    }

    async fn refresh_files(&self, inner: &mut Inner) {
        let Some(folder) = self.rules_dir.clone() else {
            return;
        };
        let mut files = std::mem::take(&mut inner.files);
        let (files, changed) = aside(move || {
            let changed = files.refresh(&folder);
            (files, changed)
        })
        .await;
        inner.files = files;
        if changed {
            inner.replan();
        }
    }

    fn is_due(&self, inner: &Inner, now_ms: i64) -> bool {
        inner.evaluated_ms.is_none_or(|evaluated_ms| {
            now_ms < evaluated_ms || now_ms - evaluated_ms >= self.eval_interval_ms
        })
    }
}

/// Reads back what was before the start. Evaluations begin where the last one ended.
pub async fn restore(app: &App) -> anyhow::Result<()> {
    let mut inner = app.alerts.lock().await;
    restore::restore(app, &mut inner).await?;
    app.alerts.refresh_files(&mut inner).await;
    inner.replan();
    restore::look_back(app, &mut inner).await?;
    app.alerts.show(&inner, None);
    Ok(())
}

/// Runs until the shutdown. A failure is logged and tried again: none of this may stop the server, but that another one has
/// taken its database.
pub async fn run(app: App, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        let mut inner = app.alerts.lock().await;
        if !app.alerts.is_due(&inner, app.clock.now_ms()) {
            continue;
        }
        match evaluate(&app, &mut inner).await {
            Ok(()) => failed = false,
            Err(error @ StoreError::Taken) => {
                return Err(error).context("rules are no longer evaluated here");
            }
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "rules cannot be evaluated; it is tried again, and nothing was told to anybody");
                }
                ticks.reset_after(FAILED_PAUSE);
            }
        }
    }
}

/// One evaluation. It is as if it had not been until everything that it decided is stored.
async fn evaluate(app: &App, inner: &mut Inner) -> Result<(), StoreError> {
    let began = Instant::now();
    app.alerts.refresh_files(inner).await;
    let now_ms = app.clock.now_ms();
    let most_ms = TOLERATED_INTERVALS * app.alerts.eval_interval_ms;
    let step = Step::after(inner.evaluated_ms, now_ms, most_ms);
    if step.is_disturbed() {
        inner.quiet_since_ms = now_ms;
    }
    read_events(app, inner, now_ms).await?;
    let found = look(app, inner, now_ms).await;
    let decision = inner
        .book
        .decide(&inner.plan, &found, &step, app.alerts.eval_interval_ms);
    let views = telling::views(&decision, &inner.plan);
    let silences: Vec<_> = inner.silences.values().cloned().collect();
    let is_quiet = |alert: &Alert<'_>| telling::is_silenced(&silences, alert, now_ms);
    let routed = app.delivery.decide(&views, &is_quiet);
    commit(app, inner, &decision, &routed, now_ms).await?;
    app.delivery.committed(&routed, &views);
    inner.book.apply(decision);
    inner.events.settle();
    inner.series.settle();
    inner.evaluated_ms = Some(now_ms);
    app.alerts.show(inner, Some((&found, began.elapsed())));
    expire(app, inner, now_ms).await
}

/// Reads on in the log of events, where rules want to know of them.
async fn read_events(app: &App, inner: &mut Inner, now_ms: i64) -> Result<(), StoreError> {
    let newest = *app.store.newest().borrow();
    let mut position = match inner.position {
        Some(position) if inner.plan.reads_events() && app.store.reaches(position) => position,
        _ => newest,
    };
    let query = EventQuery {
        kinds: inner.plan.wanted_kinds().0,
        ..EventQuery::default()
    };
    for _ in 0..EVENT_READS {
        if position >= newest {
            break;
        }
        let batches = app
            .store
            .events_after(&query, position, EVENT_BATCHES)
            .await?;
        let Some(last) = batches.last() else {
            position = newest;
            break;
        };
        position = Position::after_batch(last.slice, last.batch);
        let (plan, live) = (Arc::clone(&inner.plan), Arc::clone(&app.live));
        let mut events = std::mem::take(&mut inner.events);
        inner.events = aside(move || {
            events.read_ahead(&plan, &batches);
            for batch in &batches {
                events.feed(&plan, &live, batch, now_ms);
            }
            events
        })
        .await;
        // Also when the rest of this evaluation fails: what was taken in is not taken in again.
        inner.position = Some(position);
    }
    inner.position = Some(position);
    Ok(())
}

async fn look(app: &App, inner: &mut Inner, now_ms: i64) -> Found {
    let plan = Arc::clone(&inner.plan);
    let known = inner.book.known(&plan);
    let hosts = app.live.hosts(None);
    let moment = Moment {
        now_ms,
        quiet_since_ms: inner.quiet_since_ms,
    };
    let mut series = std::mem::take(&mut inner.series);
    let (mut found, series) = aside(move || {
        let found = scan(&plan, &hosts, &known, &mut series, moment);
        (found, series)
    })
    .await;
    inner.series = series;
    inner.events.find(&inner.plan, now_ms, &mut found);
    found
}

/// Away from the threads that serve everybody.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Alerts, transitions and what is told of them, in one transaction.
async fn commit(
    app: &App,
    inner: &Inner,
    decision: &Decision,
    routed: &Routed,
    now_ms: i64,
) -> Result<(), StoreError> {
    let idle = decision.transitions.is_empty()
        && decision.ended.is_empty()
        && inner.book.alerts.is_empty()
        && !inner.plan.reads_events();
    if idle {
        return Ok(());
    }
    let changed = decision.alerts.iter().filter(|(_, _, changed)| *changed);
    let evaluation = Evaluation {
        evaluated_ms: now_ms,
        event_cursor: inner.position.map_or_else(String::new, Position::to_cursor),
        alerts: changed.map(|(_, alert, _)| alert.to_stored()).collect(),
        ended: decision.ended.clone(),
        transitions: decision
            .transitions
            .iter()
            .map(super::alert::Transition::to_stored)
            .collect(),
        routed: routed.clone(),
    };
    app.store.commit_evaluation(&evaluation).await
}

async fn expire(app: &App, inner: &mut Inner, now_ms: i64) -> Result<(), StoreError> {
    if (now_ms - inner.expired_ms).abs() < EXPIRE_EVERY_MS {
        return Ok(());
    }
    inner.expired_ms = now_ms;
    let before_ms = now_ms.saturating_sub(app.alerts.retention_ms);
    app.store.expire_alerts(before_ms).await?;
    inner
        .silences
        .retain(|_, silence| silence.text.ends_ms >= before_ms);
    Ok(())
}

/// What a request may not change.
pub(super) fn check_writable(inner: &Inner, rule_id: &str) -> Result<(), Problem> {
    let files = inner.files.rules();
    match files.get(rule_id).map(|rule| &rule.source) {
        Some(Source::File(path)) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Err(Problem::conflict(format!(
                "rule {rule_id} is written in the file {name}; change it there"
            )))
        }
        _ => Ok(()),
    }
}
