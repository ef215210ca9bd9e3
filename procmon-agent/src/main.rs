//! The procmon agent's wiring: configuration, probe level, tasks, signals, shutdown.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use procmon_agent::batch::Speaker;
use procmon_agent::config::{AgentConfig, Cli, Command};
use procmon_agent::kernel::CaptureOptions;
use procmon_agent::kernel::probe::{self, Level};
use procmon_agent::redact::Redactor;
use procmon_agent::ship::{self, ShipState, ShipTarget};
use procmon_agent::spool::{self, SpoolOptions};
use procmon_agent::watch::{Watch, WatchOptions};
use procmon_agent::{check, events};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PROCMON_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Telling of a line that cannot be written goes to the same place, and panics when its reader is gone.
        .log_internal_errors(false)
        .init();
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let config = AgentConfig::load(&cli.flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Some(Command::Check) => runtime.block_on(check::run(&config, &probe::assess())),
        Some(Command::Events) => runtime.block_on(print_events(&config)),
        None => runtime.block_on(watch(config)),
    }
}

/// The daemon.
async fn watch(config: AgentConfig) -> Result<ExitCode> {
    let (writer, reader) =
        spool::open(&config.spool_dir, SpoolOptions::new(config.spool_max_bytes))?;
    let (level, reason, source) = probe::choose(config.probe, capture_options(&config))?;
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
        redactor: Redactor::default(),
        resync: state.resync(),
    };
    let watch = Watch::new(source, writer, options)?;
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

async fn print_events(config: &AgentConfig) -> Result<ExitCode> {
    let (level, reason, source) = probe::choose(config.probe, capture_options(config))?;
    anyhow::ensure!(
        source.has_events(),
        "`events` needs a probe level that tells events, not {level} ({reason}). Try `procmon-agent check`"
    );
    if level != Level::Ebpf {
        tracing::warn!("probe {level}: {reason}");
    }
    let shutdown = CancellationToken::new();
    let (stopping, fork_events) = (shutdown.clone(), config.fork_events);
    let mut printing = tokio::task::spawn_blocking(move || {
        events::run(
            source,
            fork_events,
            Redactor::default(),
            &stopping,
            &mut std::io::stdout().lock(),
        )
    });
    tokio::select! {
        signal = stop_signal() => { signal?; }
        ended = &mut printing => {
            ended??;
            return Ok(ExitCode::SUCCESS);
        }
    }
    shutdown.cancel();
    printing.await??;
    Ok(ExitCode::SUCCESS)
}

fn capture_options(config: &AgentConfig) -> CaptureOptions {
    CaptureOptions {
        io_slow_threshold: config.io_slow_threshold,
        ..CaptureOptions::default()
    }
}

async fn stop_signal() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
