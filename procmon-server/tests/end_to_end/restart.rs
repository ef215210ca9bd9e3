//! An agent that is killed and started again: what it missed is in a gap, and with pinned rings there is none.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::support::{self, binary::ServerProcess};
use super::{AgentProcess, PATIENCE, count, until_live};

const PROCESSES: usize = 60;

/// From before its start until it was reaped.
struct Lived {
    from: Timestamp,
    to: Timestamp,
}

fn run(marker: &str, first: usize) -> Vec<Lived> {
    (first..first + PROCESSES)
        .map(|number| {
            let from = Timestamp::now();
            super::storm(marker, number, 1);
            let to = Timestamp::now();
            Lived { from, to }
        })
        .collect()
}

async fn coverage(address: &str, agent_id: &str) -> Value {
    let url = format!("http://{address}/api/v1/agents/{agent_id}");
    let response = support::http_client().get(url).send().await;
    let agent: Value = response.expect("an answer").json().await.expect("JSON");
    agent["coverage"].clone()
}

/// Waits until this many processes were seen to end: those of the second agent, at least.
async fn until_ended(address: &str, marker: &str, numbers: std::ops::Range<usize>) {
    let started = Instant::now();
    loop {
        let exits = count(address, "exit", marker).await;
        if numbers.clone().all(|number| exits.contains_key(&number)) {
            return;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{} ends were seen",
            exits.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_missed_is_in_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(&folder.path().join("data"), 0);
    let spool = folder.path().join("spool");
    let agent_id = format!("gap-{}", std::process::id());
    let start = || AgentProcess::start(&agent_id, &server.address, &spool);

    let agent = start();
    until_live(&server.address, &agent_id).await;
    let mut lived = run(&agent_id, 0);
    // Killed: nothing is flushed.
    drop(agent);
    let killed = Timestamp::now();
    lived.extend(run(&agent_id, PROCESSES));
    let started = Timestamp::now();
    let _agent = start();
    let gap = until_gap(&server.address, &agent_id).await;
    lived.extend(run(&agent_id, 2 * PROCESSES));
    until_ended(&server.address, &agent_id, 2 * PROCESSES..3 * PROCESSES).await;

    let (from, to) = (time(&gap["from"]), time(&gap["to"]));
    assert!(
        from <= killed && to >= started,
        "{killed}, {started}: {gap}"
    );
    for kind in ["exec", "exit"] {
        let seen = count(&server.address, kind, &agent_id).await;
        for (number, lived) in lived.iter().enumerate() {
            let in_gap = lived.to >= from && lived.from <= to;
            assert!(
                in_gap || seen.contains_key(&number),
                "{kind} of {number} ({} to {}) is missing, and not in {gap}",
                lived.from,
                lived.to
            );
        }
    }
}

async fn until_gap(address: &str, agent_id: &str) -> Value {
    let started = Instant::now();
    loop {
        let coverage = coverage(address, agent_id).await;
        let gaps = coverage["gaps"].as_array().cloned().unwrap_or_default();
        if let Some(gap) = gaps.into_iter().find(|gap| gap["reason"] == "agent_down") {
            return gap;
        }
        assert!(started.elapsed() < PATIENCE, "no gap: {coverage}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A BPF file system of the test's own.
struct Bpffs<'a>(&'a Path);

impl<'a> Bpffs<'a> {
    fn mount(folder: &'a Path) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(folder)
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "mounting needs root"
        );
        Self(folder)
    }
}

impl Drop for Bpffs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pinned_rings_a_killed_agent_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let bpffs_folder = folder.path().join("bpf");
    let bpffs = Bpffs::mount(&bpffs_folder);
    let server = ServerProcess::start(&folder.path().join("data"), 0);
    let spool = folder.path().join("spool");
    let agent_id = format!("pinned-{}", std::process::id());
    let start = || {
        AgentProcess::start_with(&agent_id, &server.address, &spool, |agent| {
            agent.arg("--pin=true").env("PROCMON_BPFFS", bpffs.0);
        })
    };

    let agent = start();
    until_live(&server.address, &agent_id).await;
    let since = coverage(&server.address, &agent_id).await["since"].clone();
    run(&agent_id, 0);
    drop(agent);
    run(&agent_id, PROCESSES);
    let _agent = start();
    run(&agent_id, 2 * PROCESSES);
    super::check(&server.address, &agent_id, 3 * PROCESSES).await;
    let coverage = coverage(&server.address, &agent_id).await;
    assert_eq!(coverage["since"], since);
    assert_eq!(coverage["gaps"], Value::Array(Vec::new()), "{coverage}");
}
