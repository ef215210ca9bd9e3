//! What a rule has to be told of the past, and what the past cannot tell.

use procmon_common::columns::Column;

use crate::alerts::rule::{AlertProcess, Kind, Metric, Rule};
use crate::history::past_columns;
use crate::live::ProcessView;
use crate::query::Row;
use crate::store::history::LifeFilter;

/// What stays the same while a process is the same.
const STAYING: &[&str] = &[
    "agent_id",
    "process_id",
    "pid",
    "name",
    "exe",
    "cmdline",
    "args",
    "username",
    "uid",
    "euid",
    "start_time",
    "cgroup",
    "container_id",
    "systemd_unit",
    "pid_namespace",
    "namespace_pid",
];

/// What is read of each host.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) columns: Vec<Column>,
    pub(super) ports: bool,
    pub(super) lives: LifeFilter,
    /// As in [`crate::store::history::SampleQuery`].
    pub(super) reaching: Vec<(Column, u64)>,
    /// The scope looks at nothing that changes from sample to sample.
    pub(super) settled: bool,
    /// For how long a rule has to have looked before it knows anything.
    pub(super) warm_ms: i64,
    /// How far the host's clock is ahead.
    pub(super) ahead_ms: i64,
}

/// What is to be asked for a rule; `Err` says why the past does not tell.
pub(super) fn asked(rule: &Rule) -> Result<Asked, String> {
    let mut asked = Asked {
        columns: Vec::new(),
        ports: false,
        lives: LifeFilter::All,
        reaching: Vec::new(),
        settled: true,
        warm_ms: 0,
        ahead_ms: 0,
    };
    if !rule.is_about_processes() {
        asked.lives = LifeFilter::None;
        return Ok(asked);
    }
    for field in rule.processes.fields::<AlertProcess<'_>>() {
        asked.add(field)?;
    }
    match &rule.kind {
        Kind::Threshold(Some(metric), _) | Kind::Rate { metric, .. } => {
            asked.add_value(metric.name)?;
        }
        Kind::Zombie => asked.add_value("status")?,
        Kind::Change(field) => {
            let name = ProcessView::fields()
                .get(*field)
                .map_or("", |field| field.name);
            if !STAYING.contains(&name) {
                asked.add_value(name)?;
            }
        }
        _ => {}
    }
    match &rule.kind {
        Kind::Threshold(Some(metric), bounds) if rule.aggregate.is_none() && asked.settled => {
            let lowest = bounds
                .recovery
                .unwrap_or(bounds.threshold)
                .min(bounds.threshold);
            if bounds.operator.is_upward() && lowest > 0.0 {
                asked.reaching = reaching(metric, lowest);
            }
        }
        Kind::Zombie if asked.settled => asked.reaching = vec![(Column::Status, u64::from(b'Z'))],
        Kind::Rate { window_ms, .. } => asked.warm_ms = *window_ms,
        _ => {}
    }
    Ok(asked)
}

impl Asked {
    /// A field of the scope.
    fn add(&mut self, field: &'static str) -> Result<(), String> {
        if STAYING.contains(&field) {
            return Ok(());
        }
        self.settled = false;
        self.add_value(field)
    }

    fn add_value(&mut self, name: &str) -> Result<(), String> {
        let columns = past_columns(name)
            .ok_or_else(|| format!("no past is kept of {name}, which the rule looks at"))?;
        self.ports |= name == "ports";
        for column in columns {
            if !self.columns.contains(&column) {
                self.columns.push(column);
            }
        }
        Ok(())
    }
}

/// How high columns get at least where a metric gets as high; nothing where that is not known.
fn reaching(metric: &Metric, lowest: f64) -> Vec<(Column, u64)> {
    // One less for what is lost to rounding.
    let parts = |parts: f64| (lowest * parts).floor().max(1.0) as u64 - 1;
    match metric.name {
        "cpu_percent" => vec![(Column::CpuCentipercent, parts(100.0))],
        "short_lived_cpu_percent" => vec![(Column::ShortLivedCpuCentipercent, parts(100.0))],
        // Less than a KiB of it is in bytes.
        "memory_rss" => vec![
            (Column::RssKib, parts(1.0 / 1024.0)),
            (Column::RssExtraBytes, 1024),
        ],
        "num_threads" => vec![(Column::Threads, parts(1.0))],
        "open_fds" => vec![(Column::OpenFds, parts(1.0))],
        "net_conns" => vec![(Column::NetConns, parts(1.0))],
        "read_bytes" => vec![(Column::ReadBytes, parts(1.0))],
        "write_bytes" => vec![(Column::WriteBytes, parts(1.0))],
        "cpu_time_ms" => vec![(Column::CpuTimeMs, parts(1.0))],
        _ => Vec::new(),
    }
}
