//! An agent that is short of memory or CPU gives up what matters least, and says so.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use super::agent::{Agent, Sleeper, User, run_marked, until};
use super::server::Server;
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("limits::memory_is_bounded_and_detail_is_given_up", memory),
        trial("limits::sampling_slows_down_and_events_do_not", cpu),
    ]
}

/// What the processes below may take of it, beyond what the agent needs without them.
const ROOM_BYTES: u64 = 24 << 20;

/// Processes with long command lines, many more than fit.
fn memory() -> Result<()> {
    let server = Server::start()?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("agent.yaml");
    let text = format!("server_url: {}\ninterval: 1s\n", server.url());
    std::fs::write(&config, format!("{text}mem_limit: off\n"))?;
    let path = config.to_string_lossy().into_owned();
    let arguments = ["--probe=ebpf", "--config", &path];
    let agent = Agent::start_in(folder, User::Root, &arguments)?;
    let limit = agent.rss_bytes()? + ROOM_BYTES;
    std::fs::write(&config, format!("{text}mem_limit: {limit}\n"))?;
    agent.hang_up()?;
    until("the limit is in force", || {
        Ok(agent.log()?.contains("in force now: mem_limit"))
    })?;
    let mut sleepers = Vec::new();
    let mut highest = 0;
    for number in 0..4000 {
        sleepers.push(Sleeper::start(&format!("long-{number}"), 5000)?);
        highest = highest.max(agent.rss_bytes()?);
    }
    until("argv is cut", || {
        highest = highest.max(agent.rss_bytes()?);
        Ok(agent.log()?.contains("256 bytes of each argv"))
    })?;
    until("the server is told", || {
        let seen = server.seen();
        Ok(seen.batches.iter().any(|batch| {
            let health = batch.health.as_ref();
            health.is_some_and(|health| {
                health.mem_limit_bytes == limit && health.degraded.iter().any(|what| what == "argv")
            })
        }))
    })?;
    highest = highest.max(agent.rss_bytes()?);
    println!("{} of {} KiB", highest >> 10, limit >> 10);
    ensure!(highest <= limit, "{highest} bytes of {limit}");
    agent.stop().map(drop)
}

fn cpu() -> Result<()> {
    let server = Server::start()?;
    let agent = Agent::start(&[
        "--probe=ebpf",
        "--interval=1s",
        "--cpu-limit=0.1%",
        "--server-url",
        &server.url(),
    ])?;
    until("samples are taken less often", || {
        Ok(agent.metric("interval_seconds")? > 1.0)
    })?;
    until("it is said to be given up", || {
        Ok(agent.metric("degraded{what=\"sample_rate\"}")? > 0.0)
    })?;
    until("the server is told", || {
        let seen = server.seen();
        let told = seen.batches.iter().any(|batch| {
            let health = batch.health.as_ref();
            batch.interval_ms > 1000
                && health.is_some_and(|health| {
                    health.degraded == ["sample_rate"]
                        && health.effective_interval_ms == batch.interval_ms
                })
        });
        Ok(told)
    })?;
    run_marked("while-sampling-is-slow")?;
    until("an event does not wait for a sample", || {
        let seen = server.seen().args_of_execs();
        Ok(seen
            .iter()
            .any(|args| args.contains("while-sampling-is-slow")))
    })?;
    let log = agent.stop()?;
    ensure!(log.contains("of a core of 0.1%"), "{log}");
    Ok(())
}
