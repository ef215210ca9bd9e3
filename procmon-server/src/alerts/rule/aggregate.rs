//! What processes are put together by, and how.

use super::kind::Kind;
use super::{AggregateBody, RuleError, RuleKind, name_of};
use crate::live::Common;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    pub function: Function,
    pub by: Vec<GroupLabel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Sum,
    Max,
    Count,
}

/// What processes are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupLabel {
    Agent,
    Of(Common),
}

impl GroupLabel {
    pub const ALL: [(&'static str, Self); 6] = [
        ("agent_id", Self::Agent),
        ("name", Self::Of(Common::Name)),
        ("username", Self::Of(Common::Credentials)),
        ("container_id", Self::Of(Common::Container)),
        ("cgroup", Self::Of(Common::Cgroup)),
        ("systemd_unit", Self::Of(Common::Unit)),
    ];

    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, label)| *label == self);
        found.map_or("", |(name, _)| name)
    }
}

impl Aggregate {
    /// Whether each of its alerts is of one host.
    pub fn is_by_host(&self) -> bool {
        self.by.contains(&GroupLabel::Agent)
    }
}

pub(super) fn aggregate_of(body: &AggregateBody) -> Result<Aggregate, RuleError> {
    let function = match body.function.as_str() {
        "sum" => Function::Sum,
        "max" => Function::Max,
        "count" => Function::Count,
        other => {
            let message = format!("is {other:?}; it must be sum, max or count");
            return Err(RuleError::new("aggregate.function", message));
        }
    };
    let mut by = Vec::new();
    for name in &body.by {
        let found = GroupLabel::ALL.iter().find(|(known, _)| known == name);
        let Some((_, label)) = found else {
            let names = GroupLabel::ALL.map(|(name, _)| name);
            let message = format!("{name} is none; there are {}", names.join(", "));
            return Err(RuleError::new("aggregate.by", message));
        };
        if !by.contains(label) {
            by.push(*label);
        }
    }
    Ok(Aggregate { function, by })
}

pub(super) fn check_aggregate(
    written: RuleKind,
    aggregate: Option<&Aggregate>,
    kind: &Kind,
) -> Result<(), RuleError> {
    let Some(aggregate) = aggregate else {
        return Ok(());
    };
    let about_events = matches!(kind, Kind::Event { .. } | Kind::CrashLoop { .. });
    if about_events && aggregate.function != Function::Count {
        let message = format!("must be count in a rule of kind {}", name_of(written));
        return Err(RuleError::new("aggregate.function", message));
    }
    Ok(())
}
