//! A process over time: as sampled, or gathered by steps.

use std::borrow::Cow;

use procmon_common::columns::Column;

use super::buckets::{Cell, gather, stretches};
use super::gaps::{GapBody, explain};
use super::host::{PastHost, Subject};
use super::metric::{self, Context, METRICS, Metric, silence_ms};
use super::range::{Grid, Range, show_ms};
use super::view::{Figure, HistoryBody, LifeBody, PointBody, SeriesBody};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::store::history::{HostSamples, LifeSamples};

/// Points of raw history in one answer.
const MAX_RAW_POINTS: usize = 20_000;

/// What a point says of a metric besides its average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stat {
    Min,
    Max,
    Last,
    Count,
}

impl Stat {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Min, "min"),
        (Self::Max, "max"),
        (Self::Last, "last"),
        (Self::Count, "count"),
    ];

    /// Names separated by commas. The average is there anyway.
    pub(super) fn read(names: Option<&str>) -> Result<Vec<Self>, Problem> {
        let mut stats = Vec::new();
        let given = names.unwrap_or_default().split(',').map(str::trim);
        for name in given.filter(|name| !name.is_empty() && *name != "avg") {
            let known = Self::ALL.iter().find(|(_, known)| *known == name);
            let (stat, _) = known.ok_or_else(|| {
                Problem::bad_request(format!(
                    "stats={name} is not known; one or more of: avg, min, max, last, count"
                ))
            })?;
            if !stats.contains(stat) {
                stats.push(*stat);
            }
        }
        Ok(stats)
    }

    fn suffix(self) -> &'static str {
        let named = Self::ALL.iter().find(|(stat, _)| *stat == self);
        named.map_or("", |(_, name)| name)
    }

    fn of(self, cell: &Cell, metric: &Metric) -> Figure {
        if self == Self::Count {
            return Figure::Whole(i64::try_from(cell.count).unwrap_or(i64::MAX));
        }
        let value = match self {
            Self::Min => cell.min,
            Self::Max => cell.max,
            Self::Last | Self::Count => cell.last,
        };
        Figure::new((!cell.is_empty()).then_some(value), metric.whole)
    }
}

/// What is asked of a series.
pub(super) struct SeriesRequest {
    pub(super) subject: Subject,
    pub(super) grid: Grid,
    pub(super) metrics: Vec<&'static Metric>,
    pub(super) stats: Vec<Stat>,
}

pub(super) async fn series(
    app: &App,
    host: &PastHost,
    request: &SeriesRequest,
) -> Result<SeriesBody, Problem> {
    let grid = request.grid.shifted(host.ahead_ms);
    let columns = metric::columns(&request.metrics);
    let samples = load(app, host, request.subject, grid.range, &columns).await?;
    let silence_ms = silence_ms(&samples.sample_ms);
    let context = Context {
        samples: &samples,
        columns: &columns,
        memory_total_bytes: host.memory_total_bytes,
        silence_ms,
    };
    let mut points = points_by_step(&context, &grid, request);
    let mut filled = vec![false; grid.count];
    for (bucket, _) in &points {
        filled[*bucket] = true;
    }
    let holes = grid.holes(host.now_ms, |bucket| filled[bucket]);
    let gaps = gaps(app, host, request.subject, &samples, grid.range, &holes).await?;
    points.sort_by_key(|(bucket, _)| *bucket);
    let mut points: Vec<_> = points.into_iter().map(|(_, point)| point).collect();
    for point in &mut points {
        point.ts_ms -= host.ahead_ms;
    }
    Ok(SeriesBody {
        agent_id: host.agent_id.to_string(),
        pid: request.subject.pid,
        from: rfc3339_ms(request.grid.range.from_ms),
        to: rfc3339_ms(request.grid.range.to_ms),
        step: show_ms(grid.step_ms),
        metrics: request.metrics.iter().map(|metric| metric.name).collect(),
        points,
        gaps,
        lives: lives(&samples, host, grid.range),
    })
}

/// Samples of a range and of a little before: a rate needs the sample before.
async fn load(
    app: &App,
    host: &PastHost,
    subject: Subject,
    range: Range,
    columns: &[Column],
) -> Result<HostSamples, Problem> {
    let wider = Range {
        from_ms: range.from_ms.saturating_sub(host.patience_ms),
        ..range
    };
    let mut query = host.query(wider, subject.filter());
    query.columns = columns.to_vec();
    Ok(app.store.samples(&query).await?)
}

/// Points with the bucket of each, life by life.
fn points_by_step(
    context: &Context<'_>,
    grid: &Grid,
    request: &SeriesRequest,
) -> Vec<(usize, PointBody)> {
    let sample_ms = &context.samples.sample_ms;
    let stretches = stretches(grid, sample_ms);
    let names: Vec<Vec<Cow<'static, str>>> = request
        .metrics
        .iter()
        .map(|metric| {
            let suffixed = request
                .stats
                .iter()
                .map(|stat| Cow::Owned(format!("{}_{}", metric.name, stat.suffix())));
            std::iter::once(Cow::Borrowed(metric.name))
                .chain(suffixed)
                .collect()
        })
        .collect();
    let mut points = Vec::new();
    for life in &context.samples.lives {
        let cells: Vec<Vec<Cell>> = request
            .metrics
            .iter()
            .map(|metric| gather(grid, &stretches, sample_ms, &metric.runs(context, life)))
            .collect();
        let process_id = life.life.id.map(|id| id.to_string());
        for bucket in 0..grid.count {
            if cells.iter().all(|cells| cells[bucket].is_empty()) {
                continue;
            }
            let mut values = Vec::with_capacity(names.len() * (request.stats.len() + 1));
            for ((metric, names), cells) in request.metrics.iter().zip(&names).zip(&cells) {
                let cell = &cells[bucket];
                let stats = request.stats.iter().map(|stat| stat.of(cell, metric));
                let figures = std::iter::once(Figure::new(cell.average(), false)).chain(stats);
                values.extend(names.iter().cloned().zip(figures));
            }
            let point = PointBody {
                ts_ms: grid.start_ms(bucket),
                process_id: process_id.clone(),
                values,
            };
            points.push((bucket, point));
        }
    }
    points
}

async fn gaps(
    app: &App,
    host: &PastHost,
    subject: Subject,
    samples: &HostSamples,
    range: Range,
    holes: &[Range],
) -> Result<Vec<GapBody>, Problem> {
    if holes.is_empty() {
        return Ok(Vec::new());
    }
    let silence_ms = silence_ms(&samples.sample_ms);
    let outages = host.outages(app, range).await?;
    let presences = host.presences(app, subject, samples, silence_ms);
    let explained = explain(holes, &presences, &outages, silence_ms);
    Ok(explained
        .iter()
        .map(|hole| GapBody::new(hole, host.ahead_ms))
        .collect())
}

/// The lives that were sampled in the range itself.
fn lives(samples: &HostSamples, host: &PastHost, range: Range) -> Vec<LifeBody> {
    let within = |life: &&LifeSamples| {
        let last_ms = samples.sample_ms.get(life.last);
        last_ms.is_some_and(|last_ms| *last_ms >= range.from_ms)
    };
    let shown = samples.lives.iter().filter(within);
    shown
        .map(|life| LifeBody::new(samples, life, host.ahead_ms))
        .collect()
}

/// Raw points of the last while.
pub(super) async fn history(
    app: &App,
    host: &PastHost,
    subject: Subject,
    range: Range,
) -> Result<HistoryBody, Problem> {
    let there = Range {
        from_ms: range.from_ms.saturating_add(host.ahead_ms),
        to_ms: range.to_ms.saturating_add(host.ahead_ms),
    };
    let metrics: Vec<&Metric> = METRICS.iter().collect();
    let mut columns = metric::columns(&metrics);
    columns.push(Column::Status);
    let samples = load(app, host, subject, there, &columns).await?;
    let points = raw_points(host, &samples, &columns, there)?;
    let silence_ms = silence_ms(&samples.sample_ms);
    let holes = silences(&samples, there, host.now_ms, silence_ms);
    let gaps = gaps(app, host, subject, &samples, there, &holes).await?;
    Ok(HistoryBody {
        agent_id: host.agent_id.to_string(),
        pid: subject.pid,
        from: rfc3339_ms(range.from_ms),
        to: rfc3339_ms(range.to_ms),
        points,
        gaps,
        lives: lives(&samples, host, there),
    })
}

/// A point for each sample of each life, in order of arrival.
pub(super) fn raw_points(
    host: &PastHost,
    samples: &HostSamples,
    columns: &[Column],
    range: Range,
) -> Result<Vec<PointBody>, Problem> {
    let context = Context {
        samples,
        columns,
        memory_total_bytes: host.memory_total_bytes,
        silence_ms: silence_ms(&samples.sample_ms),
    };
    let inside = |index: &usize| {
        let ms = samples.sample_ms.get(*index);
        ms.is_some_and(|ms| (range.from_ms..range.to_ms).contains(ms))
    };
    let status = columns.iter().position(|column| *column == Column::Status);
    let mut points: Vec<(usize, PointBody)> = Vec::new();
    for life in &samples.lives {
        let indices: Vec<usize> = (life.first..=life.last).filter(inside).collect();
        if points.len() + indices.len() > MAX_RAW_POINTS {
            return Err(Problem::bad_request(format!(
                "there are more than {MAX_RAW_POINTS} raw points in that time; ask for fewer minutes, or for \
                 /processes/{{pid}}/series, which has a point for each step"
            )));
        }
        let mut rows = vec![Vec::with_capacity(METRICS.len() + 1); indices.len()];
        for (row, index) in rows.iter_mut().zip(&indices) {
            let letter = status.and_then(|place| life.value_at(place, *index));
            let letter = letter.and_then(|letter| u8::try_from(letter).ok());
            let shown = letter.map_or(Figure::Unknown, |letter| Figure::Letter(letter.into()));
            row.push((Cow::Borrowed("status"), shown));
        }
        for metric in &METRICS {
            let runs = metric.runs(&context, life);
            for (row, index) in rows.iter_mut().zip(&indices) {
                let after = runs.partition_point(|run| run.first <= *index);
                let run = after.checked_sub(1).and_then(|place| runs.get(place));
                let value = run.filter(|run| *index <= run.last).map(|run| run.value);
                row.push((Cow::Borrowed(metric.name), Figure::new(value, metric.whole)));
            }
        }
        let process_id = life.life.id.map(|id| id.to_string());
        for (values, index) in rows.into_iter().zip(indices) {
            let point = PointBody {
                ts_ms: samples.sample_ms[index] - host.ahead_ms,
                process_id: process_id.clone(),
                values,
            };
            points.push((index, point));
        }
    }
    points.sort_by_key(|(index, _)| *index);
    Ok(points.into_iter().map(|(_, point)| point).collect())
}

/// Times between two samples of any of the lives that are too long to be the interval.
fn silences(samples: &HostSamples, range: Range, now_ms: i64, silence_ms: i64) -> Vec<Range> {
    let mut taken = vec![false; samples.sample_ms.len()];
    for life in &samples.lives {
        taken[life.first..=life.last].fill(true);
    }
    let times = samples.sample_ms.iter().zip(taken);
    let mut holes = Vec::new();
    let mut from_ms = range.from_ms;
    let end_ms = range.to_ms.min(now_ms);
    let seen = times.filter(|(_, taken)| *taken).map(|(ms, _)| *ms);
    for ms in seen.chain([end_ms]) {
        if ms.saturating_sub(from_ms) > silence_ms {
            holes.push(Range { from_ms, to_ms: ms });
        }
        from_ms = from_ms.max(ms);
    }
    holes
}
