//! A rule as it is written, in JSON or YAML. The seed's rules are such rules.

use std::collections::BTreeMap;

use procmon_common::config::unknown_key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RuleError;

/// A rule of alerts. What a key may be depends on `kind`; the answer to a wrong one explains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleBody {
    /// Letters, digits, `_`, `-` and `.`. Made when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The label `alertname`.
    pub name: String,
    /// `threshold` when left out.
    pub kind: RuleKind,
    /// Which processes: the name, a pattern with `*` and `?`, or a regular expression between slashes. Empty is any.
    pub process_name: String,
    /// 0 is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// User name or uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Beginning of the container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Part of the cgroup's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Which hosts: a name or a pattern, as `process_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Labels that the host's agent must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agent_labels: BTreeMap<String, String>,
    /// An expression over the fields of a process, or for `event` and `crash_loop` of an event, and over `ancestors`: the names of the
    /// processes above it, the parent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// `>`, `>=`, `<`, `<=`, `==` or `!=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// For `rate` per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// An alert that fires ends when this is no longer exceeded; `threshold` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<f64>,
    /// Of `rate` and `crash_loop`: over how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Of `event`: exec, exit, fork, `io_slow`, oom, loss.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Of `crash_loop`: so many failed exits within `window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Of `change`: a field of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Of `host_down`: silent for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// One alert for many processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<AggregateBody>,
    /// Its condition has to hold for so long before it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#for: Option<String>,
    /// The same as `for`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// It fires for so long after its condition held last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    /// After its host was silent for so long an alert is over; 24h when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_stale_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Templates as Prometheus has them: `{{ $labels.name }}`, `{{ $value | humanize }}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// A metric beyond a number.
    #[default]
    Threshold,
    /// A metric that grows, or falls, faster than a number per second.
    Rate,
    /// No process of these.
    Absence,
    /// A process that ended and is not waited for.
    Zombie,
    /// Something that happened.
    Event,
    /// The same program fails again and again.
    CrashLoop,
    /// A field of a process is another than before.
    Change,
    /// An agent is silent.
    HostDown,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateBody {
    /// sum, max or count.
    pub function: String,
    /// name, username, `container_id`, cgroup, `systemd_unit`, `agent_id`; none is one alert for all.
    #[serde(default)]
    pub by: Vec<String>,
}

const KEYS: &[&str] = &[
    "id",
    "name",
    "kind",
    "process_name",
    "pid",
    "user",
    "container",
    "cgroup",
    "agent_id",
    "agent_labels",
    "q",
    "metric",
    "operator",
    "threshold",
    "recovery",
    "window",
    "types",
    "count",
    "field",
    "after",
    "aggregate",
    "for",
    "duration",
    "keep_firing_for",
    "keep_stale_for",
    "severity",
    "labels",
    "annotations",
    "enabled",
];

/// What the API shows of a rule besides what was written: it may be sent back, and says nothing.
const SHOWN: &[&str] = &[
    "source",
    "file",
    "created_at",
    "updated_at",
    "warnings",
    "left_out",
];

impl RuleBody {
    /// From JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, RuleError> {
        let value = serde_json::from_slice(json);
        let value =
            value.map_err(|error| RuleError::new("body", format!("is not JSON: {error}")))?;
        let mut value: serde_json::Value = value;
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|key, _| !SHOWN.contains(&key.as_str()));
        }
        Self::from_value(value)
    }

    /// No process has the pid 0: it is what a pid that was left out becomes in some languages.
    pub fn named_pid(&self) -> Option<u32> {
        self.pid.filter(|pid| *pid != 0)
    }

    /// From an entry of a YAML file, which was read already.
    pub fn from_value(value: serde_json::Value) -> Result<Self, RuleError> {
        if !value.is_object() {
            let message = "must be an object with the keys of one rule";
            return Err(RuleError::new("body", message));
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            explain(&path, &error.into_inner().to_string())
        })
    }
}

/// The deserializer's words, for people who never heard of it.
fn explain(path: &str, message: &str) -> RuleError {
    let key = if path == "." { "body" } else { path };
    if let Some((_, rest)) = message.split_once("unknown field `")
        && let Some((name, _)) = rest.split_once('`')
    {
        let known = if path.starts_with("aggregate") {
            &["function", "by"]
        } else {
            KEYS
        };
        return RuleError::new(name, unknown_key(name, known));
    }
    RuleError::new(key, message.replace('`', ""))
}
