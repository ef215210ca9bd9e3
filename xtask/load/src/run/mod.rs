//! A run: agents that send, somebody who asks, a line of progress, and at the end the counting. All of it on one thread, beside
//! the server that is measured.

mod agent;
mod check;
mod cost;
mod found;
mod progress;
mod queries;
mod report;
mod rules;
mod shared;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use procmon_common::config::parse_duration;
use procmon_load::connection::address_of;
use tokio::task::{JoinSet, LocalSet};

use shared::Shared;

/// How long agents may go on after the end, until what they have is acknowledged.
const DRAIN_LIMIT: Duration = Duration::from_mins(2);

/// Play many agents against a server, and count what arrives.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Options {
    /// The server.
    #[arg(long, value_name = "URL")]
    url: String,
    #[arg(long, default_value_t = 100)]
    agents: u32,
    /// Processes on each host that stay.
    #[arg(long, default_value_t = 300)]
    processes: u32,
    /// Between two samples.
    #[arg(long, default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// How long agents send.
    #[arg(long, default_value = "1m", value_parser = duration)]
    duration: Duration,
    /// Processes on each host that begin, and end, in a minute.
    #[arg(long, default_value_t = 6.0)]
    lives_per_minute: f64,
    /// Between two requests of each kind of query; 0 asks nothing.
    #[arg(long, default_value = "2s", value_parser = duration)]
    query_every: Duration,
    /// Rules of alerts, of every kind, that are written before agents begin.
    #[arg(long, default_value_t = 0)]
    rules: u32,
    /// The server's process on this machine, whose CPU time and memory are reported.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// A database on this machine whose processes are its children; counted apart.
    #[arg(long, value_name = "PID")]
    database_pid: Option<u32>,
    /// The folder whose growth is reported.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| format!("`{text}` is not a duration; write 5s, 500ms or 10m"))
}

impl Options {
    fn check(&self) -> Result<()> {
        if self.agents == 0 || self.processes == 0 {
            bail!("at least one agent and one process are needed");
        }
        if self.interval < Duration::from_millis(100) {
            bail!("--interval {:?}: at least 100ms", self.interval);
        }
        if !(self.lives_per_minute >= 0.0 && self.lives_per_minute <= 60_000.0) {
            bail!("--lives-per-minute {}: 0 to 60000", self.lives_per_minute);
        }
        Ok(())
    }
}

/// Whether everything that was acknowledged was found.
pub(crate) fn run(options: Options) -> Result<bool> {
    options.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    LocalSet::new().block_on(&runtime, play(options))
}

async fn play(options: Options) -> Result<bool> {
    let address = address_of(&options.url)?;
    let shared = Rc::new(Shared::new(options, address)?);
    let kinds = queries::served(&shared).await?;
    rules::post(&shared).await?;
    let mut agents = JoinSet::new();
    for number in 0..shared.options.agents {
        agents.spawn_local(agent::play(number, Rc::clone(&shared)));
    }
    let mut asking = JoinSet::new();
    for kind in kinds {
        asking.spawn_local(queries::ask(kind, Rc::clone(&shared)));
    }
    if shared.options.rules > 0 {
        asking.spawn_local(rules::watch(Rc::clone(&shared)));
    }
    let watch = tokio::task::spawn_local(progress::watch(Rc::clone(&shared)));
    let mut played = Vec::new();
    let all = async {
        while let Some(ended) = agents.join_next().await {
            played.push(ended.context("an agent failed")?);
        }
        anyhow::Ok(())
    };
    let limit = shared.options.duration + shared.options.interval + DRAIN_LIMIT;
    match tokio::time::timeout(limit, all).await {
        Ok(ended) => ended?,
        Err(_) => {
            bail!("some agents could not send what they had within {DRAIN_LIMIT:?} after the end")
        }
    }
    shared.over.set(true);
    asking.shutdown().await;
    let costs = watch.await.context("the watch failed")??;
    report::print(&shared, &costs);
    let whole = check::check(&shared, &mut played).await?;
    Ok(whole && shared.refused.get() == 0 && shared.failed_queries() == 0)
}
