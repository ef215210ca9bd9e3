//! What a rule may be called, which keys it may have, and its labels.

use super::{RuleBody, RuleError, RuleKind, name_of};
use crate::alerts::labels::{LabelSet, is_label_name, stable_hash};

const MAX_ID_BYTES: usize = 64;
const MAX_NAME_BYTES: usize = 256;
/// Labels and annotations of one rule, each.
const MAX_PAIRS: usize = 32;
const MAX_LABEL_BYTES: usize = 1024;
pub(super) const NAME_RULE: &str =
    "is not a name: letters, digits and _ are accepted, with a letter first";

pub(super) fn id_of(body: &RuleBody) -> Result<String, RuleError> {
    let Some(id) = body.id.as_deref().filter(|id| !id.is_empty()) else {
        // The same rule sent again is the same rule.
        let text = serde_json::to_string(body).unwrap_or_default();
        return Ok(format!("rule_{:016x}", stable_hash(&[&text])));
    };
    let accepted = id.len() <= MAX_ID_BYTES
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && id != "preview";
    if accepted {
        return Ok(id.to_owned());
    }
    let message = format!(
        "{id:?} cannot be an id: 1 to {MAX_ID_BYTES} letters, digits, _, - and . are accepted, and preview is taken"
    );
    Err(RuleError::new("id", message))
}

pub(super) fn check_name(body: &RuleBody) -> Result<(), RuleError> {
    if body.name.trim().is_empty() {
        let message = "is missing; it becomes the label alertname";
        return Err(RuleError::new("name", message));
    }
    if body.name.len() > MAX_NAME_BYTES {
        let message = format!("is longer than {MAX_NAME_BYTES} bytes");
        return Err(RuleError::new("name", message));
    }
    Ok(())
}

/// A key that means nothing for the rule's kind is a mistake that would be found too late.
pub(super) fn check_keys(body: &RuleBody) -> Result<(), RuleError> {
    use RuleKind::{Absence, Change, CrashLoop, Event, HostDown, Rate, Threshold, Zombie};
    let compares: &[RuleKind] = &[Threshold, Rate];
    let stand_still: &[RuleKind] = &[Threshold, Rate, Absence, Zombie, Event, CrashLoop, Change];
    for (key, given, kinds) in [
        ("metric", body.metric.is_some(), compares),
        ("operator", body.operator.is_some(), compares),
        ("threshold", body.threshold.is_some(), compares),
        ("recovery", body.recovery.is_some(), compares),
        ("window", body.window.is_some(), &[Rate, CrashLoop]),
        ("types", !body.types.is_empty(), &[Event]),
        ("count", body.count.is_some(), &[CrashLoop]),
        ("field", body.field.is_some(), &[Change]),
        ("after", body.after.is_some(), &[HostDown]),
        ("keep_stale_for", body.keep_stale_for.is_some(), stand_still),
        (
            "aggregate",
            body.aggregate.is_some(),
            &[Threshold, Event, CrashLoop],
        ),
    ] {
        if given && !kinds.contains(&body.kind) {
            let names: Vec<_> = kinds.iter().map(|kind| name_of(*kind)).collect();
            let message = format!(
                "means nothing in a rule of kind {}; it is for {}",
                name_of(body.kind),
                names.join(", ")
            );
            return Err(RuleError::new(key, message));
        }
    }
    let scoped = !body.process_name.is_empty() || body.named_pid().is_some() || body.q.is_some();
    if body.kind == HostDown && scoped {
        let message = "host_down is about hosts; choose them with agent_id or agent_labels";
        return Err(RuleError::new("process_name", message));
    }
    let any = [&body.user, &body.container, &body.cgroup];
    if body.kind == Absence && !scoped && any.iter().all(|key| key.is_none()) {
        let message = "absence needs to know of which process: give process_name, q, user, container or cgroup";
        return Err(RuleError::new("process_name", message));
    }
    Ok(())
}

pub(super) fn labels_of(id: &str, body: &RuleBody) -> Result<LabelSet, RuleError> {
    const OURS: &[&str] = &[
        "alertname",
        "rule_id",
        "severity",
        "agent_id",
        "name",
        "pid",
        "process_id",
        "username",
        "container_id",
        "cgroup",
        "systemd_unit",
        "type",
    ];
    for (count, key) in [
        (body.labels.len(), "labels"),
        (body.annotations.len(), "annotations"),
    ] {
        if count > MAX_PAIRS {
            return Err(RuleError::new(key, format!("has more than {MAX_PAIRS}")));
        }
    }
    let mut labels = LabelSet::default();
    for (name, value) in &body.labels {
        let key = format!("labels.{name}");
        if !is_label_name(name) {
            return Err(RuleError::new(key, NAME_RULE));
        }
        if OURS.contains(&name.as_str()) {
            let message = "is a label that alerts have already; severity has a key of its own";
            return Err(RuleError::new(key, message));
        }
        if value.len() > MAX_LABEL_BYTES {
            let message = format!("is longer than {MAX_LABEL_BYTES} bytes");
            return Err(RuleError::new(key, message));
        }
        labels.insert_known(name, Some(value));
    }
    labels.insert("alertname", &body.name);
    labels.insert("rule_id", id);
    labels.insert_known("severity", body.severity.as_deref());
    Ok(labels)
}
