//! An agent that may use little memory, on a host with much to describe: it gives up detail, says so, and stays within.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use super::arena::Arena;
use super::seen::agent;
use crate::process_cost::rss_bytes;
use crate::sandbox::{Sandbox, this_program};

const MIB: u64 = 1 << 20;

/// Until the agent has measured itself and told the server.
const WATCHED: Duration = Duration::from_secs(20);

const POPULATION_LIMIT: Duration = Duration::from_mins(5);

/// Give the agent a memory limit that is too small for the processes it has to describe.
///
/// The processes are sleepers in a namespace of their own with 4 000 bytes of arguments each. The agent's resident memory
/// must stay within the limit, and it must report what it gave up (`degraded` in the API, and in its log).
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 3000)]
    processes: u32,
    /// The limit in MiB; the agent accepts 32 and more.
    #[arg(long, default_value_t = 32)]
    mem_limit: u64,
}

pub(super) fn run(options: &Options, binaries: &Path) -> Result<()> {
    let limit = format!("{}MiB", options.mem_limit);
    let mut arena = Arena::open(binaries, &["--interval", "1s", "--mem-limit", &limit])?;
    let before = rss_bytes(arena.agent_pid()?)?;
    let processes = options.processes.to_string();
    let population = this_program(&["population", "--processes", &processes, "--long-arguments"])?;
    let log = arena.folder().join("population.log");
    let sandbox = Sandbox::start(&population, &log, POPULATION_LIMIT)?;
    let watched = watch(&mut arena);
    let agent = agent(&arena.url)?;
    sandbox.stop()?;
    let (highest, told) = watched?;
    let log = arena
        .agent
        .as_ref()
        .map_or(String::new(), |agent| agent.last_lines(50));
    arena.close()?;

    println!(
        "{:<26} {processes} with 4 000 bytes of arguments each",
        "processes"
    );
    println!("{:<26} {limit}", "limit");
    println!(
        "{:<26} {} MiB before, at most {} MiB",
        "agent RSS",
        before / MIB,
        highest / MIB
    );
    println!("{:<26} {}", "degraded, in the API", told.join(" "));
    println!("{:<26} {}", "the agent's drops", agent["drops"]);
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("memory is"))
        .collect();
    for line in &said {
        println!("  {line}");
    }
    if highest > options.mem_limit * MIB {
        bail!("the agent used {} MiB of {limit}", highest / MIB);
    }
    if said.is_empty() {
        bail!("the agent gave up nothing: is the limit small enough for so many processes?");
    }
    if told.is_empty() {
        bail!("the API does not tell what the agent gave up");
    }
    println!("verdict: ok");
    Ok(())
}

/// The highest resident memory, and all that the API told to be given up meanwhile: it is given up no longer than it must.
fn watch(arena: &mut Arena) -> Result<(u64, Vec<String>)> {
    let deadline = Instant::now() + WATCHED;
    let mut highest = 0;
    let mut told = Vec::new();
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        highest = highest.max(rss_bytes(arena.agent_pid()?)?);
        if let Some(agent) = arena.agent.as_mut() {
            agent.require_running()?;
        }
        for what in agent(&arena.url)?["degraded"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let what = what.as_str().unwrap_or_default().to_owned();
            if !told.contains(&what) {
                told.push(what);
            }
        }
    }
    Ok((highest, told))
}
