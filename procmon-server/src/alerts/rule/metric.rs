//! The metrics that rules compare, and how. A new one is a line here.

use procmon_common::columns::Column;

use super::RuleError;
use crate::live::ProcessView;

/// A number of a process.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub get: fn(&ProcessView<'_>) -> Option<f64>,
}

macro_rules! column {
    ($name:literal, $column:ident) => {
        Metric {
            name: $name,
            get: |view| view.metric(Column::$column).map(|value| value as f64),
        }
    };
}

macro_rules! computed {
    ($name:literal, $get:expr) => {
        Metric {
            name: $name,
            get: $get,
        }
    };
}

pub static METRICS: [Metric; 18] = [
    computed!("cpu_percent", |view| view.cpu_percent()),
    computed!("memory_rss", |view| view
        .rss_bytes()
        .map(|bytes| bytes as f64)),
    computed!("memory_percent", |view| view.memory_percent()),
    column!("num_threads", Threads),
    column!("open_fds", OpenFds),
    column!("net_conns", NetConns),
    column!("read_bytes", ReadBytes),
    column!("write_bytes", WriteBytes),
    computed!("read_bytes_per_s", |view| view.read_bytes_per_s()),
    computed!("write_bytes_per_s", |view| view.write_bytes_per_s()),
    computed!("io_per_s", |view| {
        let (read, write) = (view.read_bytes_per_s(), view.write_bytes_per_s());
        read.or(write)
            .map(|_| read.unwrap_or(0.0) + write.unwrap_or(0.0))
    }),
    column!("cpu_time_ms", CpuTimeMs),
    computed!("short_lived_cpu_percent", |view| view
        .short_lived_cpu_percent()),
    column!("voluntary_switches", VoluntarySwitches),
    column!("involuntary_switches", InvoluntarySwitches),
    column!("minor_faults", MinorFaults),
    column!("major_faults", MajorFaults),
    column!("virtual_kib", VirtualKib),
];

impl Metric {
    pub(super) fn of_name(name: &str) -> Result<&'static Self, RuleError> {
        METRICS
            .iter()
            .find(|metric| metric.name == name)
            .ok_or_else(|| {
                let names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
                let nearest = crate::query::nearest(name, names.iter().copied());
                let hint = nearest.map_or_else(
                    || ".".to_owned(),
                    |nearest| format!("; did you mean {nearest}?"),
                );
                RuleError::new(
                    "metric",
                    format!(
                        "there is no metric {name}{hint} Metrics are: {}",
                        names.join(", ")
                    ),
                )
            })
    }
}

/// How a value is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Operator {
    pub(super) fn of_symbol(symbol: &str) -> Result<Self, RuleError> {
        Ok(match symbol {
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            other => {
                return Err(RuleError::new(
                    "operator",
                    format!("is {other:?}; it must be >, >=, <, <=, == or !="),
                ));
            }
        })
    }

    #[expect(
        clippy::float_cmp,
        reason = "an operator means what it says; counts are whole"
    )]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }

    /// Whether more of it can only make it hold.
    pub fn is_upward(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    pub fn is_downward(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    /// Whether a recovery threshold is on the side where nothing is wrong.
    pub(super) fn recovers_at(self, threshold: f64, recovery: f64) -> bool {
        match self {
            Self::Greater | Self::GreaterOrEqual => recovery <= threshold,
            Self::Less | Self::LessOrEqual => recovery >= threshold,
            Self::Equal | Self::NotEqual => false,
        }
    }
}
