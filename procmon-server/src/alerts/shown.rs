//! What requests see of rules and alerts: a picture that an evaluation, or a change of a rule, replaces as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::alert::AlertRow;
use super::engine::{Inner, KeptRule};
use super::evaluate::Found;
use super::rule::Rule;
use super::rule::files::FileError;
use super::silence::Silence;
use super::state::AlertState;

#[derive(Debug, Default)]
pub struct Shown {
    pub rules: BTreeMap<String, KeptRule>,
    pub alerts: Vec<AlertRow>,
    pub silences: Vec<Arc<Silence>>,
    pub file_errors: Vec<FileError>,
    pub evaluated_ms: Option<i64>,
    /// How long the last evaluation took.
    pub took: Duration,
    /// Of each rule, what the last evaluation left out because it was too much.
    pub left_out: HashMap<String, u64>,
    /// Rules of the API whose ids rules of files have.
    hidden: HashSet<String>,
    /// Hosts of which an alert says that they are gone.
    down: HashSet<String>,
}

impl Shown {
    pub(super) fn new(
        inner: &Inner,
        before: &Self,
        evaluation: Option<(&Found, Duration)>,
    ) -> Self {
        let left_out = match evaluation {
            Some((found, _)) => {
                let counts = found.left_out.iter();
                counts
                    .map(|(index, count)| (inner.plan.rules()[*index].id.clone(), *count))
                    .collect()
            }
            None => before.left_out.clone(),
        };
        let mut shown = Self {
            rules: inner.all_rules(),
            alerts: inner.book.alerts.values().cloned().collect(),
            silences: inner.silences.values().cloned().collect(),
            file_errors: inner.files.errors().to_vec(),
            evaluated_ms: inner.evaluated_ms,
            took: evaluation.map_or(before.took, |(_, took)| took),
            left_out,
            hidden: inner.hidden_rules(),
            down: HashSet::new(),
        };
        let down = shown
            .alerts
            .iter()
            .filter(|alert| alert.state() == AlertState::Firing && shown.says_host_is_down(alert));
        let down = down.filter_map(|alert| alert.labels.get("agent_id"));
        shown.down = down.map(str::to_owned).collect();
        shown
    }

    fn says_host_is_down(&self, alert: &AlertRow) -> bool {
        self.rule(&alert.rule_id)
            .is_some_and(|rule| rule.is_host_down())
    }

    /// Whether it is not told about because its host is gone.
    pub fn is_inhibited(&self, alert: &AlertRow) -> bool {
        let agent_id = alert.labels.get("agent_id");
        agent_id.is_some_and(|agent_id| self.down.contains(agent_id))
            && !self.says_host_is_down(alert)
    }

    /// Whether a rule of a file is shown in the place of one of the API.
    pub fn is_hidden(&self, rule: &Rule) -> bool {
        self.hidden.contains(&rule.id)
    }

    pub fn rule(&self, rule_id: &str) -> Option<&Arc<Rule>> {
        self.rules.get(rule_id).map(|kept| &kept.rule)
    }

    pub fn alert(&self, fingerprint: &str) -> Option<&AlertRow> {
        let mut alerts = self.alerts.iter();
        alerts.find(|alert| alert.fingerprint == fingerprint)
    }

    /// The silences that an alert is under.
    pub fn silenced_by(&self, alert: &AlertRow, now_ms: i64) -> Vec<String> {
        let silences = self.silences.iter();
        silences
            .filter(|silence| silence.silences(&alert.labels, now_ms))
            .map(|silence| silence.text.id.clone())
            .collect()
    }
}
