//! `cargo xtask run`: procmon on this machine, from a fresh clone, with one command.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::activity::Activity;
use crate::check::cargo;
use crate::pair::{self, Pair, Setup};
use crate::service::Echo;
use crate::{command, prerequisites, web, workspace};

/// How often a line says what the processes of this machine did.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Build procmon, start the server and this machine's agent, and say what happens until Ctrl-C.
///
/// Works without root too: the agent then sees less, and says what and why.
#[derive(Args)]
pub(crate) struct Options {
    /// The server's address and port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    bind_addr: String,
    /// Where the server stores, and the agent spools [default: .procmon in the clone].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The name of this machine [default: the agent's own choice].
    #[arg(long)]
    agent_id: Option<String>,
    /// More arguments for the agent, after `--`.
    #[arg(last = true, value_name = "AGENT ARGUMENTS")]
    agent_arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_free(&options.bind_addr)?;
    build()?;
    let data_dir = match &options.data_dir {
        Some(folder) => env::current_dir()?.join(folder),
        None => workspace::root()?.join(".procmon"),
    };
    fs::create_dir_all(&data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .context("cannot wait for signals")?;
    }
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("release")?,
        bind_addr: &options.bind_addr,
        data_dir: &data_dir,
        agent_id: options.agent_id.as_deref(),
        agent_arguments: &options.agent_arguments,
        agent_environment: &[],
        echo: Echo::On,
    })?;
    println!(
        "\n  procmon is at {}\n  data and logs are in {}\n  Ctrl-C stops it\n",
        pair.url,
        data_dir.display()
    );
    let watched = watch(&mut pair, &stop);
    println!("stopping");
    for (name, status) in pair.stop()? {
        println!("{name}: {status}");
    }
    watched
}

/// Returns when told to stop, and fails when the server or the agent ends by itself.
fn watch(pair: &mut Pair, stop: &AtomicBool) -> Result<()> {
    let mut before = Activity::of_server(&pair.url)?;
    let mut report_at = Instant::now() + REPORT_INTERVAL;
    while !stop.load(Ordering::Relaxed) {
        pair.require_running()?;
        if Instant::now() >= report_at {
            // A server too busy to answer is worth a line, not an end.
            match Activity::of_server(&pair.url) {
                Ok(now) => {
                    now.since(&before)
                        .iter()
                        .for_each(|line| println!("       | {line}"));
                    before = now;
                }
                Err(error) => println!("       | no answer from the server: {error:#}"),
            }
            report_at += REPORT_INTERVAL;
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn build() -> Result<()> {
    prerequisites::ensure(prerequisites::C_COMPILER)?;
    // Without Node there is no UI, but all the rest: the server's first page says the same.
    if let Err(error) = prerequisites::ensure_node().and_then(|()| web::build()) {
        println!("Going on without the web UI: {error:#}");
    }
    println!("building the server and the agent (the first time takes some minutes)");
    command::run(cargo()?.args([
        "build",
        "--release",
        "--package",
        "procmon-server",
        "--package",
        "procmon-agent",
    ]))
}

fn require_free(bind_addr: &str) -> Result<()> {
    let address = if bind_addr.starts_with(':') {
        format!("0.0.0.0{bind_addr}")
    } else {
        bind_addr.to_owned()
    };
    match TcpListener::bind(&address) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "cannot listen on {address}: {error}. Stop the program that does (`ss -ltnp` names it), \
             or choose another port: cargo xtask run --bind-addr 127.0.0.1:8090"
        ),
    }
}
