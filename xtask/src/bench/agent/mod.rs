//! `bench agent`: what looking at all processes costs us, and others, on the same processes in one run. One file per
//! way to look; nothing here knows what the looks are made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::bpf_stats;
use crate::check::cargo;
use crate::population;
use crate::prerequisites::require_root;
use crate::sandbox::{Sandbox, this_program};
use crate::{command, process_cost};

mod peers;
mod report;
mod scans;
mod snapshot;
mod whole;

/// How long it may take until all sleepers sleep.
const POPULATION_LIMIT: Duration = Duration::from_mins(5);

/// Compare the cost of a snapshot, and of the whole agent, with other monitors on the same processes.
///
/// For each size it starts sleepers in a PID, mount and network namespace of their own: 14 open files each, every second
/// one listens on a port, every eighth has three more threads. Then it measures, one after the other:
///
/// - our whole snapshot (every field, files and sockets included), release build;
///
/// - inside the namespace: a scan by the Rust library sysinfo, netdata's apps.plugin, pidstat -rud, atop, and
///   prometheus-process-exporter (without smaps and threads). Their Debian packages are unpacked into the cache; no
///   service is installed or started;
///
/// - the whole agent at an interval of 1 s, which spools and ships to a server on loopback.
///
/// Our programs in the kernel see the whole host, so that ours has a few more processes to look at than the others: the
/// count is printed. CPU time is that of the process to the nanosecond, the kernel's work for it included; where our
/// programs run at the expense of others, theirs is printed apart. Needs root, and some minutes of a quiet machine.
#[derive(Args)]
pub(crate) struct Options {
    /// Sizes of the population.
    #[arg(long, value_delimiter = ',', default_values_t = [150, 1000, 5000])]
    processes: Vec<u32>,
    /// Scans of each tool, of which the median counts.
    #[arg(long, default_value_t = 9)]
    scans: usize,
    /// Seconds for which the whole agent is watched.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// What one tool costs.
struct Cost {
    /// CPU time of each scan.
    scans_ms: Vec<f64>,
    rss_bytes: u64,
    /// What it looked at, where it says so.
    processes: Option<usize>,
}

/// A tool and its cost, or why it could not be measured here.
struct Row {
    tool: &'static str,
    cost: Result<Cost>,
}

/// What a tool is measured with.
struct Stage<'a> {
    sandbox: &'a Sandbox,
    /// For logs and the tools' own files.
    folder: &'a Path,
    /// Between two scans: a peer must not fall behind.
    interval_s: u64,
    scans: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("namespaces, and loading programs into the kernel,")?;
    command::run(cargo()?.args([
        "build",
        "--release",
        "--package",
        "procmon-server",
        "--package",
        "procmon-agent",
    ]))?;
    let snapshot = snapshot::build()?;
    let peers = peers::all();
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    for processes in &options.processes {
        measure(options, *processes, &snapshot, &peers, folder.path())?;
    }
    Ok(())
}

fn measure(
    options: &Options,
    processes: u32,
    snapshot: &Path,
    peers: &[peers::Peer],
    folder: &Path,
) -> Result<()> {
    let folder = folder.join(processes.to_string());
    fs::create_dir_all(&folder).context("cannot make a folder")?;
    let population = this_program(&["population", "--processes", &processes.to_string()])?;
    let sandbox = Sandbox::start(
        &population,
        &folder.join("population.log"),
        POPULATION_LIMIT,
    )?;
    let on_host = process_cost::processes_on_this_host()?;
    println!(
        "\n{processes} processes of {} files in a namespace, {on_host} on this host",
        population::FILES
    );
    let stage = Stage {
        sandbox: &sandbox,
        folder: &folder,
        interval_s: 1 + u64::from(processes) / 2000,
        scans: options.scans,
    };
    let mut rows = vec![
        Row {
            tool: "procmon, snapshot",
            cost: snapshot::ours(snapshot, &stage),
        },
        Row {
            tool: "sysinfo (Rust)",
            cost: snapshot::sysinfo(snapshot, &stage),
        },
    ];
    rows.extend(peers.iter().map(|peer| Row {
        tool: peer.name,
        cost: peer.measure(&stage),
    }));
    report::snapshots(processes, &rows);

    let others: BTreeSet<u32> = bpf_stats::programs()?.into_keys().collect();
    let whole = whole::measure(&folder, Duration::from_secs(options.seconds), &others)?;
    report::whole(processes, &whole);
    sandbox.stop()
}
