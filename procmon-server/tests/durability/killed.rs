use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use procmon_common::wire::{self, Ack, Batch};
use tokio::task::JoinSet;

use crate::support::binary::{ServerProcess, all_events};
use crate::support::{FakeAgent, exited};

const AGENTS: usize = 6;
const KILLS: u64 = 3;
const FIRST_PID: u32 = 1000;

/// Sends one life after the other, each until it is acknowledged; returns how many were.
async fn report(
    mut agent: FakeAgent,
    port: u16,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> u32 {
    let http = crate::support::http_client();
    deliver(&http, port, &agent.key(10, 3), &acknowledged).await;
    let mut lives = 0;
    while !stop.load(Ordering::Relaxed) {
        let pid = FIRST_PID + lives;
        let mut batch = agent.life(pid, exited(pid % 200));
        // Lives ended, but the server that comes back does not know these handles' span for sure.
        batch.key = lives % 50 == 49;
        deliver(&http, port, &batch, &acknowledged).await;
        lives += 1;
    }
    lives
}

async fn deliver(http: &reqwest::Client, port: u16, batch: &Batch, acknowledged: &AtomicU64) {
    let url = format!(
        "http://127.0.0.1:{port}/api/v1/agents/{}/batches",
        batch.agent_id
    );
    let body = wire::encode(batch).expect("compresses");
    loop {
        let request = http
            .post(&url)
            .header("content-type", wire::CONTENT_TYPE)
            .header("content-encoding", wire::CONTENT_ENCODING)
            .timeout(Duration::from_secs(5))
            .body(body.clone());
        if let Ok(response) = request.send().await
            && response.status().is_success()
            && let Ok(ack) = response.json::<Ack>().await
        {
            assert!(ack.durable_seq >= batch.seq);
            acknowledged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_there_once_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start(folder.path(), 0);
    let port = server.port();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let agent = FakeAgent::new(&format!("agent-{number}"));
        let report = report(agent, port, Arc::clone(&stop), Arc::clone(&acknowledged));
        agents.spawn(async move { (format!("agent-{number}"), report.await) });
    }
    for kill in 0..KILLS {
        // Not always at the same point of a commit.
        let before = acknowledged.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700 + 37 * kill)).await;
        assert!(
            acknowledged.load(Ordering::Relaxed) > before,
            "nothing was acknowledged"
        );
        server.kill();
        server = ServerProcess::start(folder.path(), port);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let lives: HashMap<String, u32> = agents.join_all().await.into_iter().collect();
    for (agent_id, lives) in &lives {
        assert!(*lives > 10, "{agent_id} reported only {lives} lives");
        let events = all_events(&server.address, &format!("agent_id={agent_id}")).await;
        let seen: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    event["type"].as_str().expect("a type"),
                    event["pid"].as_u64(),
                )
            })
            .collect();
        let expected: Vec<_> = (FIRST_PID..FIRST_PID + lives)
            .flat_map(|pid| {
                [
                    ("exec", Some(u64::from(pid))),
                    ("exit", Some(u64::from(pid))),
                ]
            })
            .collect();
        assert_eq!(seen, expected, "{agent_id}");
    }
    println!("{lives:?} lives, each with its exec and its exit, through {KILLS} kills");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
