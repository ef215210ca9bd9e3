//! A server that takes less than the agent sends: what it puts off waits in the spool, and what it refuses for good is kept there.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use procmon_common::wire;

use super::support::{self, binary::ServerProcess};
use super::{AgentProcess, PATIENCE, check, count, storm, until_live};

fn start(data: &Path, port: u16, limits: &str) -> ServerProcess {
    let data = data.to_str().expect("a path in UTF-8");
    let variables = [
        ("PROCMON_DATA_DIR", data),
        ("PROCMON_INGEST_LIMITS", limits),
    ];
    ServerProcess::start_with(&variables, port)
}

/// Uploads that were refused for this reason.
async fn rejects(address: &str, reason: &str) -> u64 {
    let url = format!("http://{address}/metrics");
    let page = support::http_client().get(url).send().await;
    let page = page.expect("an answer").text().await.expect("text");
    let label = format!("reason=\"{reason}\"");
    page.lines()
        .filter(|line| line.starts_with("procmon_ingest_rejects_total{") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn until_rejected(address: &str, reason: &str, times: u64) {
    let started = Instant::now();
    while rejects(address, reason).await < times {
        assert!(
            started.elapsed() < PATIENCE,
            "nothing was refused: {reason}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_wait_loses_nothing() {
    const TOTAL: usize = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let (data, spool) = (folder.path().join("data"), folder.path().join("spool"));
    let marker = format!("procmon-put-off-{}", std::process::id());
    // Fewer requests than it samples.
    let strict = start(&data, 0, "requests_per_s=1,burst_requests=2");
    let (address, port) = (strict.address.clone(), strict.port());
    let _agent = AgentProcess::start(&marker, &address, &spool);
    until_live(&address, &marker).await;
    storm(&marker, 0, TOTAL);
    until_rejected(&address, "request_rate", 3).await;
    strict.terminate();

    let _server = start(&data, port, "requests_per_s=0");
    check(&address, &marker, TOTAL).await;
    assert!(!spool.join("quarantine").exists(), "none is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_kept_and_the_rest_goes_on() {
    const STORM: usize = 400;
    const AFTER: usize = 5;
    let folder = tempfile::tempdir().expect("a folder");
    let (data, spool) = (folder.path().join("data"), folder.path().join("spool"));
    let marker = format!("procmon-refused-{}", std::process::id());
    let server = start(&data, 0, "events=150");
    let agent = AgentProcess::start(&marker, &server.address, &spool);
    until_live(&server.address, &marker).await;
    // What happens while it stands still makes large batches.
    signal(&agent, "-STOP");
    storm(&marker, 0, STORM);
    signal(&agent, "-CONT");
    until_rejected(&server.address, "events", 1).await;

    // A few at a time are taken again, after the key batch that the agent sends by itself.
    let started = Instant::now();
    let mut seen;
    loop {
        storm(&marker, STORM, AFTER);
        seen = count(&server.address, "exec", &marker).await;
        if (STORM..STORM + AFTER).all(|number| seen.contains_key(&number)) {
            break;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{} starts were seen",
            seen.len()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let kept = starts_in(&spool.join("quarantine"), &marker);
    for number in 0..STORM {
        let stored = seen.get(&number).map_or(0, |(times, _)| *times);
        let refused = usize::from(kept.contains(&number));
        assert_eq!(stored + refused, 1, "{number} is stored or kept, once");
    }
    assert!(!kept.is_empty());
}

fn signal(agent: &AgentProcess, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &agent.0.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

/// The numbers of the processes whose start is in the batches that the server refused.
fn starts_in(quarantine: &Path, marker: &str) -> HashSet<usize> {
    let mut numbers = HashSet::new();
    for entry in std::fs::read_dir(quarantine).expect("what was refused is there") {
        let payload = std::fs::read(entry.expect("a file").path()).expect("it can be read");
        let batch = wire::decode(&payload, wire::MAX_DECODED_BYTES).expect("a batch");
        for event in batch.events {
            let Some(wire::event::Kind::Exec(exec)) = event.kind else {
                continue;
            };
            let args = exec.image.map(|image| image.args).unwrap_or_default();
            let argument = args.split(|byte| *byte == 0).nth(1).unwrap_or_default();
            let argument = std::str::from_utf8(argument).unwrap_or_default();
            let number = argument
                .strip_prefix(marker)
                .and_then(|rest| rest.strip_prefix('-'));
            numbers.extend(number.and_then(|number| number.parse::<usize>().ok()));
        }
    }
    numbers
}
