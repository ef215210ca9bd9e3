//! The samples of a host over a stretch of the past, by the server's clock, for whoever goes through them.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::host::PastHost;
use super::metric;
use super::range::Range;
use crate::app::App;
use crate::error::Problem;
use crate::store::history::{HostSamples, LifeFilter};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct PastQuery {
    pub(crate) agent_id: Arc<str>,
    /// From and until (exclusive), by the server's clock.
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) lives: LifeFilter,
    pub(crate) columns: Vec<Column>,
    pub(crate) ports: bool,
    /// As in [`crate::store::history::SampleQuery`].
    pub(crate) reaching: Vec<(Column, u64)>,
}

/// The columns that a field of a process is made of; `None` for one of which no past is kept.
pub(crate) fn past_columns(field: &str) -> Option<Vec<Column>> {
    Some(match field {
        "status" => vec![Column::Status],
        "ppid" => vec![Column::Ppid],
        "rss_exact" => vec![Column::RssExact],
        "ports" => vec![Column::NetConns],
        "io_per_s" => vec![Column::ReadBytes, Column::WriteBytes],
        name => metric::columns(&metric::read(Some(name)).ok()?),
    })
}

pub(crate) async fn past_samples(app: &App, asked: &PastQuery) -> Result<HostSamples, Problem> {
    let host = PastHost::find(app, Some(&asked.agent_id))?;
    let there = |ms: i64| ms.saturating_add(host.ahead_ms);
    let range = Range {
        from_ms: there(asked.from_ms),
        to_ms: there(asked.to_ms),
    };
    let mut query = host.query(range, asked.lives);
    query.columns.clone_from(&asked.columns);
    query.ports = asked.ports;
    query.reaching.clone_from(&asked.reaching);
    let mut samples = app.store.samples(&query).await?;
    for sampled_ms in &mut samples.sample_ms {
        *sampled_ms = sampled_ms.saturating_sub(host.ahead_ms);
    }
    Ok(samples)
}
