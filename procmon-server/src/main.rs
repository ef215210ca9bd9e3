//! The procmon server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use procmon_common::log::start_log;
use procmon_server::alerts::rule::files;
use procmon_server::clock::Clock;
use procmon_server::config::{Arguments, Command, Config};
use procmon_server::{metrics, routing, run};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A fleet's state is tens of millions of small pieces that come and go: the C library's allocator spent a quarter of an upload's
/// time looking through what they leave, and held a fifth more memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(command) = &arguments.command {
        let (text, good) = match command {
            Command::Openapi => (routing::openapi_json(), true),
            Command::Metrics => (metrics::page(), true),
            Command::CheckRules { paths } => check_rules(paths),
        };
        let written = std::io::stdout().write_all(text.as_bytes());
        return if written.is_ok() && good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    start_log("procmon_server", "info,sqlx=warn");
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What there is, what is wrong with it, and whether nothing is.
fn check_rules(paths: &[PathBuf]) -> (String, bool) {
    let (good, errors) = files::check(paths);
    let good = good
        .iter()
        .map(|(path, rules)| format!("{}: {rules} rules\n", path.display()));
    let wrong = errors
        .iter()
        .map(|error| format!("{}: {}\n", error.path.display(), error.message));
    (good.chain(wrong).collect(), errors.is_empty())
}

#[tokio::main]
async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(arguments)?;
    let listener = TcpListener::bind(config.bind_addr).await.with_context(|| {
        format!(
            "cannot listen on {}: is another server running there? Choose another address with --bind-addr",
            config.bind_addr
        )
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "anybody who reaches {address} can read and write everything: insecure_no_auth is set"
        );
    }
    if config.db_dsn.is_some() {
        tracing::info!("keeping everything in the database that db_dsn names");
    } else if let Some(folder) = &config.data_dir {
        tracing::info!("keeping everything in {}", folder.display());
    } else {
        tracing::info!("keeping nothing beyond this run: persistence is false");
    }
    let shutdown = CancellationToken::new();
    let signalled = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let signals = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        signalled.cancel();
        // Lets the server finish; this future is dropped with it.
        std::future::pending::<()>().await;
    };
    tracing::info!("listening on http://{address}");
    tokio::select! {
        ended = run::run(config, listener, Clock::System, shutdown) => ended,
        () = signals => Ok(()),
    }
}
