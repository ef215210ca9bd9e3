//! What an evaluation decided, as it is told to channels.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::alert::AlertRow;
use super::book::Decision;
use super::evaluate::Plan;
use super::silence::Silence;
use super::state::AlertState;
use crate::delivery::route::Alert;

/// Everything that fires, and what this evaluation resolved.
pub(super) fn views<'a>(decision: &'a Decision, plan: &Plan) -> Vec<Alert<'a>> {
    let transitions = decision.transitions.iter();
    let transitions: HashMap<&str, &str> = transitions
        .map(|transition| (&*transition.fingerprint, &*transition.id))
        .collect();
    let rules = plan.rules().iter();
    let host_down: HashSet<&str> = rules
        .filter(|rule| rule.is_host_down())
        .map(|rule| rule.id.as_str())
        .collect();
    let alerts = decision.alerts.iter().map(|(_, alert, _)| alert);
    alerts
        .filter_map(|alert| {
            let transition_id = transitions.get(&*alert.fingerprint).copied();
            view(alert, transition_id, host_down.contains(&*alert.rule_id))
        })
        .collect()
}

fn view<'a>(
    alert: &'a AlertRow,
    transition_id: Option<&'a str>,
    host_down: bool,
) -> Option<Alert<'a>> {
    let progress = &alert.progress;
    let resolved_ms = match progress.state {
        AlertState::Firing => None,
        AlertState::Resolved => Some(transition_id.and(progress.resolved_at_ms)?),
        AlertState::Inactive | AlertState::Pending => return None,
    };
    let fired_ms = progress.fired_at_ms?;
    Some(Alert {
        fingerprint: &alert.fingerprint,
        rule_id: &alert.rule_id,
        labels: &alert.labels,
        annotations: &alert.annotations,
        value: alert.value.is_finite().then_some(alert.value),
        active_ms: progress.active_at_ms().unwrap_or(fired_ms),
        fired_ms,
        resolved_ms,
        reason: progress.ending,
        transition_id,
        acknowledged: alert.acknowledged.is_some(),
        stale: progress.is_stale(),
        host_down,
    })
}

/// Whether a silence keeps an alert from being told.
pub(super) fn is_silenced(silences: &[Arc<Silence>], alert: &Alert<'_>, now_ms: i64) -> bool {
    let mut silences = silences.iter();
    silences.any(|silence| silence.silences(alert.labels, now_ms))
}
