//! What a rule looks for, by its kind.

use super::duration::duration;
use super::{AlertEvent, Metric, Operator, RuleBody, RuleError, RuleKind, scope};
use crate::alerts::state::Sight;
use crate::batch::{KIND_NAMES, KindSet};
use crate::live::ProcessView;
use crate::query::{Condition, Row};

/// Fields that stay what they are, unless something changed.
const CHANGEABLE: &[&str] = &[
    "exe",
    "cmdline",
    "name",
    "username",
    "uid",
    "euid",
    "ppid",
    "status",
    "ports",
    "cgroup",
    "container_id",
    "systemd_unit",
    "num_threads",
];
const DEFAULT_WINDOW_MS: i64 = 300_000;
const MIN_WINDOW_MS: i64 = 1_000;
/// What a crash loop or a rate looks back over is kept in memory.
const MAX_WINDOW_MS: i64 = 86_400_000;
const DEFAULT_CRASHES: u32 = 3;
const MAX_CRASHES: u32 = 1_000;

/// A number that a value is compared with, and one that it recovers at.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub operator: Operator,
    pub threshold: f64,
    pub recovery: Option<f64>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Without a metric processes are counted.
    Threshold(Option<&'static Metric>, Bounds),
    Rate {
        metric: &'static Metric,
        bounds: Bounds,
        window_ms: i64,
    },
    Absence,
    Zombie,
    Event {
        kinds: KindSet,
        condition: Condition,
    },
    CrashLoop {
        count: u32,
        window_ms: i64,
        condition: Condition,
    },
    /// The index of a field of processes.
    Change(usize),
    HostDown {
        after_ms: i64,
    },
}

impl Bounds {
    pub fn hold(&self, value: f64) -> bool {
        self.operator.holds(value, self.threshold)
    }

    /// No longer beyond the threshold, and not yet back at where it has recovered.
    pub fn is_between(&self, value: f64) -> bool {
        self.recovery
            .is_some_and(|recovery| self.operator.holds(value, recovery) && !self.hold(value))
    }

    /// What an alert of a value is; `None` where it is not about it.
    pub fn sight(&self, value: Option<f64>) -> Option<Sight> {
        match value {
            None => Some(Sight::Missing),
            Some(value) if self.hold(value) => Some(Sight::Present),
            Some(value) if self.is_between(value) => Some(Sight::Between),
            Some(_) => None,
        }
    }
}

pub(super) fn kind_of(body: &RuleBody) -> Result<Kind, RuleError> {
    let window_ms = || -> Result<i64, RuleError> {
        let window_ms = duration(body.window.as_deref(), "window")?.unwrap_or(DEFAULT_WINDOW_MS);
        if (MIN_WINDOW_MS..=MAX_WINDOW_MS).contains(&window_ms) {
            return Ok(window_ms);
        }
        Err(RuleError::new("window", "must be 1s to 24h"))
    };
    let metric = || match body.metric.as_deref() {
        Some(name) => Metric::of_name(name).map(Some),
        None => Ok(None),
    };
    let counts = body
        .aggregate
        .as_ref()
        .is_some_and(|aggregate| aggregate.function == "count");
    let needed = |metric: Option<&'static Metric>| {
        metric
            .ok_or_else(|| RuleError::new("metric", "is missing, as in \"metric\":\"cpu_percent\""))
    };
    Ok(match body.kind {
        RuleKind::Threshold if counts => Kind::Threshold(None, bounds(body)?),
        RuleKind::Threshold => Kind::Threshold(Some(needed(metric()?)?), bounds(body)?),
        RuleKind::Rate => Kind::Rate {
            metric: needed(metric()?)?,
            bounds: bounds(body)?,
            window_ms: window_ms()?,
        },
        RuleKind::Absence => Kind::Absence,
        RuleKind::Zombie => Kind::Zombie,
        RuleKind::Event => Kind::Event {
            kinds: kinds(&body.types)?,
            condition: scope::condition::<AlertEvent<'_>>(body)?,
        },
        RuleKind::CrashLoop => {
            let count = body.count.unwrap_or(DEFAULT_CRASHES);
            if !(2..=MAX_CRASHES).contains(&count) {
                let message = format!("is {count}; it must be 2 to {MAX_CRASHES}");
                return Err(RuleError::new("count", message));
            }
            Kind::CrashLoop {
                count,
                window_ms: window_ms()?,
                condition: scope::condition::<AlertEvent<'_>>(body)?,
            }
        }
        RuleKind::Change => Kind::Change(field(body)?),
        RuleKind::HostDown => {
            let after_ms = duration(body.after.as_deref(), "after")?.unwrap_or(60_000);
            if after_ms == 0 {
                return Err(RuleError::new("after", "must be more than 0"));
            }
            Kind::HostDown { after_ms }
        }
    })
}

fn bounds(body: &RuleBody) -> Result<Bounds, RuleError> {
    let missing = |key: &str, example: &str| {
        RuleError::new(key, format!("is missing, as in \"{key}\":{example}"))
    };
    let symbol = body.operator.as_deref();
    let operator = Operator::of_symbol(symbol.ok_or_else(|| missing("operator", "\">\""))?)?;
    let threshold = body.threshold.ok_or_else(|| missing("threshold", "80"))?;
    for (key, number) in [("threshold", Some(threshold)), ("recovery", body.recovery)] {
        if number.is_some_and(|number| !number.is_finite()) {
            return Err(RuleError::new(key, "must be a finite number"));
        }
    }
    if let Some(recovery) = body.recovery
        && !operator.recovers_at(threshold, recovery)
    {
        let message = format!(
            "is {recovery}, which is not on the good side of the threshold {threshold}: below it for > and >=, above it for \
             < and <=; == and != have none"
        );
        return Err(RuleError::new("recovery", message));
    }
    Ok(Bounds {
        operator,
        threshold,
        recovery: body.recovery,
    })
}

fn kinds(types: &[String]) -> Result<KindSet, RuleError> {
    if types.is_empty() {
        let message = format!("is missing: one or more of {}", KIND_NAMES.join(", "));
        return Err(RuleError::new("types", message));
    }
    types.iter().try_fold(KindSet::EMPTY, |set, name| {
        let kind = KindSet::of_name(name).ok_or_else(|| {
            let message = format!("{name} is none; there are {}", KIND_NAMES.join(", "));
            RuleError::new("types", message)
        })?;
        Ok(set.union(kind))
    })
}

fn field(body: &RuleBody) -> Result<usize, RuleError> {
    let name = body.field.as_deref().unwrap_or_default();
    let index = ProcessView::fields()
        .iter()
        .position(|field| field.name == name);
    match index {
        Some(index) if CHANGEABLE.contains(&name) => Ok(index),
        _ => {
            let message = format!("is {name:?}; it must be one of {}", CHANGEABLE.join(", "));
            Err(RuleError::new("field", message))
        }
    }
}
