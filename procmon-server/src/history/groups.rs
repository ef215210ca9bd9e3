//! Groups of processes over time: what all processes of one name, user, container or cgroup use together.
//!
//! A range is read a part at a time, so that the memory this takes depends on what runs at once, and not on how far one
//! looks back.

use std::borrow::Cow;
use std::collections::HashMap;

use procmon_common::columns::Column;
use serde::Serialize;
use utoipa::ToSchema;

use super::buckets::{Cell, Stretch, for_each_part, stretches, weight};
use super::gaps::{GapBody, Outages, explain};
use super::host::PastHost;
use super::metric::{self, Context, Metric, silence_ms};
use super::range::{Grid, Range, show_ms};
use super::view::{Figure, PointBody};
use crate::app::App;
use crate::batch::{Life, ShortLived, lossy};
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::store::history::{HostSamples, LifeFilter};

/// Time of samples in memory at once.
const PART_MS: i64 = 1_800_000;
/// Groups times steps that are added up at once. Each takes about a hundred bytes.
const MAX_CELLS: usize = 3_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupBy {
    Name,
    User,
    Container,
    Cgroup,
}

/// What is asked of groups.
pub(super) struct GroupsRequest {
    pub(super) grid: Grid,
    pub(super) group_by: GroupBy,
    pub(super) metric: &'static Metric,
    /// Groups that are shown each for itself.
    pub(super) top: usize,
}

/// What groups of processes used, step by step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupSeries)]
pub(super) struct GroupSeriesBody {
    pub agent_id: String,
    pub group_by: &'static str,
    pub metric: &'static str,
    pub from: String,
    pub to: String,
    pub step: String,
    /// Those with most of it over the range, most first.
    pub groups: Vec<GroupBody>,
    /// All other groups together; null when there are none.
    pub other: Option<GroupBody>,
    /// When the host was not sampled.
    pub gaps: Vec<GapBody>,
}

/// One group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(super) struct GroupBody {
    /// The name, user, container or cgroup; null for processes that have none, or whose is not known, and for the others.
    pub group: Option<String>,
    /// A point has under the metric's name the sum over the group's processes, as the average over the samples of the step; with
    /// `_max` the highest value of one process; `processes`, how many there were on average. With `cpu_percent` the sum includes
    /// `short_lived_cpu_percent`: what processes used that began or ended between two samples.
    pub points: Vec<PointBody>,
}

impl GroupBy {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Name, "name"),
        (Self::User, "user"),
        (Self::Container, "container"),
        (Self::Cgroup, "cgroup"),
    ];

    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(group_by, _)| *group_by).ok_or_else(|| {
            Problem::bad_request(format!(
                "group_by={text} is not known; one of: name, user, container, cgroup"
            ))
        })
    }

    fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(group_by, _)| *group_by == self);
        named.map_or("", |(_, name)| name)
    }

    fn of(self, life: &Life) -> Option<Cow<'_, [u8]>> {
        let text = |text: Option<&Box<str>>| text.map(|text| text.as_bytes().to_vec().into());
        match self {
            Self::Name => life.name().map(Cow::Borrowed),
            Self::User => {
                let credentials = life.credentials.as_ref();
                let uid = credentials.and_then(|known| known.uid);
                user(life.username(), uid)
            }
            Self::Container => text(life.container_id.as_ref()),
            Self::Cgroup => text(life.cgroup.as_ref()),
        }
    }

    fn of_short_lived(self, lives: &ShortLived) -> Option<Cow<'_, [u8]>> {
        let text = |text: Option<&Box<str>>| text.map(|text| text.as_bytes().to_vec().into());
        match self {
            Self::Name => lives.name.as_deref().map(Cow::Borrowed),
            Self::User => user(lives.username.as_deref(), lives.uid),
            Self::Container => text(lives.container_id.as_ref()),
            Self::Cgroup => text(lives.cgroup.as_ref()),
        }
    }
}

/// A user without a name has a number.
fn user(name: Option<&str>, uid: Option<u32>) -> Option<Cow<'_, [u8]>> {
    match (name, uid) {
        (Some(name), _) => Some(Cow::Borrowed(name.as_bytes())),
        (None, Some(uid)) => Some(uid.to_string().into_bytes().into()),
        (None, None) => None,
    }
}

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
struct Sums {
    grid: Grid,
    groups: HashMap<Key, Vec<GroupCell>, foldhash::fast::RandomState>,
    /// What the host has in each step: samples, or the time between them.
    host: Vec<Cell>,
    /// Samples in each step.
    samples: Vec<u32>,
}

pub(super) async fn groups(
    app: &App,
    host: &PastHost,
    request: &GroupsRequest,
) -> Result<GroupSeriesBody, Problem> {
    let grid = request.grid.shifted(host.ahead_ms);
    let mut sums = Sums {
        grid,
        groups: HashMap::default(),
        host: vec![Cell::EMPTY; grid.count],
        samples: vec![0; grid.count],
    };
    let mut from_ms = grid.range.from_ms;
    while from_ms < grid.range.to_ms {
        let part = Range {
            from_ms,
            to_ms: from_ms.saturating_add(PART_MS).min(grid.range.to_ms),
        };
        let samples = load(app, host, request, part).await?;
        sums.add(host, request, &samples, part)?;
        from_ms = part.to_ms;
    }
    let gaps = gaps(app, host, &sums).await?;
    let (groups, other) = sums.finish(host, request);
    Ok(GroupSeriesBody {
        agent_id: host.agent_id.to_string(),
        group_by: request.group_by.name(),
        metric: request.metric.name,
        from: rfc3339_ms(request.grid.range.from_ms),
        to: rfc3339_ms(request.grid.range.to_ms),
        step: show_ms(grid.step_ms),
        groups,
        other,
        gaps,
    })
}

/// The samples of a part, and of a little before, which only serves rates.
async fn load(
    app: &App,
    host: &PastHost,
    request: &GroupsRequest,
    part: Range,
) -> Result<HostSamples, Problem> {
    let wider = Range {
        from_ms: part.from_ms.saturating_sub(host.patience_ms),
        ..part
    };
    let mut query = host.query(wider, LifeFilter::All);
    query.columns = metric::columns(&[request.metric]);
    query.short_lived = request.charges_cpu();
    Ok(app.store.samples(&query).await?)
}

impl GroupsRequest {
    fn charges_cpu(&self) -> bool {
        self.metric.name == "cpu_percent"
    }
}

impl Sums {
    fn add(
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
        let own = Grid {
            range: part,
            ..self.grid
        };
        let inside = |index: usize| {
            let ms = samples.sample_ms[index];
            (own.range.from_ms..own.range.to_ms).contains(&ms)
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

    fn finish(
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

/// Steps in which the host was not sampled.
async fn gaps(app: &App, host: &PastHost, sums: &Sums) -> Result<Vec<GapBody>, Problem> {
    let grid = &sums.grid;
    let holes = grid.holes(host.now_ms, |bucket| sums.samples[bucket] > 0);
    let outages = if holes.is_empty() {
        Outages::default()
    } else {
        host.outages(app, grid.range).await?
    };
    let explained = explain(&holes, &[], &outages, host.patience_ms);
    Ok(explained
        .iter()
        .map(|hole| GapBody::new(hole, host.ahead_ms))
        .collect())
}
