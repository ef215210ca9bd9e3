//! `bench capture`: is every process of a storm recorded, and what does recording one cost?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::bpf_stats::{self, Accounting, Program};
use super::{recorded, storm};
use crate::check::cargo;
use crate::command;
use crate::pair::{self, Pair, Setup};
use crate::prerequisites::require_root;
use crate::service::Echo;

/// Budgets of one process life: fork, exec and exit. The agent's is of its CPU time in user mode.
const AGENT_BUDGET_US: f64 = 6.0;
const KERNEL_BUDGET_US: f64 = 2.5;

/// How the names of the programs begin that follow a process from fork to exit.
const LIFECYCLE: &str = "process_";

/// How long the agent is watched doing nothing, so that its idle cost is not counted as the storm's.
const IDLE: Duration = Duration::from_secs(5);

/// Spawn short-lived processes as fast as the machine can, and count and cost their records.
///
/// Builds release binaries, runs a server and an agent of their own on a free loopback port, and needs root. The
/// figures are medians over the rounds; a lost event is an error.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 50_000)]
    processes: u32,
    #[arg(long, default_value_t = 2)]
    workers: u32,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct Round {
    starts: u64,
    exits: u64,
    processes_per_s: f64,
    agent_us_per_life: f64,
    /// Of the agent's time, by the kernel's clock ticks.
    agent_user_share: f64,
    kernel_us_per_life: f64,
    hooks: BTreeMap<String, Hook>,
}

/// What one program did during a round.
struct Hook {
    runs: u64,
    ns_per_run: f64,
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
    let _accounting = Accounting::start()?;
    let others: BTreeSet<u32> = bpf_stats::programs()?.into_keys().collect();
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("release")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder.path(),
        agent_id: Some("bench"),
        agent_arguments: &[],
        echo: Echo::Off,
    })?;
    thread::sleep(IDLE);
    let rounds: Vec<Round> = (0..options.rounds)
        .map(|number| {
            round(
                options,
                &pair,
                &others,
                &format!("procmon-bench-{}-{number}", process::id()),
            )
        })
        .collect::<Result<_>>()?;
    let drops = recorded::drops(&pair.url)?;
    pair.require_running()?;
    pair.stop()?;
    report(options, &rounds, drops)
}

fn round(options: &Options, pair: &Pair, others: &BTreeSet<u32>, marker: &str) -> Result<Round> {
    let idle_from = cpu_time(pair)?;
    thread::sleep(IDLE);
    let idle = (cpu_time(pair)? - idle_from) / IDLE.as_secs_f64();

    let (cpu, ticks, programs) = (cpu_time(pair)?, cpu_ticks(pair)?, own_programs(others)?);
    let started = Instant::now();
    let storm = storm::run(options.processes, options.workers, marker)?;
    let exits = recorded::wait_for_exits(&pair.url, marker, u64::from(options.processes))?;
    let user_share = user_share(&ticks, &cpu_ticks(pair)?);
    let busy = (cpu_time(pair)? - cpu) - idle * started.elapsed().as_secs_f64();
    let hooks = hooks(&programs, &own_programs(others)?);

    let lives = f64::from(options.processes);
    // Block requests are not part of a life: whoever else writes at the same time makes them too.
    let lifecycle = hooks
        .iter()
        .filter(|(name, _)| name.starts_with(LIFECYCLE))
        .map(|(_, hook)| hook);
    let kernel_ns: f64 = lifecycle
        .map(|hook| hook.ns_per_run * hook.runs as f64)
        .sum();
    Ok(Round {
        starts: recorded::count_events(&pair.url, "exec", marker)?,
        exits,
        processes_per_s: lives / storm.as_secs_f64(),
        agent_us_per_life: busy * 1e6 / lives,
        agent_user_share: user_share,
        kernel_us_per_life: kernel_ns / 1e3 / lives,
        hooks,
    })
}

/// CPU seconds of all the agent's threads, ended ones included; exact, unlike the ticks of /proc.
fn cpu_time(pair: &Pair) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pair.agent.pid().cast_signed()))
        .context("the agent's CPU clock")?;
    let time = clock_gettime(clock).context("the agent's CPU clock")?;
    Ok(Duration::from(time).as_secs_f64())
}

/// User and system time in clock ticks.
fn cpu_ticks(pair: &Pair) -> Result<[u64; 2]> {
    let path = format!("/proc/{}/stat", pair.agent.pid());
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    Ok([
        field(11).context("no user time")?,
        field(12).context("no system time")?,
    ])
}

fn user_share(before: &[u64; 2], after: &[u64; 2]) -> f64 {
    let [user, system] = [after[0] - before[0], after[1] - before[1]];
    user as f64 / (user + system).max(1) as f64
}

fn own_programs(others: &BTreeSet<u32>) -> Result<BTreeMap<u32, Program>> {
    let mut programs = bpf_stats::programs()?;
    programs.retain(|id, _| !others.contains(id));
    Ok(programs)
}

fn hooks(
    before: &BTreeMap<u32, Program>,
    after: &BTreeMap<u32, Program>,
) -> BTreeMap<String, Hook> {
    let mut hooks = BTreeMap::new();
    for (id, program) in after {
        let (time, runs) = before
            .get(id)
            .map_or((0, 0), |program| (program.run_time_ns, program.runs));
        let (time, runs) = (program.run_time_ns - time, program.runs - runs);
        if runs > 0 {
            hooks.insert(
                program.name.clone(),
                Hook {
                    runs,
                    ns_per_run: time as f64 / runs as f64,
                },
            );
        }
    }
    hooks
}

fn report(options: &Options, rounds: &[Round], drops: u64) -> Result<()> {
    let expected = u64::from(options.processes);
    println!(
        "{} processes, {} workers, {} rounds (medians)",
        options.processes, options.workers, options.rounds
    );
    let starts: Vec<u64> = rounds.iter().map(|round| round.starts).collect();
    let exits: Vec<u64> = rounds.iter().map(|round| round.exits).collect();
    println!("{:<28} {starts:?}", "starts in the API");
    println!("{:<28} {exits:?}", "exits in the API");
    println!("{:<28} {drops}", "records dropped");
    println!(
        "{:<28} {:.0} per s",
        "spawned",
        median(rounds, |round| round.processes_per_s)
    );
    let agent_user = median(rounds, |round| {
        round.agent_us_per_life * round.agent_user_share
    });
    let agent = median(rounds, |round| round.agent_us_per_life);
    budget("agent user CPU per life", agent_user, AGENT_BUDGET_US);
    println!("{:<28} {agent:.2} µs", "… and system");
    budget(
        "kernel time per life",
        median(rounds, |round| round.kernel_us_per_life),
        KERNEL_BUDGET_US,
    );
    for name in rounds.first().iter().flat_map(|round| round.hooks.keys()) {
        let of = |read: fn(&Hook) -> f64| {
            median(rounds, |round| round.hooks.get(name).map_or(0.0, read))
        };
        let (ns, runs) = (of(|hook| hook.ns_per_run), of(|hook| hook.runs as f64));
        println!("  {name:<26} {ns:.0} ns per run, {runs:.0} runs");
    }
    if drops > 0 || starts.iter().chain(&exits).any(|count| *count != expected) {
        bail!("not every process was recorded");
    }
    Ok(())
}

fn budget(what: &str, value_us: f64, budget_us: f64) {
    let verdict = if value_us <= budget_us {
        "ok"
    } else {
        "OVER BUDGET"
    };
    println!("{what:<28} {value_us:.2} µs, budget {budget_us} µs: {verdict}");
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
