//! `cargo xtask load`: many agents against one server, sustained, and everything counted.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::check::cargo;
use crate::pair::{self, Setup};
use crate::service::{Echo, Service};
use crate::{command, prerequisites};

mod postgres;

use postgres::Postgres;

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Play many agents against a server for a while, and count what arrives.
///
/// Hosts are made up, the wire is the real one: each agent has its connection, samples its processes, tells of starts and ends
/// within 150 ms, and sends a key batch when the server asks for it. Of all rows 14 % change their context switches at a
/// sample, 7 % their CPU time, 4 % their faults and 2 % their memory. Meanwhile lists, trees, events and histories are asked
/// for, again and again.
///
/// Prints a line every 5 s, and at the end throughput, latencies of ingest and of each query, CPU time and memory of the
/// server (and of the simulator, which runs beside it), and the growth on disk; with --rules how long their evaluations took. Then it asks the API for every start and
/// every end that was acknowledged, for the number of processes on each host, and for values and histories of some. It
/// fails when anything is missing, there twice or different.
///
/// Without --server it starts a release server of its own with a folder that is removed afterwards.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    load: Load,
    /// A server that runs already.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What our own server stores in.
    #[arg(long, default_value = "sqlite", value_parser = ["sqlite", "postgres"])]
    db: String,
    /// More arguments for our own server, after `--`.
    #[arg(last = true, value_name = "SERVER ARGUMENTS")]
    server_arguments: Vec<String>,
    /// Build and run the programs of this cargo profile.
    #[arg(long, default_value = "release", value_parser = ["release", "debug"])]
    profile: String,
    /// Instead: one agent for a day of simulated time, and the cost of its history.
    #[arg(long, conflicts_with_all = ["server", "db"])]
    day: bool,
}

/// How much of it; the simulator itself knows what is valid.
#[derive(Args)]
struct Load {
    #[arg(long, default_value_t = 100)]
    agents: u32,
    /// Processes on each host that stay.
    #[arg(long, default_value_t = 300)]
    processes: u32,
    /// Between two samples.
    #[arg(long, default_value = "5s")]
    interval: String,
    /// How long agents send.
    #[arg(long, default_value = "1m")]
    duration: String,
    /// Processes on each host that begin, and end, in a minute.
    #[arg(long, default_value = "6")]
    lives_per_minute: String,
    /// Between two requests of each kind of query; 0 asks nothing.
    #[arg(long, default_value = "2s")]
    query_every: String,
    /// Rules of alerts, of every kind, that the server evaluates meanwhile.
    #[arg(long, default_value_t = 0)]
    rules: u32,
}

impl Options {
    /// What continuous integration runs: seconds, with the programs that the other tests have built.
    pub(crate) fn short() -> Self {
        Self {
            load: Load {
                agents: 40,
                processes: 60,
                interval: "1s".to_owned(),
                duration: "10s".to_owned(),
                lives_per_minute: "60".to_owned(),
                query_every: "1s".to_owned(),
                rules: 0,
            },
            server: None,
            db: "sqlite".to_owned(),
            server_arguments: Vec::new(),
            profile: "debug".to_owned(),
            day: false,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.day {
        let interval = ["--interval", &options.load.interval];
        let processes = ["--processes", &options.load.processes.to_string()];
        return bench("day", &[interval, processes].concat());
    }
    build(&options.profile)?;
    let binaries = pair::binaries(&options.profile)?;
    if let Some(url) = &options.server {
        return simulate(&binaries, &options.load, url, &[]);
    }
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let database = match options.db.as_str() {
        "postgres" => Some(Postgres::start(&folder.path().join("postgres"))?),
        _ => None,
    };
    let data_dir = folder.path().join("server");
    std::fs::create_dir(&data_dir).context("cannot make a data folder")?;
    let mut arguments = options.server_arguments.clone();
    if let Some(database) = &database {
        arguments.extend(["--db-dsn".to_owned(), database.dsn()]);
    }
    let (url, mut server) = Setup {
        binaries: &binaries,
        bind_addr: "127.0.0.1:0",
        data_dir: &data_dir,
        agent_id: None,
        agent_arguments: &[],
        agent_environment: &[],
        echo: Echo::Off,
    }
    .start_server_with(&arguments)?;
    let simulated = simulate_own(
        &binaries,
        options,
        &url,
        &server,
        &data_dir,
        database.as_ref(),
    );
    server.require_running()?;
    let stopped = server.stop(STOP_LIMIT)?;
    if let Some(database) = database {
        database.stop()?;
    }
    if !stopped.success() {
        bail!(
            "the server did not stop in good order ({stopped}):\n{}",
            server.last_lines(20)
        );
    }
    if simulated.is_err() {
        println!("the server's last lines:\n{}", server.last_lines(20));
    }
    simulated
}

fn simulate_own(
    binaries: &Path,
    options: &Options,
    url: &str,
    server: &Service,
    data_dir: &Path,
    database: Option<&Postgres>,
) -> Result<()> {
    let folder = database.map_or(data_dir, Postgres::folder);
    let mut arguments = vec![
        "--server-pid".to_owned(),
        server.pid().to_string(),
        "--data-dir".to_owned(),
        folder.display().to_string(),
    ];
    if let Some(database) = database {
        arguments.extend(["--database-pid".to_owned(), database.pid().to_string()]);
    }
    simulate(binaries, &options.load, url, &arguments)
}

fn simulate(binaries: &Path, load: &Load, url: &str, more: &[String]) -> Result<()> {
    let mut simulator = Command::new(binaries.join("procmon-load"));
    simulator.args([
        "--url",
        url,
        "--interval",
        &load.interval,
        "--duration",
        &load.duration,
    ]);
    simulator.args([
        "--agents",
        &load.agents.to_string(),
        "--processes",
        &load.processes.to_string(),
    ]);
    simulator.args([
        "--lives-per-minute",
        &load.lives_per_minute,
        "--query-every",
        &load.query_every,
        "--rules",
        &load.rules.to_string(),
    ]);
    command::run(simulator.args(more))
}

fn build(profile: &str) -> Result<()> {
    prerequisites::ensure(prerequisites::C_COMPILER)?;
    let mut build = cargo()?;
    build.args([
        "build",
        "--package",
        "procmon-server",
        "--package",
        "procmon-load",
    ]);
    if profile == "release" {
        build.arg("--release");
    }
    command::run(&mut build)
}

/// A benchmark of the server's crate, which runs the server in its own process, by a clock of its own.
pub(crate) fn bench(name: &str, arguments: &[&str]) -> Result<()> {
    prerequisites::ensure(prerequisites::C_COMPILER)?;
    let mut bench = cargo()?;
    bench.args([
        "bench",
        "--quiet",
        "--package",
        "procmon-server",
        "--bench",
        name,
        "--",
    ]);
    command::run(bench.args(arguments))
}
