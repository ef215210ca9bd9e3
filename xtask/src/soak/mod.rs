//! `cargo xtask soak`: hours of use in minutes. Nothing may grow, and nothing may be lost.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::bench::recorded;
use crate::check::{build_debug, cargo};
use crate::pair::{self, Pair, Setup};
use crate::prerequisites::require_root;
use crate::sandbox::{Sandbox, this_program};
use crate::service::Echo;
use crate::{command, workspace};

mod plot;
mod readings;
mod spawner;
mod verdict;

use readings::Reading;
use spawner::Spawner;

/// How long it may take until all sleepers sleep.
const POPULATION_LIMIT: Duration = Duration::from_mins(5);

/// Readings: so many over the whole time, and not oftener than each second.
const READINGS: u32 = 240;

/// The agent samples each second: what leaks with samples leaks five times as fast as by default.
const AGENT_ARGUMENTS: [&str; 2] = ["--interval", "1s"];

/// Run an agent and a server under steady load, and watch that nothing grows and nothing is lost.
///
/// Sleepers with files, threads and listening sockets live in a namespace of their own, and /bin/true is started so many
/// times a second. Every few seconds the resident memory, open files, CPU time and disk use of the agent and the server
/// and the records dropped go into target/soak/soak.csv; soak.svg shows them. At the end memory must be flat (the median of
/// the last quarter at most a tenth and 4 MiB above that of the second), open files too (at most 4 more), and every
/// process spawned must be in the API with its start and its end. Needs root.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Processes started each second.
    #[arg(long, default_value_t = 100)]
    spawns: u32,
    /// Processes that live all the time.
    #[arg(long, default_value_t = 1000)]
    processes: u32,
    /// Build and run the programs of this cargo profile.
    #[arg(long, default_value = "release", value_parser = ["release", "debug"])]
    profile: String,
}

impl Options {
    /// What continuous integration runs: a minute, with the programs that the other tests have built.
    pub(crate) fn short() -> Self {
        Self {
            minutes: 1.0,
            spawns: 100,
            processes: 1000,
            profile: "debug".to_owned(),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("namespaces, and loading programs into the kernel,")?;
    build(&options.profile)?;
    let out = workspace::target_dir()?.join("soak");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let population = this_program(&["population", "--processes", &options.processes.to_string()])?;
    let sandbox = Sandbox::start(
        &population,
        &folder.path().join("population.log"),
        POPULATION_LIMIT,
    )?;
    let arguments = AGENT_ARGUMENTS.map(str::to_owned);
    let setup = Setup {
        binaries: &pair::binaries(&options.profile)?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder.path(),
        agent_id: Some("soak"),
        agent_arguments: &arguments,
        agent_environment: &[],
        echo: Echo::Off,
    };
    let mut pair = Pair::start(&setup)?;
    wait_for_agent(&pair)?;
    let soaked = soak(options, &mut pair, &setup, &out);
    pair.stop()?;
    sandbox.stop()?;
    soaked
}

fn build(profile: &str) -> Result<()> {
    if profile == "debug" {
        return build_debug();
    }
    let packages = ["--package", "procmon-server", "--package", "procmon-agent"];
    command::run(cargo()?.args(["build", "--release"]).args(packages))
}

/// What starts before the agent watches is not its to see.
fn wait_for_agent(pair: &Pair) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !crate::http::get(&pair.url, "/api/v1/agents/soak")
        .is_ok_and(|agent| agent.contains("\"probe\":\"ebpf\""))
    {
        if Instant::now() >= deadline {
            bail!(
                "the agent did not report in time, or not at level ebpf:\n{}",
                pair.agent.last_lines(5)
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn soak(options: &Options, pair: &mut Pair, setup: &Setup, out: &Path) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .context("cannot wait for signals")?;
    }
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let pause = (time / READINGS).max(Duration::from_secs(1));
    let marker = format!("procmon-soak-{}", process::id());
    let load = Spawner::start(options.spawns, &marker);
    let started = Instant::now();
    let mut csv = readings::Csv::create(&out.join("soak.csv"))?;
    let mut readings: Vec<Reading> = Vec::new();
    while started.elapsed() < time && !stop.load(Ordering::Relaxed) {
        thread::sleep(pause);
        pair.require_running()?;
        let reading = Reading::take(pair, setup, started.elapsed(), load.spawned())?;
        csv.write(&reading)?;
        readings.push(reading);
    }
    let spawned = load.stop()?;
    let exits = recorded::wait_for_exits(&pair.url, "true", &marker, spawned)?;
    let starts = recorded::lives_with(&pair.url, "exec", "true", &marker)?;
    recorded::describe_unended(&pair.url, &starts, &exits)?;
    plot::write(&readings, &out.join("soak.svg"))?;
    println!(
        "soak: readings in {0}/soak.csv, drawn in {0}/soak.svg",
        out.display()
    );
    verdict::judge(
        &readings,
        &verdict::Lives {
            spawned,
            starts: starts.len() as u64,
            exits: exits.len() as u64,
        },
    )
}
