//! What requests see of rules and alerts: a picture that an evaluation, or a change of a rule, replaces as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::alert::AlertRow;
use super::engine::{Inner, KeptRule};
use super::evaluate::Found;
use super::rule::Rule;
use super::rule::files::FileError;
use super::silence::Silence;

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
        Self {
            rules: inner.all_rules(),
            alerts: inner.book.alerts.values().cloned().collect(),
            silences: inner.silences.values().cloned().collect(),
            file_errors: inner.files.errors().to_vec(),
            evaluated_ms: inner.evaluated_ms,
            took: evaluation.map_or(before.took, |(_, took)| took),
            left_out,
        }
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
