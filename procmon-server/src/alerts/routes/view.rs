//! Rules, alerts and transitions as the API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::alerts::rule::{RuleBody, Source};
use crate::alerts::state::{AlertState, Ending};
use crate::alerts::{Acknowledgement, AlertRow, KeptRule, LabelSet, Shown, Transition};
use crate::clock::rfc3339_ms;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RuleView {
    #[serde(flatten)]
    pub rule: RuleBody,
    /// api or file; those of files are changed there.
    pub source: &'static str,
    pub file: Option<String>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    /// What is accepted, and probably not meant.
    pub warnings: Vec<String>,
    /// Alerts that the last evaluation left out, because the rule finds too many or costs too much.
    pub left_out: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RuleList {
    pub rules: Vec<RuleView>,
    /// What is wrong with files of rules; what they said before counts.
    pub file_errors: Vec<String>,
    pub evaluated_at: Option<String>,
    pub evaluation_ms: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AcknowledgementView {
    pub by: String,
    pub comment: String,
    pub at: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    /// Sixteen hexadecimal digits, made of the labels as in Prometheus.
    pub fingerprint: String,
    pub rule_id: String,
    pub state: AlertState,
    pub labels: LabelSet,
    pub annotations: LabelSet,
    /// When its condition held last.
    pub value: f64,
    /// Since when its condition holds.
    pub active_at: Option<String>,
    pub fired_at: Option<String>,
    pub resolved_at: Option<String>,
    /// Why it was resolved.
    pub reason: Option<Ending>,
    pub last_present_at: Option<String>,
    /// Its host is silent: it stays as it is until more is known.
    pub stale: bool,
    pub acknowledged: Option<AcknowledgementView>,
    /// Silences that it is under.
    pub silenced_by: Vec<String>,
    /// Nobody is told of it while another alert says that its host is gone.
    pub inhibited: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AlertList {
    pub alerts: Vec<AlertView>,
    /// On all pages together.
    pub total: usize,
    pub evaluated_at: Option<String>,
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AlertTransition)]
pub struct TransitionView {
    pub id: String,
    pub fingerprint: String,
    pub rule_id: String,
    pub from: AlertState,
    pub to: AlertState,
    pub at: String,
    pub active_at: Option<String>,
    /// Why it is over.
    pub reason: Option<Ending>,
    pub value: f64,
    pub labels: LabelSet,
    pub annotations: LabelSet,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TransitionList {
    pub transitions: Vec<TransitionView>,
    pub next_cursor: Option<String>,
}

impl RuleView {
    pub(super) fn new(kept: &KeptRule, warnings: Vec<String>, shown: &Shown) -> Self {
        let rule = &kept.rule;
        let (source, file) = match &rule.source {
            Source::Api => ("api", None),
            Source::File(path) => ("file", path.file_name()),
        };
        let written = |at_ms: i64| (rule.source == Source::Api).then(|| rfc3339_ms(at_ms));
        Self {
            rule: rule.body.clone(),
            source,
            file: file.map(|name| name.to_string_lossy().into_owned()),
            created_at: written(kept.created_ms),
            updated_at: written(kept.updated_ms),
            warnings,
            left_out: shown.left_out.get(&rule.id).copied().unwrap_or(0),
        }
    }
}

impl AlertView {
    pub(super) fn new(alert: &AlertRow, shown: &Shown, now_ms: i64) -> Self {
        // With the value of now.
        let rule = shown.rule(&alert.rule_id);
        let annotations = match rule.filter(|_| !alert.progress.is_over()) {
            Some(rule) => rule.annotations(&alert.labels, alert.value),
            None => alert.annotations.clone(),
        };
        let progress = &alert.progress;
        let present = (progress.last_present_ms != 0).then_some(progress.last_present_ms);
        Self {
            fingerprint: alert.fingerprint.clone(),
            rule_id: alert.rule_id.clone(),
            state: alert.state(),
            labels: alert.labels.clone(),
            annotations,
            value: alert.value,
            active_at: progress.active_at_ms().map(rfc3339_ms),
            fired_at: progress.fired_at_ms.map(rfc3339_ms),
            resolved_at: progress.resolved_at_ms.map(rfc3339_ms),
            reason: progress.ending,
            last_present_at: present.map(rfc3339_ms),
            stale: progress.is_stale(),
            acknowledged: alert.acknowledged.as_ref().map(acknowledged),
            silenced_by: shown.silenced_by(alert, now_ms),
            inhibited: shown.is_inhibited(alert),
        }
    }
}

fn acknowledged(seen: &Acknowledgement) -> AcknowledgementView {
    AcknowledgementView {
        by: seen.by.clone(),
        comment: seen.comment.clone(),
        at: rfc3339_ms(seen.at_ms),
    }
}

impl From<Transition> for TransitionView {
    fn from(transition: Transition) -> Self {
        Self {
            id: transition.id,
            fingerprint: transition.fingerprint,
            rule_id: transition.rule_id,
            from: transition.from,
            to: transition.to,
            at: rfc3339_ms(transition.at_ms),
            active_at: transition.active_at_ms.map(rfc3339_ms),
            reason: transition.reason,
            value: transition.value,
            labels: transition.labels,
            annotations: transition.annotations,
        }
    }
}
