//! Processes added up by groups, step by step.

use std::borrow::Cow;
use std::collections::HashMap;

use procmon_common::columns::Column;

use super::buckets::{Cell, Stretch, for_each_part, stretches, weight};
use super::groups::{GroupBody, GroupsRequest};
use super::host::PastHost;
use super::metric::{self, Context, silence_ms};
use super::range::{Grid, Range, show_ms};
use super::view::{Figure, PointBody};
use crate::batch::lossy;
use crate::error::Problem;
use crate::store::history::HostSamples;

/// Groups times steps that are added up at once. Each takes 32 bytes.
const MAX_CELLS: usize = 3_000_000;

/// What a group has in a step.
#[derive(Clone, Copy)]
struct GroupCell {
    /// Of all its processes: values times their weight.
    weighted_sum: f64,
    /// Of a single one.
    max: f64,
    /// Processes times samples.
    processes: f64,
    short_lived: f64,
}

impl GroupCell {
    const EMPTY: Self = Self {
        weighted_sum: 0.0,
        max: f64::NEG_INFINITY,
        processes: 0.0,
        short_lived: 0.0,
    };

    fn add(&mut self, other: &Self) {
        self.weighted_sum += other.weighted_sum;
        self.max = self.max.max(other.max);
        self.processes += other.processes;
        self.short_lived += other.short_lived;
    }
}

type Key = Option<Vec<u8>>;

/// The groups as they are added up.
pub(super) struct Sums {
    pub(super) grid: Grid,
    groups: HashMap<Key, Vec<GroupCell>, foldhash::fast::RandomState>,
    /// What the host has in each step: samples, or the time between them.
    host: Vec<Cell>,
    /// Samples in each step.
    pub(super) samples: Vec<u32>,
}

impl Sums {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            groups: HashMap::default(),
            host: vec![Cell::EMPTY; grid.count],
            samples: vec![0; grid.count],
        }
    }

    pub(super) fn add(
        &mut self,
        host: &PastHost,
        request: &GroupsRequest,
        samples: &HostSamples,
        part: Range,
    ) -> Result<(), Problem> {
        let columns: Vec<Column> = metric::columns(&[request.metric]);
        let context = Context {
            samples,
            columns: &columns,
            memory_total_bytes: host.memory_total_bytes,
            silence_ms: silence_ms(&samples.sample_ms),
        };
        let stretches = self.stretches(samples, part);
        for stretch in &stretches {
            self.samples[stretch.bucket] += (stretch.last - stretch.first + 1) as u32;
        }
        for life in &samples.lives {
            let runs = request.metric.runs(&context, life);
            let key = request.group_by.of(&life.life).map(Cow::into_owned);
            let cells = self.cells(key)?;
            for_each_part(&stretches, life.first, life.last, |bucket, first, last| {
                cells[bucket].processes += (last - first + 1) as f64;
            });
            for run in &runs {
                for_each_part(&stretches, run.first, run.last, |bucket, first, last| {
                    let cell = &mut cells[bucket];
                    cell.weighted_sum += run.value * weight(run, &samples.sample_ms, first, last);
                    cell.max = cell.max.max(run.value);
                });
            }
        }
        self.add_weights(&context, &stretches, request);
        self.add_short_lived(request, samples, &stretches, context.silence_ms)
    }

    /// Samples of the part itself: those before it were counted with the part before.
    fn stretches(&self, samples: &HostSamples, part: Range) -> Vec<Stretch> {
        let inside = |index: usize| {
            let ms = samples.sample_ms[index];
            (part.from_ms..part.to_ms).contains(&ms)
        };
        let mut kept = Vec::new();
        for stretch in stretches(&self.grid, &samples.sample_ms) {
            let mut first = stretch.first;
            while first <= stretch.last {
                if !inside(first) {
                    first += 1;
                    continue;
                }
                let mut last = first;
                while last < stretch.last && inside(last + 1) {
                    last += 1;
                }
                kept.push(Stretch {
                    first,
                    last,
                    bucket: stretch.bucket,
                });
                first = last + 1;
            }
        }
        kept
    }

    /// What a sum is divided by: the samples of the step or, for rates, the time that was looked at in it.
    fn add_weights(
        &mut self,
        context: &Context<'_>,
        stretches: &[Stretch],
        request: &GroupsRequest,
    ) {
        let sample_ms = &context.samples.sample_ms;
        for stretch in stretches {
            for sample in stretch.first..=stretch.last {
                let before = sample.checked_sub(1).map(|before| sample_ms[before]);
                let elapsed_ms = before.map(|before| sample_ms[sample] - before);
                let seen = elapsed_ms.filter(|ms| (1..=context.silence_ms).contains(ms));
                let weight = match (request.metric.per_time(), seen) {
                    (false, _) => 1.0,
                    (true, Some(elapsed_ms)) => elapsed_ms as f64,
                    (true, None) => 0.0,
                };
                self.host[stretch.bucket].add(0.0, 1, weight);
            }
        }
    }

    /// CPU of lives that no sample shows, charged to their own group.
    fn add_short_lived(
        &mut self,
        request: &GroupsRequest,
        samples: &HostSamples,
        stretches: &[Stretch],
        silence_ms: i64,
    ) -> Result<(), Problem> {
        for (index, lives) in &samples.short_lived {
            let index = *index as usize;
            let before = index.checked_sub(1).map(|before| samples.sample_ms[before]);
            let elapsed_ms = before.map(|before| samples.sample_ms[index] - before);
            let Some(elapsed_ms) = elapsed_ms.filter(|ms| (1..=silence_ms).contains(ms)) else {
                continue;
            };
            let percent = lives.cpu_time_ns as f64 / 1e4 / elapsed_ms as f64;
            let key = request.group_by.of_short_lived(lives).map(Cow::into_owned);
            let cells = self.cells(key)?;
            for_each_part(stretches, index, index, |bucket, _, _| {
                cells[bucket].weighted_sum += percent;
                cells[bucket].short_lived += percent;
            });
        }
        Ok(())
    }

    fn cells(&mut self, key: Key) -> Result<&mut Vec<GroupCell>, Problem> {
        let count = self.grid.count;
        if (self.groups.len() + 1) * count > MAX_CELLS && !self.groups.contains_key(&key) {
            return Err(Problem::bad_request(format!(
                "step={} makes {count} steps of more than {} groups, which is too much for one answer; use a longer step or a \
                 shorter range",
                show_ms(self.grid.step_ms),
                self.groups.len()
            )));
        }
        let cells = self.groups.entry(key);
        Ok(cells.or_insert_with(|| vec![GroupCell::EMPTY; count]))
    }

    pub(super) fn finish(
        self,
        host: &PastHost,
        request: &GroupsRequest,
    ) -> (Vec<GroupBody>, Option<GroupBody>) {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        let total = |cells: &[GroupCell]| cells.iter().map(|cell| cell.weighted_sum).sum::<f64>();
        groups.sort_by(|(key, cells), (other_key, other_cells)| {
            let by_total = total(other_cells).total_cmp(&total(cells));
            by_total.then_with(|| key.cmp(other_key))
        });
        let rest = groups.split_off(request.top.min(groups.len()));
        let points = |cells: &[GroupCell]| {
            let steps = cells.iter().zip(&self.host).zip(&self.samples).enumerate();
            let sampled = steps.filter(|(_, ((cell, _), samples))| {
                **samples > 0 && (cell.processes > 0.0 || cell.short_lived > 0.0)
            });
            sampled
                .map(|(bucket, ((cell, divisor), samples))| PointBody {
                    ts_ms: self.grid.start_ms(bucket) - host.ahead_ms,
                    process_id: None,
                    values: figures(request, cell, divisor, *samples),
                })
                .collect()
        };
        let other = (!rest.is_empty()).then(|| {
            let mut cells = vec![GroupCell::EMPTY; self.grid.count];
            for (_, more) in &rest {
                for (cell, more) in cells.iter_mut().zip(more) {
                    cell.add(more);
                }
            }
            GroupBody {
                group: None,
                points: points(&cells),
            }
        });
        let groups = groups.into_iter().map(|(key, cells)| GroupBody {
            group: key.map(|key| lossy(&key)),
            points: points(&cells),
        });
        (groups.collect(), other)
    }
}

fn figures(
    request: &GroupsRequest,
    cell: &GroupCell,
    divisor: &Cell,
    samples: u32,
) -> Vec<(Cow<'static, str>, Figure)> {
    let name = request.metric.name;
    let known = cell.max.is_finite() || cell.short_lived > 0.0;
    let sum = divisor
        .weight()
        .filter(|_| known)
        .map(|weight| cell.weighted_sum / weight);
    let max = cell.max.is_finite().then_some(cell.max);
    let samples = f64::from(samples);
    let mut figures = vec![
        (Cow::Borrowed(name), Figure::new(sum, false)),
        (
            Cow::Owned(format!("{name}_max")),
            Figure::new(max, request.metric.whole),
        ),
        (
            Cow::Borrowed("processes"),
            Figure::new(Some(cell.processes / samples), false),
        ),
    ];
    if request.charges_cpu() {
        figures.push((
            Cow::Borrowed("short_lived_cpu_percent"),
            Figure::new(Some(cell.short_lived / samples), false),
        ));
    }
    figures
}
