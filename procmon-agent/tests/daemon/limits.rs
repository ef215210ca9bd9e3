//! An agent that is short of memory or CPU gives up what matters least, and says so.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::agent::{Agent, Sleeper, run_marked, until};
use super::server::Server;
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("limits::memory_is_bounded_and_detail_is_given_up", memory),
        trial("limits::sampling_slows_down_and_events_do_not", cpu),
    ]
}

const LIMIT_BYTES: u64 = 40 << 20;

/// Processes with long command lines, many more than fit.
fn memory() -> Result<()> {
    let server = Server::start()?;
    let agent = Agent::start(&[
        "--probe=ebpf",
        "--interval=1s",
        "--mem-limit=40MiB",
        "--server-url",
        &server.url(),
    ])?;
    let mut sleepers = Vec::new();
    let mut highest = 0;
    for number in 0..3000 {
        sleepers.push(Sleeper::start(&format!("long-{number}"), 5000)?);
        highest = highest.max(agent.rss_bytes()?);
    }
    until("argv is cut", || {
        highest = highest.max(agent.rss_bytes()?);
        Ok(agent.metric("degraded{what=\"argv\"}")? > 0.0)
    })?;
    until("the server is told", || {
        let seen = server.seen();
        let health = seen.health().context("a health record")?;
        ensure!(health.mem_limit_bytes == LIMIT_BYTES, "{health:?}");
        Ok(health.degraded.iter().any(|what| what == "argv"))
    })?;
    highest = highest.max(agent.rss_bytes()?);
    println!("{} of {} KiB", highest >> 10, LIMIT_BYTES >> 10);
    ensure!(highest <= LIMIT_BYTES, "{highest} bytes of {LIMIT_BYTES}");
    let log = agent.stop()?;
    ensure!(log.contains("memory is short"), "{log}");
    Ok(())
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
