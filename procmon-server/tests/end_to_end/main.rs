//! The real agent and the real server on this machine's own processes. Needs root and a kernel with BTF; fails without.

mod alerts;
mod history;
mod refused;
mod restart;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::binary::{ServerProcess, all_events, sibling};

/// For what happened last to be in the API: the agent may be backing off from a server that was away.
const PATIENCE: Duration = Duration::from_secs(30);

struct AgentProcess(Child);

impl AgentProcess {
    fn start(agent_id: &str, address: &str, spool: &Path) -> Self {
        Self::start_with(agent_id, address, spool, |_| {})
    }

    fn start_with(
        agent_id: &str,
        address: &str,
        spool: &Path,
        more: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(sibling("procmon-agent"));
        more(&mut command);
        let child = command
            .args([
                "--agent-id",
                agent_id,
                "--interval",
                "1s",
                "--probe",
                "ebpf",
            ])
            .args(["--server-url", &format!("http://{address}")])
            .arg("--spool-dir")
            .arg(spool)
            .spawn()
            .expect("the agent's binary");
        Self(child)
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent's own word that it sees everything from now on.
async fn until_live(address: &str, agent_id: &str) {
    let started = Instant::now();
    loop {
        let url = format!("http://{address}/api/v1/agents/{agent_id}");
        let response = support::http_client()
            .get(url)
            .send()
            .await
            .expect("an answer");
        if response.status().is_success() {
            let agent: Value = response.json().await.expect("JSON");
            if agent["processes"].as_u64() > Some(0) {
                assert_eq!(agent["probe"], "ebpf", "{}", agent["probe_reason"]);
                return;
            }
        }
        assert!(
            started.elapsed() < PATIENCE,
            "the agent does not report: it needs root and a kernel with BTF"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs processes that do nothing, each with a number of its own, until told to stop or the count is reached.
fn storm(marker: &str, first: usize, count: usize) {
    for number in first..first + count {
        let status = Command::new("/bin/true")
            .arg(format!("{marker}-{number}"))
            .status();
        assert!(status.expect("/bin/true").success());
    }
}

/// How often each number occurs among events of one type.
async fn count(address: &str, kind: &str, marker: &str) -> HashMap<usize, (usize, Value)> {
    let events = all_events(address, &format!("type={kind}&name=true")).await;
    let mut seen = HashMap::new();
    for event in events {
        let argument = event["args"][1].as_str().unwrap_or_default();
        if let Some(number) = argument
            .strip_prefix(marker)
            .and_then(|rest| rest[1..].parse().ok())
        {
            seen.entry(number).or_insert((0, event)).0 += 1;
        }
    }
    seen
}

/// Every number once among the execs and once among the exits, each with what is known of it.
async fn check(address: &str, marker: &str, total: usize) {
    let started = Instant::now();
    for kind in ["exec", "exit"] {
        let seen = loop {
            let seen = count(address, kind, marker).await;
            if seen.len() == total || started.elapsed() > PATIENCE {
                break seen;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        assert_eq!(seen.len(), total, "{kind} events");
        for (number, (times, event)) in &seen {
            assert_eq!(*times, 1, "{kind} {number}");
            assert_eq!(event["uid"], 0, "{event}");
            assert_eq!(
                event["exe"].as_str().map(|exe| exe.ends_with("/true")),
                Some(true),
                "{event}"
            );
            assert!(event["process_id"].is_string(), "{event}");
            if kind == "exit" {
                assert_eq!(event["exit_code"], 0, "{event}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_there_to_the_last_process() {
    const TOTAL: usize = 5000;
    let (data, spool) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let server = ServerProcess::start(data.path(), 0);
    let _agent = AgentProcess::start("storm", &server.address, spool.path());
    until_live(&server.address, "storm").await;
    let marker = format!("procmon-storm-{}", std::process::id());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let marker = &marker;
            scope.spawn(move || storm(marker, part * TOTAL / 4, TOTAL / 4));
        }
    });
    println!("{TOTAL} processes in {:?}", started.elapsed());
    check(&server.address, &marker, TOTAL).await;
    println!("all there after {:?}", started.elapsed());
    let agent = support::http_client()
        .get(format!("http://{}/api/v1/agents/storm", server.address))
        .send()
        .await;
    let agent: Value = agent.expect("an answer").json().await.expect("JSON");
    println!("drops: {}", agent["drops"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_three_times_under_load_misses_nothing() {
    const BURST: usize = 400;
    let (data, spool) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = ServerProcess::start(data.path(), 0);
    let port = server.port();
    let _agent = AgentProcess::start("killed", &server.address, spool.path());
    until_live(&server.address, "killed").await;
    let marker = format!("procmon-killed-{}", std::process::id());
    let load = {
        let marker = marker.clone();
        std::thread::spawn(move || {
            for part in 0..10 {
                storm(&marker, part * BURST, BURST);
            }
        })
    };
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server = ServerProcess::start(data.path(), port);
    }
    load.join().expect("every process ran");
    check(&server.address, &marker, 10 * BURST).await;
}

/// What the server has went through the agent's table and its spool: there is no other way to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_never_leaves_the_host() {
    let (data, spool) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let server = ServerProcess::start(data.path(), 0);
    let marker = format!("procmon-secret-{}", std::process::id());
    // It assembles itself here: this test's own source and command line are not the secret.
    let secret = ["hunter", "2", &marker].join("-");
    let arguments = [marker.clone(), format!("--password={secret}")];
    let before = Command::new("/bin/sh")
        .args(["-c", "sleep 30; :"])
        .args(&arguments)
        .spawn();
    let mut before = AgentProcess(before.expect("/bin/sh"));
    let _agent = AgentProcess::start("secret", &server.address, spool.path());
    until_live(&server.address, "secret").await;
    let status = Command::new("/bin/true").args(&arguments).status();
    assert!(status.expect("/bin/true").success());
    let started = Instant::now();
    let events = loop {
        let events = all_events(&server.address, "type=exit&name=true").await;
        let ours = |event: &Value| event["args"][1] == marker.as_str();
        if events.iter().any(ours) {
            break all_events(&server.address, "name=true").await;
        }
        assert!(started.elapsed() < PATIENCE, "no exit event");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let processes = support::http_client()
        .get(format!(
            "http://{}/api/v1/processes?cmdline={marker}",
            server.address
        ))
        .send()
        .await;
    let processes = processes.expect("an answer").text().await.expect("text");
    for shown in [&processes, &serde_json::to_string(&events).expect("JSON")] {
        assert!(
            shown.contains(&marker) && shown.contains("--password=‹redacted›"),
            "{shown}"
        );
        assert!(!shown.contains(&secret), "{shown}");
    }
    let _ = before.0.kill();
}
