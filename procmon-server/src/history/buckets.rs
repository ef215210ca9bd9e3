//! Values over samples, gathered by steps of time.

use super::metric::ValueRun;
use super::range::Grid;

/// Samples that follow each other and belong to one bucket. A clock that was set back makes more of them than there are
/// buckets; nothing is sorted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) bucket: usize,
}

/// What a bucket has of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    weight: f64,
    weighted_sum: f64,
    /// Samples.
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
}

pub(super) fn stretches(grid: &Grid, sample_ms: &[i64]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, ms) in sample_ms.iter().enumerate() {
        let Some(bucket) = grid.bucket(*ms) else {
            continue;
        };
        match stretches.last_mut() {
            Some(stretch) if stretch.bucket == bucket && stretch.last + 1 == index => {
                stretch.last = index;
            }
            _ => stretches.push(Stretch {
                first: index,
                last: index,
                bucket,
            }),
        }
    }
    stretches
}

/// Calls `each(bucket, first, last)` for the parts of a run of samples, by bucket.
pub(super) fn for_each_part(
    stretches: &[Stretch],
    first: usize,
    last: usize,
    mut each: impl FnMut(usize, usize, usize),
) {
    let begin = stretches.partition_point(|stretch| stretch.last < first);
    let reached = stretches[begin..]
        .iter()
        .take_while(|stretch| stretch.first <= last);
    for stretch in reached {
        each(
            stretch.bucket,
            stretch.first.max(first),
            stretch.last.min(last),
        );
    }
}

/// The weight of samples: how many they are or, for a value that is of the time before each, how long that is.
pub(super) fn weight(run: &ValueRun, sample_ms: &[i64], first: usize, last: usize) -> f64 {
    if run.per_time {
        let before = first.checked_sub(1).and_then(|index| sample_ms.get(index));
        let elapsed = before.and_then(|before| Some(sample_ms.get(last)? - before));
        elapsed.unwrap_or(0).max(0) as f64
    } else {
        (last - first + 1) as f64
    }
}

impl Cell {
    pub(super) const EMPTY: Self = Self {
        weight: 0.0,
        weighted_sum: 0.0,
        count: 0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        last: 0.0,
    };

    pub(super) fn add(&mut self, value: f64, count: usize, weight: f64) {
        self.weight += weight;
        self.weighted_sum += value * weight;
        self.count += count as u64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
    }

    pub(super) fn average(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.weighted_sum / self.weight)
    }

    pub(super) fn weight(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.weight)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The cells of one metric over the buckets, from runs in order.
pub(super) fn gather(
    grid: &Grid,
    stretches: &[Stretch],
    sample_ms: &[i64],
    runs: &[ValueRun],
) -> Vec<Cell> {
    let mut cells = vec![Cell::EMPTY; grid.count];
    for run in runs {
        for_each_part(stretches, run.first, run.last, |bucket, first, last| {
            let weight = weight(run, sample_ms, first, last);
            cells[bucket].add(run.value, last - first + 1, weight);
        });
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::super::range::Range;
    use super::*;

    fn grid() -> Grid {
        let range = Range {
            from_ms: 0,
            to_ms: 30_000,
        };
        Grid::new(range, Some("10s")).expect("a grid")
    }

    fn run(first: usize, last: usize, value: f64, per_time: bool) -> ValueRun {
        ValueRun {
            first,
            last,
            value,
            per_time,
        }
    }

    #[test]
    fn a_bucket_averages_its_samples() {
        let sample_ms = [0, 5_000, 10_000, 15_000, 25_000];
        let stretches = stretches(&grid(), &sample_ms);
        let runs = [run(0, 2, 1.0, false), run(3, 3, 4.0, false)];
        let cells = gather(&grid(), &stretches, &sample_ms, &runs);
        let averages: Vec<_> = cells.iter().map(Cell::average).collect();
        assert_eq!(averages, [Some(1.0), Some(2.5), None]);
        assert_eq!((cells[1].min, cells[1].max, cells[1].last), (1.0, 4.0, 4.0));
        assert_eq!((cells[0].count, cells[2].count), (2, 0));
    }

    #[test]
    fn a_rate_counts_for_as_long_as_it_lasted() {
        // 1 s at 100 per second, then 9 s at none.
        let sample_ms = [0, 1_000, 9_999];
        let stretches = stretches(&grid(), &sample_ms);
        let runs = [run(1, 1, 100.0, true), run(2, 2, 0.0, true)];
        let cells = gather(&grid(), &stretches, &sample_ms, &runs);
        let average = cells[0].average().expect("known");
        assert!((average - 10.0).abs() < 0.01, "{average}");
    }

    #[test]
    fn a_clock_that_was_set_back_puts_samples_where_it_says() {
        let sample_ms = [20_000, 25_000, 1_000, 20_500];
        let stretches = stretches(&grid(), &sample_ms);
        assert_eq!(stretches.len(), 3);
        let cells = gather(&grid(), &stretches, &sample_ms, &[run(0, 3, 2.0, false)]);
        let counts: Vec<_> = cells.iter().map(|cell| cell.count).collect();
        assert_eq!(counts, [1, 0, 3]);
    }
}
