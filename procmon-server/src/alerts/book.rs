//! The rules and the alerts that there are, and what an evaluation makes of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::alert::{AlertRow, Transition};
use super::evaluate::{Found, Known, Plan, Sighting, Subject};
use super::rule::Rule;
use super::state::{AlertState, Ending, Sight, Step, Timing};
use crate::store::StoredAlert;

/// A resolved alert is shown for so long.
const RESOLVED_FOR_MS: i64 = 900_000;
/// Evaluations, or samples of a host, that may be missed.
pub(super) const TOLERATED_INTERVALS: i64 = 2;

/// Rule and subject: by that an alert is found again.
pub type Key = (Arc<str>, Subject);

/// All alerts.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub alerts: HashMap<Key, AlertRow>,
}

/// What an evaluation decided. Nothing has changed yet.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Alerts as they are now, and whether that has to be written down.
    pub alerts: Vec<(Key, AlertRow, bool)>,
    /// Those that are over, and shown no longer.
    pub gone: Vec<Key>,
    /// Fingerprints that nothing is written down of any more.
    pub ended: Vec<String>,
    pub transitions: Vec<Transition>,
}

impl Book {
    /// What was written down; alerts that cannot be read are told about and left out.
    pub fn restore(stored: &[StoredAlert]) -> Self {
        let mut alerts = HashMap::new();
        for row in stored {
            match serde_json::from_str::<AlertRow>(&row.body) {
                Ok(alert) => {
                    let key = key_of(&alert);
                    // One that is over does not take the place of one that lives.
                    if !alert.progress.is_over() || !alerts.contains_key(&key) {
                        alerts.insert(key, alert);
                    }
                }
                Err(error) => {
                    let fingerprint = &row.fingerprint;
                    tracing::error!(%fingerprint, %error, "a stored alert cannot be read; it begins anew");
                }
            }
        }
        Self { alerts }
    }

    pub fn known(&self, plan: &Plan) -> Known {
        let mut known = Known::default();
        let positions = positions(plan);
        for ((rule_id, subject), alert) in &self.alerts {
            let Some(rule) = positions.get(&**rule_id).copied() else {
                continue;
            };
            // One that is over, or that its rule labels otherwise by now, begins like a new one.
            let current = alert.labels.contains(&plan.rules()[rule].labels);
            if alert.progress.is_over() || !current {
                continue;
            }
            match subject {
                Subject::Process(agent_id, id) => {
                    let of_host = known.processes.entry(Arc::clone(agent_id)).or_default();
                    of_host.entry(*id).or_default().push(rule);
                }
                Subject::Group(labels) => {
                    known.groups.insert((rule, labels.clone()));
                }
            }
        }
        known
    }

    /// What is to become of all alerts, seen or not.
    pub fn decide(
        &self,
        plan: &Plan,
        found: &Found,
        step: &Step,
        eval_interval_ms: i64,
    ) -> Decision {
        let mut decision = Decision::default();
        let mut seen: HashMap<Key, &Sighting> = HashMap::new();
        for sighting in &found.sightings {
            let rule = &plan.rules()[sighting.rule];
            let key = (rule.id.as_str().into(), sighting.subject.clone());
            seen.insert(key, sighting);
        }
        let rules = positions(plan);
        for (key, alert) in &self.alerts {
            let rule = rules
                .get(&*key.0)
                .map(|index| (*index, &plan.rules()[*index]));
            let current = rule.filter(|(_, rule)| alert.labels.contains(&rule.labels));
            let Some((index, rule)) = current else {
                let succeeded = seen
                    .get(key)
                    .is_some_and(|sighting| sighting.sight == Sight::Present);
                end(key, alert, step, succeeded, &mut decision);
                continue;
            };
            let sighting = seen.remove(key);
            let sight = match sighting {
                Some(sighting) => sighting.sight,
                None => unseen(index, rule, &key.1, found),
            };
            // What begins again has the labels of now.
            let again = alert.progress.is_over() && sight == Sight::Present;
            let before = match sighting.filter(|_| again) {
                Some(sighting) => AlertRow {
                    progress: alert.progress.clone(),
                    ..AlertRow::new(rule, &key.1, &sighting.labels)
                },
                None => alert.clone(),
            };
            let value = sighting.map(|sighting| sighting.value);
            let timing = timing(rule, &key.1, found, eval_interval_ms);
            advance(
                key,
                (alert, before),
                rule,
                (sight, value),
                step,
                &timing,
                &mut decision,
            );
        }
        for (key, sighting) in seen {
            if sighting.sight == Sight::Present {
                let rule = &plan.rules()[sighting.rule];
                let fresh = AlertRow::new(rule, &key.1, &sighting.labels);
                let timing = timing(rule, &key.1, found, eval_interval_ms);
                let now = (sighting.sight, Some(sighting.value));
                advance(
                    &key,
                    (&fresh, fresh.clone()),
                    rule,
                    now,
                    step,
                    &timing,
                    &mut decision,
                );
            }
        }
        decision
    }

    /// After the decision is written down.
    pub fn apply(&mut self, decision: Decision) {
        for (key, alert, _) in decision.alerts {
            self.alerts.insert(key, alert);
        }
        for key in decision.gone {
            self.alerts.remove(&key);
        }
    }

    pub fn find(&self, fingerprint: &str) -> Option<(&Key, &AlertRow)> {
        let mut alerts = self.alerts.iter();
        alerts.find(|(_, alert)| alert.fingerprint == fingerprint)
    }
}

/// Where each rule is.
fn positions(plan: &Plan) -> HashMap<&str, usize> {
    let rules = plan.rules().iter().enumerate();
    rules
        .map(|(index, rule)| (rule.id.as_str(), index))
        .collect()
}

fn key_of(alert: &AlertRow) -> Key {
    (
        alert.rule_id.as_str().into(),
        Subject::from_labels(alert.subject.clone()),
    )
}

/// What it means that an alert was not found.
fn unseen(index: usize, rule: &Rule, subject: &Subject, found: &Found) -> Sight {
    if rule.is_host_down() {
        return Sight::Absent;
    }
    let Some(agent_id) = subject.agent_id() else {
        return if found.partial.contains(&index) {
            Sight::Frozen
        } else {
            Sight::Absent
        };
    };
    match found.live.get(agent_id) {
        // Left out because it costs too much.
        Some(_) if found.left_out.contains_key(&index) && found.partial.contains(&index) => {
            Sight::Frozen
        }
        Some(host) if !host.complete && rule.is_about_processes() => Sight::Missing,
        Some(_) => Sight::Absent,
        None => Sight::Frozen,
    }
}

fn timing(rule: &Rule, subject: &Subject, found: &Found, eval_interval_ms: i64) -> Timing {
    let host = subject
        .agent_id()
        .and_then(|agent_id| found.live.get(agent_id));
    let interval_ms = host.map_or(0, |host| host.interval_ms);
    Timing {
        for_ms: rule.for_ms,
        keep_firing_for_ms: rule.keep_firing_for_ms,
        tolerance_ms: TOLERATED_INTERVALS * interval_ms.max(eval_interval_ms),
        keep_stale_for_ms: rule.keep_stale_for_ms,
    }
}

fn advance(
    key: &Key,
    (kept, mut alert): (&AlertRow, AlertRow),
    rule: &Rule,
    (sight, value): (Sight, Option<f64>),
    step: &Step,
    timing: &Timing,
    decision: &mut Decision,
) {
    let active_before_ms = alert.progress.active_at_ms();
    let change = alert.progress.advance(sight, step, timing);
    let shows_value = matches!(sight, Sight::Present | Sight::Between);
    if let Some(value) = value.filter(|value| shows_value && value.is_finite()) {
        alert.value = value;
    }
    if let Some(change) = change {
        alert.annotations = rule.annotations(&alert.labels, alert.value);
        if change.to == AlertState::Resolved {
            alert.acknowledged = None;
        }
        let active_at_ms = alert.progress.active_at_ms().or(active_before_ms);
        let transition = alert.transition(change, active_at_ms, step.at_ms);
        decision.transitions.push(transition);
    }
    settle(key, kept, alert, step, decision);
}

/// Its rule is gone, disabled, or names its alerts otherwise. Then one with other labels may succeed it at once.
fn end(key: &Key, kept: &AlertRow, step: &Step, succeeded: bool, decision: &mut Decision) {
    let mut alert = kept.clone();
    let active_at_ms = alert.progress.active_at_ms();
    if let Some(change) = alert.progress.end(step.at_ms, Ending::Rule) {
        alert.acknowledged = None;
        let transition = alert.transition(change, active_at_ms, step.at_ms);
        decision.transitions.push(transition);
    }
    if succeeded {
        // It is told about, and not written down: its successor has its place.
        decision.ended.push(alert.fingerprint.clone());
        decision.alerts.push((key.clone(), alert, false));
        return;
    }
    settle(key, kept, alert, step, decision);
}

/// Keeps it as it is now, for as long as it is shown.
fn settle(key: &Key, kept: &AlertRow, alert: AlertRow, step: &Step, decision: &mut Decision) {
    let resolved_ms = alert.progress.resolved_at_ms;
    let is_old = resolved_ms.is_some_and(|at_ms| (step.at_ms - at_ms).abs() > RESOLVED_FOR_MS);
    let is_over = match alert.state() {
        AlertState::Inactive => true,
        AlertState::Resolved => is_old,
        AlertState::Pending | AlertState::Firing => false,
    };
    if kept.fingerprint != alert.fingerprint {
        decision.ended.push(kept.fingerprint.clone());
    }
    if is_over {
        decision.gone.push(key.clone());
        decision.ended.push(alert.fingerprint);
        return;
    }
    let changed = alert.differs(kept) || kept.fingerprint != alert.fingerprint;
    decision.alerts.push((key.clone(), alert, changed));
}
