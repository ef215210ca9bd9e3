//! A metric of the processes of a host over a stretch of the past, for whoever asks when it was beyond a bound.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::host::PastHost;
use super::metric::{self, Context, Metric, ValueRun, silence_ms};
use super::range::Range;
use crate::app::App;
use crate::batch::Life;
use crate::error::Problem;
use crate::store::history::LifeFilter;

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastMetric(Asked);

#[derive(Clone, Copy, Debug)]
enum Asked {
    Metric(&'static Metric),
    Status(u8),
}

/// The processes of a host in a stretch of time.
#[derive(Debug, Default)]
pub(crate) struct PastRuns {
    /// When the host was sampled, by the server's clock.
    pub(crate) sample_ms: Vec<i64>,
    /// Between two samples that are further apart nobody looked.
    pub(crate) silence_ms: i64,
    pub(crate) lives: Vec<PastLife>,
}

#[derive(Debug)]
pub(crate) struct PastLife {
    pub(crate) life: Arc<Life>,
    /// The first and the last sample, and the value that both and all in between have.
    pub(crate) runs: Vec<(usize, usize, f64)>,
}

impl PastMetric {
    /// `None` for a metric of which no history is kept.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let metrics = metric::read(Some(name)).ok()?;
        metrics.first().map(|metric| Self(Asked::Metric(metric)))
    }

    /// 1 while a process has this letter as its status.
    pub(crate) fn status(letter: u8) -> Self {
        Self(Asked::Status(letter))
    }

    fn columns(self) -> Vec<Column> {
        match self.0 {
            Asked::Metric(metric) => metric::columns(&[metric]),
            Asked::Status(_) => vec![Column::Status],
        }
    }
}

impl PastRuns {
    /// From and until (exclusive), by the server's clock.
    pub(crate) async fn read(
        app: &App,
        agent_id: &str,
        asked: PastMetric,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Self, Problem> {
        let host = PastHost::find(app, Some(agent_id))?;
        let there = |ms: i64| ms.saturating_add(host.ahead_ms);
        // How fast something grew is known from the sample before.
        let wider = Range {
            from_ms: there(from_ms).saturating_sub(host.patience_ms),
            to_ms: there(to_ms),
        };
        let mut query = host.query(wider, LifeFilter::All);
        query.columns = asked.columns();
        let samples = app.store.samples(&query).await?;
        let skipped = samples
            .sample_ms
            .partition_point(|sampled_ms| *sampled_ms < there(from_ms));
        let context = Context {
            samples: &samples,
            columns: &query.columns,
            memory_total_bytes: host.memory_total_bytes,
            silence_ms: silence_ms(&samples.sample_ms),
        };
        let lives = samples.lives.iter().filter(|life| life.last >= skipped);
        let lives = lives.map(|life| {
            let runs = match asked.0 {
                Asked::Metric(metric) => metric.runs(&context, life),
                Asked::Status(letter) => life
                    .runs(0)
                    .map(|run| ValueRun {
                        first: run.first,
                        last: run.last,
                        value: f64::from(run.value == i64::from(letter)),
                        per_time: false,
                    })
                    .collect(),
            };
            let inside = runs.iter().filter(|run| run.last >= skipped);
            PastLife {
                life: Arc::clone(&life.life),
                runs: inside
                    .map(|run| {
                        let first = run.first.max(skipped) - skipped;
                        (first, run.last - skipped, run.value)
                    })
                    .collect(),
            }
        });
        Ok(Self {
            lives: lives.collect(),
            silence_ms: context.silence_ms,
            sample_ms: samples.sample_ms[skipped..]
                .iter()
                .map(|sampled_ms| sampled_ms.saturating_sub(host.ahead_ms))
                .collect(),
        })
    }
}
