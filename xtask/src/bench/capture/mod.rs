//! `bench capture`: is every process of a storm recorded, what does recording one cost, and what do others miss?

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::bpf_stats::{self, Accounting};
use crate::check::cargo;
use crate::command;
use crate::pair::{self, Pair, Setup};
use crate::prerequisites::require_root;
use crate::service::Echo;
use crate::spawning::{Load, Storm};

mod atop;
mod execsnoop;
mod meter;
mod ours;
mod report;
mod slowdown;

/// Spawn short-lived processes, and count and cost their records: ours, bpftrace's execsnoop's and atop's.
///
/// Two loads: 50 000 x /bin/true as fast as the machine can, and 2 000 x 20 ms of sleep. For each it prints how many starts
/// and ends each tool has seen, its own CPU time and the time of its programs in the kernel per process; what the tool
/// uses while idle is taken off. execsnoop.bt (Debian's bpftrace) sees this host as we do, through a tracefs mounted for
/// it alone; atop and its accounting file run in a PID namespace with the load, so that accounting never starts on the
/// host. Then it measures fork + exec + exit with and without the agent, in turns, by the CPU time of the spawner and of
/// what it spawned.
///
/// Builds release binaries, runs a server and an agent of their own on a free loopback port, and needs root. The figures
/// are medians over the rounds; a lost event of ours is an error.
#[derive(Args)]
pub(crate) struct Options {
    /// Processes of the storm.
    #[arg(long, default_value_t = 50_000)]
    processes: u32,
    /// Threads that start them.
    #[arg(long, default_value_t = 2)]
    workers: u32,
    /// Processes that live for 20 ms, started by eight threads.
    #[arg(long, default_value_t = 2_000)]
    lasting: u32,
    /// Rounds of ours; the peers have one.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Pairs of the slow-down measurement, each 5 000 processes without the agent and 5 000 with it; 0: none.
    #[arg(long, default_value_t = 8)]
    pairs: usize,
    /// Ours alone.
    #[arg(long)]
    no_peers: bool,
}

/// What a tool made of a load.
struct Seen {
    /// `None`: it does not know of such.
    starts: Option<u64>,
    exits: Option<u64>,
    cpu_us_per_life: f64,
    /// Of its programs in the kernel.
    kernel_us_per_life: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("loading programs into the kernel")?;
    command::run(cargo()?.args([
        "build",
        "--release",
        "--package",
        "procmon-server",
        "--package",
        "procmon-agent",
    ]))?;
    let storms = [
        Storm {
            load: Load::BackToBack,
            processes: options.processes,
            workers: options.workers.max(1),
        },
        Storm {
            load: Load::TwentyMs,
            processes: options.lasting,
            workers: 8,
        },
    ];
    let complete = loads(options, &storms)?;
    if options.pairs > 0 {
        report::slowdown(&slowdown::measure(options.pairs, options.workers.max(1))?);
    }
    if !complete {
        bail!("not every process was recorded");
    }
    Ok(())
}

/// Whether we have seen all of them.
fn loads(options: &Options, storms: &[Storm]) -> Result<bool> {
    let _accounting = Accounting::start()?;
    let others: BTreeSet<u32> = bpf_stats::programs()?.into_keys().collect();
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("release")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder.path(),
        agent_id: Some("bench"),
        agent_arguments: &[],
        agent_environment: &[],
        echo: Echo::Off,
    })?;
    let mut complete = true;
    let mut ours = Vec::new();
    for storm in storms {
        let measured = ours::measure(*storm, options.rounds, &pair, &others)?;
        report::ours(*storm, &measured);
        complete &= measured.complete(*storm);
        ours.push(measured.seen());
    }
    pair.require_running()?;
    pair.stop()?;
    for (storm, ours) in storms.iter().zip(ours) {
        let mut rows = vec![("procmon", Ok(ours))];
        if !options.no_peers {
            rows.push(("execsnoop.bt", execsnoop::measure(*storm, folder.path())));
            rows.push(("atop, accounting", atop::measure(*storm, folder.path())));
        }
        report::comparison(*storm, &rows);
    }
    Ok(complete)
}
