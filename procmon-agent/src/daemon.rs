//! The daemon: what needs privileges first, then giving them up, then the tasks, signals and shutdown.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use procmon_agent::batch::Speaker;
use procmon_agent::config::{AgentConfig, Flags};
use procmon_agent::kernel::probe::{self, Level};
use procmon_agent::privileges;
use procmon_agent::ship::{self, ShipState, ShipTarget};
use procmon_agent::spool::{self, SpoolOptions, SpoolReader};
use procmon_agent::watch::{Watch, WatchOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{capture_options, runtime, stop_signal};

/// What only the start may open, ready to run.
struct Started {
    watch: Watch,
    reader: SpoolReader,
    state: Arc<ShipState>,
}

pub(crate) fn run(_flags: &Flags, config: AgentConfig) -> Result<ExitCode> {
    let (level, started) = start(&config)?;
    let spool_is_own = privileges::writable_by_owner(&config.spool_dir);
    give_up_privileges(&config, level, spool_is_own)?;
    runtime()?.block_on(serve(started, config))
}

fn start(config: &AgentConfig) -> Result<(Level, Started)> {
    let (writer, reader) =
        spool::open(&config.spool_dir, SpoolOptions::new(config.spool_max_bytes))?;
    let (level, reason, capture) = probe::choose(config.probe, capture_options(config))?;
    if level == Level::Ebpf {
        tracing::info!("agent {}: probe {level}", config.agent_id);
    } else {
        tracing::warn!("agent {}: probe {level}: {reason}", config.agent_id);
    }
    let labels = config.labels.clone().into_iter().collect();
    let mut speaker = Speaker::of_this_host(config.agent_id.clone(), labels, config.interval)?;
    speaker.probe = level.name();
    speaker.probe_reason = reason;
    let state = Arc::new(ShipState::default());
    let options = WatchOptions {
        speaker,
        fork_events: config.fork_events,
        spool_max_bytes: config.spool_max_bytes,
        resync: state.resync(),
    };
    let watch = Watch::new(capture, writer, options)?;
    Ok((
        level,
        Started {
            watch,
            reader,
            state,
        },
    ))
}

/// Before any thread is started: capabilities belong to threads.
pub(crate) fn give_up_privileges(
    config: &AgentConfig,
    level: Level,
    spool_is_own: bool,
) -> Result<()> {
    if !config.hardening {
        tracing::warn!("hardening is off: the agent keeps all privileges that it was started with");
        return Ok(());
    }
    let features = privileges::features(level.name(), spool_is_own);
    let left = privileges::give_up(&features)?;
    let names = left.capabilities.join(" ");
    tracing::info!(
        "privileges: {}, none can be gained, system calls are filtered",
        if names.is_empty() { "none" } else { &names }
    );
    if let Some(reason) = left.unfiltered {
        tracing::warn!("system calls are NOT filtered: {reason}");
    }
    if !spool_is_own {
        tracing::warn!(
            "the spool folder {} belongs to another user: CAP_DAC_OVERRIDE is kept for it. Give it to the agent's user",
            config.spool_dir.display()
        );
    }
    Ok(())
}

async fn serve(started: Started, config: AgentConfig) -> Result<ExitCode> {
    let Started {
        watch,
        reader,
        state,
    } = started;
    let target = ShipTarget::new(config.server_url, config.agent_id, config.token);

    // The watch stops first, so that `ship` has its last batch to flush.
    let (stop_watch, stop_ship) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let watching = stop_watch.clone();
    let watch_task = tasks
        .spawn_blocking(move || watch.run(&watching).context("watching"))
        .id();
    let shipping = stop_ship.clone();
    tasks.spawn(async move {
        ship::run(reader, target, state, shipping)
            .await
            .context("shipping")
    });

    let mut failed = false;
    let mut ended = None;
    tokio::select! {
        signal = stop_signal() => tracing::info!("{}: stopping", signal?),
        task = tasks.join_next_with_id() => {
            tracing::error!("a part of the agent ended by itself: stopping");
            failed = true;
            ended = task;
        }
    }
    stop_watch.cancel();
    while let Some(task) = match ended.take() {
        Some(task) => Some(task),
        None => tasks.join_next_with_id().await,
    } {
        let (id, result) = task.map_or_else(
            |panic| (panic.id(), Err(panic.into())),
            |(id, result)| (id, result),
        );
        if let Err(error) = result {
            tracing::error!("{error:#}");
            failed = true;
        }
        if id == watch_task {
            stop_ship.cancel();
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
