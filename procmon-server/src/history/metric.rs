//! What can be asked of samples by name, and how it is found in their columns.

use procmon_common::columns::Column;

use crate::error::Problem;
use crate::store::history::{HostSamples, LifeSamples};

/// A figure of a process at each sample.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    source: Source,
    /// Each value is a whole number.
    pub(super) whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A column, in parts of so many to the unit.
    Parts(Column, u32),
    Rss,
    MemoryPercent,
    /// How fast a counter grew since the sample before.
    PerSecond(Column),
}

const fn whole(name: &'static str, column: Column) -> Metric {
    Metric {
        name,
        source: Source::Parts(column, 1),
        whole: true,
    }
}

const fn real(name: &'static str, source: Source) -> Metric {
    Metric {
        name,
        source,
        whole: false,
    }
}

pub(super) static METRICS: [Metric; 17] = [
    real("cpu_percent", Source::Parts(Column::CpuCentipercent, 100)),
    Metric {
        name: "memory_rss",
        source: Source::Rss,
        whole: true,
    },
    real("memory_percent", Source::MemoryPercent),
    whole("num_threads", Column::Threads),
    whole("open_fds", Column::OpenFds),
    whole("net_conns", Column::NetConns),
    whole("read_bytes", Column::ReadBytes),
    whole("write_bytes", Column::WriteBytes),
    real("read_bytes_per_s", Source::PerSecond(Column::ReadBytes)),
    real("write_bytes_per_s", Source::PerSecond(Column::WriteBytes)),
    whole("cpu_time_ms", Column::CpuTimeMs),
    real(
        "short_lived_cpu_percent",
        Source::Parts(Column::ShortLivedCpuCentipercent, 100),
    ),
    whole("voluntary_switches", Column::VoluntarySwitches),
    whole("involuntary_switches", Column::InvoluntarySwitches),
    whole("minor_faults", Column::MinorFaults),
    whole("major_faults", Column::MajorFaults),
    whole("virtual_kib", Column::VirtualKib),
];

/// The seed's metrics: what a series has when none is named.
const DEFAULT: usize = 8;

/// A stretch of samples in which a metric has one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ValueRun {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) value: f64,
    /// The value is of the time since the sample before, and counts for as much as that.
    pub(super) per_time: bool,
}

/// What values are computed with, besides the columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) samples: &'a HostSamples,
    pub(super) columns: &'a [Column],
    pub(super) memory_total_bytes: Option<u64>,
    /// Between two samples that are further apart nobody looked.
    pub(super) silence_ms: i64,
}

/// Metrics by name, separated by commas.
pub(super) fn read(names: Option<&str>) -> Result<Vec<&'static Metric>, Problem> {
    let Some(names) = names else {
        return Ok(METRICS.iter().take(DEFAULT).collect());
    };
    let mut metrics = Vec::new();
    for name in names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let known = METRICS.iter().find(|metric| metric.name == name);
        let metric = known.ok_or_else(|| {
            let all: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
            Problem::bad_request(format!(
                "metric={name} is not known; one or more of: {}",
                all.join(", ")
            ))
        })?;
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    Ok(metrics)
}

/// The columns that some metrics are made of.
pub(super) fn columns(metrics: &[&Metric]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for metric in metrics {
        for column in metric.columns() {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
    }
    columns
}

impl Metric {
    /// Its values are of the time since the sample before.
    pub(super) fn per_time(&self) -> bool {
        matches!(self.source, Source::PerSecond(_))
    }

    fn columns(&self) -> &[Column] {
        match &self.source {
            Source::Parts(column, _) | Source::PerSecond(column) => std::slice::from_ref(column),
            Source::Rss => &[Column::RssKib, Column::RssExtraBytes],
            Source::MemoryPercent => &[
                Column::MemoryMicropercent,
                Column::RssKib,
                Column::RssExtraBytes,
            ],
        }
    }

    /// Its values over the samples of a life, in order; where it is not known there is none.
    pub(super) fn runs(&self, context: &Context<'_>, life: &LifeSamples) -> Vec<ValueRun> {
        let places: Vec<usize> = self
            .columns()
            .iter()
            .filter_map(|wanted| context.columns.iter().position(|known| known == wanted))
            .collect();
        match self.source {
            Source::Parts(_, parts) => combined(life, &places, |values| {
                Some(values[0]? as f64 / f64::from(parts))
            }),
            Source::Rss => combined(life, &places, |values| rss_bytes(values[0], values[1])),
            Source::MemoryPercent => combined(life, &places, |values| {
                if let Some(micropercent) = values[0] {
                    return Some(micropercent as f64 / 1e6);
                }
                let total = context.memory_total_bytes.filter(|total| *total > 0)?;
                Some(rss_bytes(values[1], values[2])? * 100.0 / total as f64)
            }),
            Source::PerSecond(_) => places
                .first()
                .map_or_else(Vec::new, |place| rates(context, life, *place)),
        }
    }
}

fn rss_bytes(kib: Option<i64>, extra_bytes: Option<i64>) -> Option<f64> {
    Some(kib? as f64 * 1024.0 + extra_bytes.unwrap_or(0) as f64)
}

/// A value made of columns, wherever one of them changes.
fn combined(
    life: &LifeSamples,
    places: &[usize],
    value: impl Fn(&[Option<i64>]) -> Option<f64>,
) -> Vec<ValueRun> {
    let changes = |place: &usize| life.columns.get(*place).into_iter().flatten();
    let mut starts: Vec<usize> = places
        .iter()
        .flat_map(changes)
        .map(|(index, _)| *index as usize)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let mut runs = Vec::with_capacity(starts.len());
    let mut values = vec![None; places.len()];
    for (number, first) in starts.iter().enumerate() {
        for (value, place) in values.iter_mut().zip(places) {
            *value = life.value_at(*place, *first);
        }
        let next = starts.get(number + 1).copied().unwrap_or(usize::MAX);
        let last = life.last.min(next - 1);
        if let Some(value) = value(&values).filter(|_| *first <= last) {
            runs.push(ValueRun {
                first: *first,
                last,
                value,
                per_time: false,
            });
        }
    }
    runs
}

/// How fast a counter grew. Over a time in which nobody looked it is not known when it did, and a counter that went back
/// says nothing.
fn rates(context: &Context<'_>, life: &LifeSamples, place: usize) -> Vec<ValueRun> {
    let times = &context.samples.sample_ms;
    let elapsed_ms = |sample: usize| {
        let before = times.get(sample.checked_sub(1)?)?;
        let elapsed_ms = times.get(sample)?.saturating_sub(*before);
        (1..=context.silence_ms)
            .contains(&elapsed_ms)
            .then_some(elapsed_ms)
    };
    let mut rates = Vec::new();
    let mut push = |first: usize, last: usize, value: f64| {
        rates.push(ValueRun {
            first,
            last,
            value,
            per_time: true,
        });
    };
    let mut before = None;
    for run in life.runs(place) {
        let grown = before
            .filter(|(last, _)| *last + 1 == run.first)
            .and_then(|(_, value)| run.value.checked_sub(value))
            .filter(|grown| *grown >= 0);
        if let (Some(grown), Some(elapsed_ms)) = (grown, elapsed_ms(run.first)) {
            push(run.first, run.first, grown as f64 * 1e3 / elapsed_ms as f64);
        }
        let mut quiet_from = run.first + 1;
        for sample in run.first + 1..=run.last {
            if elapsed_ms(sample).is_none() {
                if quiet_from < sample {
                    push(quiet_from, sample - 1, 0.0);
                }
                quiet_from = sample + 1;
            }
        }
        if quiet_from <= run.last {
            push(quiet_from, run.last, 0.0);
        }
        before = Some((run.last, run.value));
    }
    rates
}

/// Samples that are further apart than that have a hole between them: three intervals, and never less than 15 s.
pub(crate) fn silence_ms(sample_ms: &[i64]) -> i64 {
    const INTERVALS: i64 = 3;
    const FLOOR_MS: i64 = 15_000;
    let mut apart: Vec<i64> = sample_ms
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .filter(|apart_ms| *apart_ms > 0)
        .collect();
    if apart.is_empty() {
        return FLOOR_MS;
    }
    let middle = apart.len() / 2;
    let (_, median, _) = apart.select_nth_unstable(middle);
    median.saturating_mul(INTERVALS).max(FLOOR_MS)
}
