//! `bench store`: what samples and events take on the disk once they are compacted. The data comes from a real agent that
//! watches processes which this command runs; `procmon-server/benches/store` compacts it and measures.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::check::cargo;
use crate::command;
use crate::http;
use crate::pair::{self, Pair, Setup};
use crate::prerequisites::require_root;
use crate::sandbox::{Sandbox, this_program};
use crate::service::Echo;

const POPULATION_LIMIT: Duration = Duration::from_mins(5);

/// Measure what samples and events take once they are compacted, against a row per sample in PostgreSQL.
///
/// For each mix it starts processes in a PID namespace of their own, a server, and agents that sample them each second and
/// each 10 seconds, at level ebpf. What the agents reported of these processes (and of no others) is then stored in a new
/// store and compacted to an hour's segment; bytes are those of the files, identities and indexes included, and CPU time is
/// that of reading the log, compacting and writing. The same samples go into a private PostgreSQL, a row each, by COPY.
///
/// The mixes: quiet (every 20th process works a little each second, the others sleep), changing (all of them change
/// between any two samples), build (a cold software build: shells, drivers, compilers, each with its own long command line)
/// and cron (few short commands, again and again). Needs root, and as many minutes for each mix as it is told to.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, value_delimiter = ',', default_values_t = ["quiet", "changing", "build", "cron"].map(str::to_owned))]
    mixes: Vec<String>,
    /// For how long each mix runs: an hour is what a segment holds.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Processes of the mixes quiet and changing.
    #[arg(long, default_value_t = 300)]
    processes: u32,
    /// Without PostgreSQL.
    #[arg(long)]
    no_peers: bool,
    /// Where the programs are: release builds, made here when not given.
    #[arg(long)]
    binaries: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("namespaces, and loading programs into the kernel,")?;
    let binaries = if let Some(folder) = &options.binaries {
        folder.clone()
    } else {
        let packages = ["--package", "procmon-server", "--package", "procmon-agent"];
        command::run(cargo()?.args(["build", "--release"]).args(packages))?;
        pair::binaries("release")?
    };
    for mix in &options.mixes {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let namespace = capture(options, mix, &binaries, folder.path())?;
        measure(options, mix, folder.path(), namespace)?;
    }
    Ok(())
}

/// Agents and what they are called: the interval is in the name.
const AGENTS: [(&str, &str); 2] = [("at-1s", "1s"), ("at-10s", "10s")];

/// Lets the agents watch a mix; returns the number of its PID namespace.
fn capture(options: &Options, mix: &str, binaries: &Path, folder: &Path) -> Result<u64> {
    let processes = options.processes.to_string();
    let workload = this_program(&["workload", "--kind", mix, "--processes", &processes])?;
    let log = folder.join("workload.log");
    let setups: Vec<_> = AGENTS
        .iter()
        .map(|(id, interval)| (id, ["--interval".to_owned(), (*interval).to_owned()]))
        .collect();
    let server_folder = folder.join("server");
    fs::create_dir_all(&server_folder).context("cannot make a folder")?;
    let of = |id, arguments, data_dir| Setup {
        binaries,
        bind_addr: "127.0.0.1:0",
        data_dir,
        agent_id: Some(id),
        agent_arguments: arguments,
        agent_environment: &[],
        echo: Echo::Off,
    };
    let mut pair = Pair::start(&of(setups[0].0, &setups[0].1, &server_folder))?;
    let second_folder = folder.join("second");
    fs::create_dir_all(&second_folder).context("cannot make a folder")?;
    let second = of(setups[1].0, &setups[1].1, &second_folder);
    let mut second = second.start_agent(&pair.url)?;
    for (id, _) in AGENTS {
        wait_for(&pair, id)?;
    }
    // What starts the processes is watched, too.
    let sandbox = Sandbox::start(&workload, &log, POPULATION_LIMIT)?;
    let namespace = sandbox.pid_namespace()?;
    thread::sleep(Duration::from_secs_f64(options.minutes * 60.0));
    pair.require_running()?;
    sandbox.stop()?;
    thread::sleep(Duration::from_secs(2));
    second.stop(Duration::from_secs(10))?;
    pair.stop()?;
    Ok(namespace)
}

fn wait_for(pair: &Pair, id: &str) -> Result<()> {
    for _ in 0..150 {
        let answer = http::get(&pair.url, &format!("/api/v1/agents/{id}"));
        if answer.is_ok_and(|agent| agent.contains("\"probe\":\"ebpf\"")) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
    bail!("the agent {id} did not report in time, or not at level ebpf")
}

fn measure(options: &Options, mix: &str, folder: &Path, namespace: u64) -> Result<()> {
    let mut bench = cargo()?;
    bench.args([
        "bench",
        "--package",
        "procmon-server",
        "--bench",
        "store",
        "--",
    ]);
    bench.args(["--mix", mix, "--namespace", &namespace.to_string(), "--log"]);
    bench.arg(folder.join("server"));
    for (id, _) in AGENTS {
        bench.args(["--agent", id]);
    }
    if options.no_peers {
        bench.arg("--no-peers");
    }
    command::run(&mut bench)
}

impl Sandbox {
    /// The number that the kernel gave the namespace: agents report it of each process.
    fn pid_namespace(&self) -> Result<u64> {
        let path = format!("/proc/{}/ns/pid", self.init());
        let found = fs::metadata(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(found.ino())
    }
}
