//! The procmon agent's wiring: configuration, probe level, tasks, signals, shutdown.

mod daemon;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use procmon_agent::config::{AgentConfig, Cli, Command, TopFlags};
use procmon_agent::kernel::CaptureOptions;
use procmon_agent::kernel::probe::{self, Level};
use procmon_agent::redact::Redactor;
use procmon_agent::source::Source;
use procmon_agent::top::{self, TopOptions};
use procmon_agent::{check, events, privileges, resume};
use procmon_common::log::start_log;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Of `top`, unless an interval is configured.
const TOP_INTERVAL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log("procmon_agent", "info");
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let config = AgentConfig::load(&cli.flags)?;
    match cli.command {
        Some(Command::Check) => block_on(check::run(&config, &probe::assess())),
        Some(Command::Events) => {
            let (level, source) = start_events(&config)?;
            let redactor = Redactor::new(config.redact, config.redact_rules.as_deref())?;
            daemon::give_up_privileges(&config, level, true)?;
            block_on(print_events(source, config.fork_events, redactor))
        }
        Some(Command::Top(flags)) => show_top(&config, flags),
        Some(Command::Unpin) => resume::unpin(&config.spool_dir),
        None => daemon::run(&cli.flags, config),
    }
}

/// What threads may still take when all is over, or has failed: what they have seen goes to the spool.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs a future. Starts threads: privileges are given up before. A panic must not wait for them for ever, as the end of
/// a runtime does.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    struct Ending(Option<Runtime>);
    impl Drop for Ending {
        fn drop(&mut self) {
            if let Some(runtime) = self.0.take() {
                runtime.shutdown_timeout(LAST_WORK);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ending = Ending(Some(runtime));
    match &ending.0 {
        Some(runtime) => runtime.block_on(future),
        None => unreachable!("it is taken when it is dropped"),
    }
}

/// A source that tells events.
fn start_events(config: &AgentConfig) -> Result<(Level, Source)> {
    let (level, reason, source) = probe::choose(config.probe, capture_options(config), None)?;
    anyhow::ensure!(
        source.has_events(),
        "`events` needs a probe level that tells events, not {level} ({reason}). Try `procmon-agent check`"
    );
    if level != Level::Ebpf {
        tracing::warn!("probe {level}: {reason}");
    }
    Ok((level, source))
}

/// At the best level that works, without a word about it: a user who is not root expects less.
fn show_top(config: &AgentConfig, flags: TopFlags) -> Result<ExitCode> {
    let (level, _, source) = probe::choose(config.probe, capture_options(config), None)?;
    if config.hardening {
        privileges::give_up(&privileges::features(level.name(), true))?;
    }
    let interval = if config.is_set("interval") {
        config.interval
    } else {
        TOP_INTERVAL
    };
    let options = TopOptions {
        once: flags.once,
        sort: flags.sort,
        rows: flags.rows,
        interval,
    };
    let redactor = Redactor::new(config.redact, config.redact_rules.as_deref())?;
    let shutdown = CancellationToken::new();
    let stopping = shutdown.clone();
    block_on(until_signal(shutdown, move || {
        top::run(
            source,
            redactor,
            options,
            &stopping,
            &mut std::io::stdout().lock(),
        )
    }))
}

/// Runs something that ends by itself, or soon after a signal.
async fn until_signal(
    shutdown: CancellationToken,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<ExitCode> {
    let mut working = tokio::task::spawn_blocking(work);
    tokio::select! {
        signal = stop_signal() => { signal?; }
        ended = &mut working => {
            ended??;
            return Ok(ExitCode::SUCCESS);
        }
    }
    shutdown.cancel();
    working.await??;
    Ok(ExitCode::SUCCESS)
}

async fn print_events(source: Source, fork_events: bool, redactor: Redactor) -> Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let stopping = shutdown.clone();
    until_signal(shutdown, move || {
        events::run(
            source,
            fork_events,
            redactor,
            &stopping,
            &mut std::io::stdout().lock(),
        )
    })
    .await
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_panic_does_not_wait_for_threads_that_never_end() {
        let began = Instant::now();
        let panicked = std::panic::catch_unwind(|| {
            block_on(async {
                tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_hours(1)));
                tokio::task::yield_now().await;
                panic!("on the main thread");
                #[expect(unreachable_code, reason = "says what the future would return")]
                Ok(())
            })
        });
        assert!(panicked.is_err());
        assert!(began.elapsed() < Duration::from_mins(5));
    }
}
