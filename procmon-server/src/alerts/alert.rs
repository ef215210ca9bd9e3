//! Alerts as they are kept and told.

use serde::{Deserialize, Serialize};

use super::evaluate::Subject;
use super::labels::{LabelSet, stable_hash};
use super::rule::Rule;
use super::state::{AlertState, Change, Ending, Progress};
use crate::store::{StoredAlert, StoredTransition};

/// An alert that is pending, that fires, or that was resolved a moment ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    pub fingerprint: String,
    pub rule_id: String,
    /// What tells it apart from others of its rule.
    pub subject: LabelSet,
    pub labels: LabelSet,
    /// As they were when it last changed.
    #[serde(default)]
    pub annotations: LabelSet,
    pub progress: Progress,
    /// When it was seen last.
    pub value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
}

/// Somebody saw it. It holds until the alert is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub by: String,
    #[serde(default)]
    pub comment: String,
    pub at_ms: i64,
}

/// What became of an alert: kept for the history, and told to whoever wants to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The same for the same decision, however often it is made.
    pub id: String,
    pub fingerprint: String,
    pub rule_id: String,
    pub from: AlertState,
    pub to: AlertState,
    pub at_ms: i64,
    /// Since when its condition holds.
    pub active_at_ms: Option<i64>,
    /// Of one that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Ending>,
    pub value: f64,
    pub labels: LabelSet,
    pub annotations: LabelSet,
}

impl AlertRow {
    pub fn new(rule: &Rule, subject: &Subject, labels: &LabelSet) -> Self {
        let own = rule.labels.iter();
        let labels: LabelSet = own.chain(labels.iter()).collect();
        Self {
            fingerprint: labels.fingerprint(),
            rule_id: rule.id.clone(),
            subject: subject.to_labels(),
            labels,
            annotations: LabelSet::default(),
            progress: Progress::default(),
            value: 0.0,
            acknowledged: None,
        }
    }

    pub fn state(&self) -> AlertState {
        self.progress.state
    }

    /// Whether something of it has to be written down again.
    pub fn differs(&self, kept: &Self) -> bool {
        self.progress.differs(&kept.progress) || self.acknowledged != kept.acknowledged
    }

    pub fn transition(&self, change: Change, active_at_ms: Option<i64>, at_ms: i64) -> Transition {
        // One alert goes into a state once from the moment its condition held. A pending alert that ends has no other moment.
        let began_ms = active_at_ms.unwrap_or(at_ms).to_string();
        let to = name(change.to);
        let hash = stable_hash(&[&self.fingerprint, &began_ms, &to]);
        Transition {
            id: format!("{}-{hash:016x}", self.fingerprint),
            fingerprint: self.fingerprint.clone(),
            rule_id: self.rule_id.clone(),
            from: change.from,
            to: change.to,
            at_ms,
            active_at_ms,
            reason: change.ending,
            value: self.value,
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
        }
    }

    pub fn to_stored(&self) -> StoredAlert {
        StoredAlert {
            fingerprint: self.fingerprint.clone(),
            rule_id: self.rule_id.clone(),
            body: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

impl Transition {
    /// What is kept of it; one that cannot be read is told about and left out.
    pub fn of_row((number, body): &(i64, String)) -> Option<Self> {
        match serde_json::from_str(body) {
            Ok(transition) => Some(transition),
            Err(error) => {
                tracing::error!(number, %error, "a stored change of an alert cannot be read");
                None
            }
        }
    }

    pub fn to_stored(&self) -> StoredTransition {
        StoredTransition {
            transition_id: self.id.clone(),
            fingerprint: self.fingerprint.clone(),
            rule_id: self.rule_id.clone(),
            agent_id: self.labels.get("agent_id").map(str::to_owned),
            process_id: self.labels.get("process_id").map(str::to_owned),
            to_state: name(self.to),
            at_ms: self.at_ms,
            body: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// As it is written.
fn name(state: AlertState) -> String {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    }
    .to_owned()
}
