//! What processes add up to.

use procmon_common::columns::Column;
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::sum;
use crate::live::ProcessView;

/// What is added up, in the order of [`Figures`].
pub(super) const METRICS: [&str; 10] = [
    "cpu_percent",
    "short_lived_cpu_percent",
    "memory_rss",
    "memory_percent",
    "num_threads",
    "open_fds",
    "net_conns",
    "read_bytes_per_s",
    "write_bytes_per_s",
    "io_per_s",
];

/// Sums or maxima over processes.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Figures {
    pub cpu_percent: Option<f64>,
    pub short_lived_cpu_percent: Option<f64>,
    pub memory_rss: Option<u64>,
    pub memory_percent: Option<f64>,
    pub num_threads: Option<u64>,
    pub open_fds: Option<u64>,
    pub net_conns: Option<u64>,
    pub read_bytes_per_s: Option<f64>,
    pub write_bytes_per_s: Option<f64>,
    pub io_per_s: Option<f64>,
}

/// Sums and maxima that are being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    /// Sum and maximum of each metric.
    figures: [Option<(f64, f64)>; METRICS.len()],
}

/// The metrics of a process, in the order of [`METRICS`].
fn metrics(view: &ProcessView<'_>) -> [Option<f64>; METRICS.len()] {
    let (read, write) = (view.read_bytes_per_s(), view.write_bytes_per_s());
    [
        view.cpu_percent(),
        view.short_lived_cpu_percent(),
        number(view.rss_bytes()),
        view.memory_percent(),
        number(view.metric(Column::Threads)),
        number(view.metric(Column::OpenFds)),
        number(view.metric(Column::NetConns)),
        read,
        write,
        sum(read, write),
    ]
}

/// As expressions see it.
fn number(value: Option<u64>) -> Option<f64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX) as f64)
}

impl Tally {
    pub(super) fn add(&mut self, view: &ProcessView<'_>) {
        self.count += 1;
        for (figure, value) in self.figures.iter_mut().zip(metrics(view)) {
            let Some(value) = value else { continue };
            let (sum, max) = figure.unwrap_or((0.0, f64::NEG_INFINITY));
            *figure = Some((sum + value, max.max(value)));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (figure, other) in self.figures.iter_mut().zip(other.figures) {
            *figure = match (*figure, other) {
                (Some((sum, max)), Some((more, other_max))) => {
                    Some((sum + more, max.max(other_max)))
                }
                (known, other) => known.or(other),
            };
        }
    }

    pub(super) fn sum(&self, metric: usize) -> Option<f64> {
        let (sum, _) = (*self.figures.get(metric)?)?;
        // Sums of hundredths are hundredths.
        Some((sum * 1000.0).round() / 1000.0)
    }

    pub(super) fn max(&self, metric: usize) -> Option<f64> {
        let (_, max) = (*self.figures.get(metric)?)?;
        Some(max)
    }

    pub(super) fn sums(&self) -> Figures {
        Figures::new(|metric| self.sum(metric))
    }

    pub(super) fn maxima(&self) -> Figures {
        Figures::new(|metric| self.max(metric))
    }
}

impl Figures {
    fn new(of: impl Fn(usize) -> Option<f64>) -> Self {
        let whole = |metric| of(metric).map(|value| value as u64);
        Self {
            cpu_percent: of(0),
            short_lived_cpu_percent: of(1),
            memory_rss: whole(2),
            memory_percent: of(3),
            num_threads: whole(4),
            open_fds: whole(5),
            net_conns: whole(6),
            read_bytes_per_s: of(7),
            write_bytes_per_s: of(8),
            io_per_s: of(9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Row;

    #[test]
    fn metrics_are_fields() {
        let known = ProcessView::fields();
        for metric in METRICS {
            assert!(known.iter().any(|field| field.name == metric), "{metric}");
        }
    }
}
