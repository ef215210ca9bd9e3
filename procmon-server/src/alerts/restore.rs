//! What is read back at the start: rules, alerts, silences, and where the evaluation was.

use std::sync::Arc;

use super::book::Book;
use super::engine::{Inner, KeptRule};
use super::evaluate::Plan;
use super::rule::{Kind, Rule, RuleBody, Source};
use super::silence::{Silence, SilenceText};
use crate::app::App;
use crate::batch::KindSet;
use crate::store::{EventQuery, Position};

/// Batches of the log read at a time, and in all, to find out which programs failed before.
const BATCHES: u32 = 64;
const READS: usize = 200;

pub(super) async fn restore(app: &App, inner: &mut Inner) -> anyhow::Result<()> {
    for row in app.store.rules().await? {
        let read = RuleBody::from_json(row.body.as_bytes());
        match read.and_then(|body| Rule::new(body, Source::Api)) {
            Ok(rule) => {
                let kept = KeptRule {
                    rule: Arc::new(rule),
                    created_ms: row.created_ms,
                    updated_ms: row.updated_ms,
                };
                inner.rules.insert(row.rule_id, kept);
            }
            Err(error) => {
                let rule_id = &row.rule_id;
                tracing::error!(%rule_id, %error, "a stored rule is not understood; it is left out");
            }
        }
    }
    for row in app.store.silences().await? {
        let read =
            serde_json::from_str::<SilenceText>(&row.body).map_err(|error| error.to_string());
        match read.and_then(Silence::new) {
            Ok(silence) => {
                inner.silences.insert(row.silence_id, Arc::new(silence));
            }
            Err(error) => {
                tracing::error!(%error, "a stored silence is not understood; it is left out");
            }
        }
    }
    inner.book = Book::restore(&app.store.alerts().await?);
    let last = app.store.last_evaluation().await?;
    inner.evaluated_ms = last.as_ref().map(|last| last.evaluated_ms);
    let position = last.and_then(|last| Position::from_cursor(&last.event_cursor));
    let newest = *app.store.newest().borrow();
    inner.position = Some(
        position
            .filter(|at| app.store.reaches(*at))
            .unwrap_or(newest),
    );
    inner.quiet_since_ms = app.clock.now_ms();
    Ok(())
}

/// Learns again which programs failed within the windows of rules, up to where the last evaluation had read.
pub(super) async fn look_back(app: &App, inner: &mut Inner) -> anyhow::Result<()> {
    let is_loop = |rule: &&Arc<Rule>| matches!(rule.kind, Kind::CrashLoop { .. });
    let loops: Vec<Arc<Rule>> = inner.plan.rules().iter().filter(is_loop).cloned().collect();
    let windows = loops.iter().map(|rule| match rule.kind {
        Kind::CrashLoop { window_ms, .. } => window_ms,
        _ => 0,
    });
    let (Some(window_ms), Some(mut before)) = (windows.max(), inner.position) else {
        return Ok(());
    };
    let now_ms = app.clock.now_ms();
    let plan = Plan::new(loops);
    let query = EventQuery {
        kinds: KindSet::of_name("exit").map_or(0, |set| set.0),
        ..EventQuery::default()
    };
    let mut read = Vec::new();
    for _ in 0..READS {
        let (batches, next) = app.store.events_before(&query, before, BATCHES).await?;
        let is_old = |received_ms: i64| now_ms.saturating_sub(received_ms) > window_ms;
        let reached = batches
            .last()
            .is_none_or(|oldest| is_old(oldest.received_ms));
        read.extend(batches);
        match next {
            Some(next) if !reached => before = next,
            _ => break,
        }
    }
    for batch in read.iter().rev() {
        inner.events.feed(&plan, &app.live, batch, now_ms);
    }
    Ok(())
}
