//! Rules: how people write them, what is accepted, and what they become. What a rule finds is not here.

mod aggregate;
mod body;
mod check;
mod compile;
mod duration;
pub mod files;
mod kind;
mod metric;
mod number;
mod scope;
mod template;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Function, GroupLabel};
pub use body::{AggregateBody, RuleBody, RuleKind};
pub use compile::{Rule, Source};
pub use kind::{Bounds, Kind};
pub use metric::{METRICS, Metric, Operator};
pub use scope::{AlertEvent, AlertProcess, HostScope};
pub use template::Template;

/// Why a rule is refused: which key, what is wrong with it, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct RuleError {
    pub key: String,
    pub message: String,
}

impl RuleError {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// A kind as it is written.
fn name_of(kind: RuleKind) -> String {
    let name = serde_json::to_value(kind).ok();
    name.and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}
