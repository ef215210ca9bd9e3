//! The whole agent at work: sampling each second, encoding, spooling and shipping to a server on loopback.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::bpf_stats::{self, Accounting};
use crate::http;
use crate::pair::{self, Pair, Setup};
use crate::process_cost::{cpu_ns, rss_bytes};
use crate::service::Echo;

/// Until the first samples have gone out and caches are filled.
const WARM_UP: Duration = Duration::from_secs(6);

/// How long programs in the time of others are counted.
const HOOKS_TIME: Duration = Duration::from_secs(5);

/// The programs that run in the agent's own time, when it reads them: their names, which the kernel cuts to 15 bytes.
const ITERATORS: [&str; 3] = ["snapshot", "learn", "sockets_of_task"];

pub(super) struct Whole {
    /// CPU milliseconds of each second.
    pub(super) seconds_ms: Vec<f64>,
    /// Of its programs in the kernel that run in the time of others, per second.
    pub(super) hooks_ms_per_s: f64,
    pub(super) rss_bytes: u64,
    pub(super) server_ms_per_s: f64,
    /// As the server lists them.
    pub(super) processes: u64,
    pub(super) probe: String,
}

pub(super) fn measure(folder: &Path, time: Duration, others: &BTreeSet<u32>) -> Result<Whole> {
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("release")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder,
        agent_id: Some("bench"),
        agent_arguments: &["--interval".to_owned(), "1s".to_owned()],
        agent_environment: &[],
        echo: Echo::Off,
    })?;
    thread::sleep(WARM_UP);
    pair.require_running()?;
    let (server_ns, started) = (cpu_ns(pair.server.pid())?, Instant::now());
    let seconds_ms = seconds(pair.agent.pid(), time)?;
    let server_ns = cpu_ns(pair.server.pid())? - server_ns;
    let server_ms_per_s = server_ns as f64 / 1e6 / started.elapsed().as_secs_f64();
    let agent: serde_json::Value =
        serde_json::from_str(&http::get(&pair.url, "/api/v1/agents/bench")?)?;
    let whole = Whole {
        seconds_ms,
        hooks_ms_per_s: hooks_ms_per_s(others)?,
        rss_bytes: rss_bytes(pair.agent.pid())?,
        server_ms_per_s,
        processes: agent["processes"].as_u64().context("no processes")?,
        probe: agent["probe"].as_str().unwrap_or("unknown").to_owned(),
    };
    pair.require_running()?;
    pair.stop()?;
    Ok(whole)
}

fn seconds(pid: u32, time: Duration) -> Result<Vec<f64>> {
    let mut costs = Vec::new();
    let mut before = cpu_ns(pid)?;
    for _ in 0..time.as_secs().max(1) {
        thread::sleep(Duration::from_secs(1));
        let now = cpu_ns(pid)?;
        costs.push((now - before) as f64 / 1e6);
        before = now;
    }
    Ok(costs)
}

/// In a time of its own: the kernel's accounting of programs costs each of them, the iterators included.
fn hooks_ms_per_s(others: &BTreeSet<u32>) -> Result<f64> {
    let _accounting = Accounting::start()?;
    let before_ns = hooks_ns(others)?;
    thread::sleep(HOOKS_TIME);
    let ns = hooks_ns(others)? - before_ns;
    Ok(ns as f64 / 1e6 / HOOKS_TIME.as_secs_f64())
}

fn hooks_ns(others: &BTreeSet<u32>) -> Result<u64> {
    let programs = bpf_stats::programs()?;
    let hooks = programs.iter().filter(|(id, program)| {
        !others.contains(id) && !ITERATORS.iter().any(|name| program.name == *name)
    });
    Ok(hooks.map(|(_, program)| program.run_time_ns).sum())
}
