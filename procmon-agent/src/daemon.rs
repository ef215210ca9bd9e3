//! The daemon: what needs privileges first, then giving them up, then the tasks, signals and shutdown.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use procmon_agent::batch::Speaker;
use procmon_agent::config::{AgentConfig, Flags};
use procmon_agent::kernel::probe::{self, Level};
use procmon_agent::limits;
use procmon_agent::listen::{self, Told};
use procmon_agent::privileges::{self, Privileges};
use procmon_agent::redact::Redactor;
use procmon_agent::ship::{self, ShipState, ShipTarget};
use procmon_agent::spool::{self, SpoolOptions, SpoolReader};
use procmon_agent::vitals::Vitals;
use procmon_agent::watch::{Watch, WatchOptions};
use procmon_agent::{reload, resume};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{block_on, capture_options, stop_signal};

/// What only the start may open, ready to run.
struct Started {
    level: Level,
    watch: Watch,
    reader: SpoolReader,
    listener: Option<TcpListener>,
    ship: Arc<ShipState>,
    vitals: Arc<Vitals>,
    redactor: Redactor,
    config: watch::Sender<Arc<AgentConfig>>,
}

pub(crate) fn run(flags: &Flags, config: AgentConfig) -> Result<ExitCode> {
    let config = Arc::new(config);
    let started = start(&config)?;
    let spool_is_own = privileges::writable_by_owner(&config.spool_dir);
    let privileges = give_up_privileges(&config, started.level, spool_is_own)?;
    block_on(serve(started, flags.clone(), privileges))
}

fn start(config: &Arc<AgentConfig>) -> Result<Started> {
    let limits = SpoolOptions::new(config.spool_max_bytes).within(config.mem_limit_bytes);
    let (writer, reader) = spool::open(&config.spool_dir, limits)?;
    limits::go_first();
    let redactor = Redactor::new(config.redact, config.redact_rules.as_deref())?;
    let listener = config.listen.map(listen::bind).transpose()?;
    let (continuity, predecessor) = resume::prepare(&config.spool_dir, config.pin, &writer)?;
    let (level, reason, source) = probe::choose(config.probe, capture_options(config), continuity)?;
    if level == Level::Ebpf {
        tracing::info!("agent {}: probe {level}", config.agent_id);
    } else {
        tracing::warn!("agent {}: probe {level}: {reason}", config.agent_id);
    }
    let labels = config.labels.clone().into_iter().collect();
    let mut speaker = Speaker::of_this_host(config.agent_id.clone(), labels, config.interval)?;
    speaker.probe = level.name();
    speaker.probe_reason = reason;
    let ship = Arc::new(ShipState::default());
    let vitals = Arc::new(Vitals::new(listener.is_some()));
    let (sender, receiver) = watch::channel(Arc::clone(config));
    let options = WatchOptions {
        speaker,
        spool_max_bytes: config.spool_max_bytes,
        redactor: redactor.clone(),
        resync: ship.resync(),
        vitals: Arc::clone(&vitals),
        config: receiver,
        predecessor,
    };
    Ok(Started {
        level,
        watch: Watch::new(source, writer, options)?,
        reader,
        listener,
        ship,
        vitals,
        redactor,
        config: sender,
    })
}

/// Before any thread is started: capabilities belong to threads.
pub(crate) fn give_up_privileges(
    config: &AgentConfig,
    level: Level,
    spool_is_own: bool,
) -> Result<Option<Privileges>> {
    if !config.hardening {
        tracing::warn!("hardening is off: the agent keeps all privileges that it was started with");
        return Ok(None);
    }
    let features = privileges::features(level.name(), spool_is_own);
    let left = privileges::give_up(&features)?;
    let names = left.capabilities.join(" ");
    tracing::info!(
        "privileges: {}, none can be gained, system calls are filtered",
        if names.is_empty() { "none" } else { &names }
    );
    if let Some(reason) = &left.unfiltered {
        tracing::warn!("system calls are NOT filtered: {reason}");
    }
    if !spool_is_own {
        tracing::warn!(
            "the spool folder {} belongs to another user: CAP_DAC_OVERRIDE is kept for it. Give it to the agent's user",
            config.spool_dir.display()
        );
    }
    Ok(Some(left))
}

async fn serve(started: Started, flags: Flags, privileges: Option<Privileges>) -> Result<ExitCode> {
    // With a limit of the size of files (`LimitFSIZE`) a write that exceeds it is to fail as on a full disk, and not to
    // end the agent.
    let _file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let Started {
        watch,
        reader,
        listener,
        ship,
        vitals,
        redactor,
        config,
        ..
    } = started;
    let (targets, target) = watch::channel(target_of(&config.borrow()));
    let told = Told {
        vitals,
        ship: Arc::clone(&ship),
        privileges,
    };

    // The watch stops first, so that `ship` has its last batch to flush.
    let (stop_watch, stop_ship) = (CancellationToken::new(), CancellationToken::new());
    // However this ends, the watch brings what it has seen to the spool.
    let _stop = stop_watch.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let watching = stop_watch.clone();
    let watch_task = tasks
        .spawn_blocking(move || watch.run(&watching).context("watching"))
        .id();
    let shipping = stop_ship.clone();
    tasks.spawn(async move {
        ship::run(reader, target, ship, shipping)
            .await
            .context("shipping")
    });
    if let Some(listener) = listener {
        let listening = stop_watch.clone();
        tasks.spawn(async move {
            listen::run(listener, told, listening)
                .await
                .context("listening")
        });
    }
    let reloading = stop_watch.clone();
    tasks.spawn(async move {
        reload_on_hangup(&flags, &redactor, config, targets, &reloading)
            .await
            .context("waiting for SIGHUP")
    });
    until_stopped(tasks, watch_task, stop_watch, stop_ship).await
}

fn target_of(config: &AgentConfig) -> ShipTarget {
    ShipTarget::new(
        config.server_url.clone(),
        config.agent_id.clone(),
        config.token.clone(),
    )
}

/// Each SIGHUP reads the configuration again. A channel holds the newest one only: that is the one that counts.
async fn reload_on_hangup(
    flags: &Flags,
    redactor: &Redactor,
    configs: watch::Sender<Arc<AgentConfig>>,
    targets: watch::Sender<ShipTarget>,
    shutdown: &CancellationToken,
) -> Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        let running = Arc::clone(&configs.borrow());
        // On a thread of its own: a file may be a pipe that nobody writes to, or on a server that is away.
        let (flags, redactor) = (flags.clone(), redactor.clone());
        let reading = spawn_blocking(move || reload::reload(&flags, &running, &redactor));
        let read = tokio::select! {
            read = reading => read?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let reloaded = match read {
            Ok(reloaded) => reloaded,
            Err(error) => {
                tracing::error!("SIGHUP: {error:#}. The configuration stays as it was");
                continue;
            }
        };
        reloaded.log();
        if reloaded.has_new_target() {
            targets.send_replace(target_of(&reloaded.config));
        }
        configs.send_replace(Arc::new(reloaded.config));
    }
}

/// Waits for a signal, or for a task that ends by itself; then for all tasks.
async fn until_stopped(
    mut tasks: JoinSet<Result<()>>,
    watch_task: Id,
    stop_watch: CancellationToken,
    stop_ship: CancellationToken,
) -> Result<ExitCode> {
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
