//! Agents that report one life after the other, each until it is acknowledged, and what must be found of them in the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use procmon_common::wire::{self, Ack, Batch};
use tokio::task::JoinSet;

use crate::support::binary::all_events;
use crate::support::{FakeAgent, exited};

const AGENTS: usize = 6;
const FIRST_PID: u32 = 1000;

/// What the agents saw of the server.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) acknowledged: AtomicU64,
    /// Answers that say to come back later.
    pub(crate) unavailable: AtomicU64,
    /// Answers that should not be.
    other: AtomicU64,
    stop: AtomicBool,
}

pub(crate) struct Load {
    pub(crate) seen: Arc<Seen>,
    agents: JoinSet<(String, u32)>,
}

impl Load {
    pub(crate) fn start(port: u16) -> Self {
        let seen = Arc::new(Seen::default());
        let mut agents = JoinSet::new();
        for number in 0..AGENTS {
            let agent = FakeAgent::new(&format!("agent-{number}"));
            let report = report(agent, port, Arc::clone(&seen));
            agents.spawn(async move { (format!("agent-{number}"), report.await) });
        }
        Self { seen, agents }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.seen.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for so many more acknowledgements.
    pub(crate) async fn progress(&self, more: u64) {
        let wanted = self.acknowledged() + more;
        wait_until("acknowledgements", || self.acknowledged() >= wanted).await;
    }

    /// Stops the agents, each after its last acknowledgement, and looks for every life: once, in order.
    pub(crate) async fn finish(self, address: &str) -> HashMap<String, u32> {
        self.seen.stop.store(true, Ordering::Relaxed);
        let lives: HashMap<String, u32> = self.agents.join_all().await.into_iter().collect();
        for (agent_id, lives) in &lives {
            assert!(*lives > 10, "{agent_id} reported only {lives} lives");
            let events = all_events(address, &format!("agent_id={agent_id}")).await;
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
        assert_eq!(self.seen.other.load(Ordering::Relaxed), 0);
        lives
    }
}

/// A loaded machine takes its time.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "no {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends one life after the other; returns how many were acknowledged.
async fn report(mut agent: FakeAgent, port: u16, seen: Arc<Seen>) -> u32 {
    let http = crate::support::http_client();
    deliver(&http, port, &agent.key(10, 3), &seen).await;
    let mut lives = 0;
    while !seen.stop.load(Ordering::Relaxed) {
        let pid = FIRST_PID + lives;
        let mut batch = agent.life(pid, exited(pid % 200));
        // Lives ended, but the server that comes back does not know these handles' span for sure.
        batch.key = lives % 50 == 49;
        deliver(&http, port, &batch, &seen).await;
        lives += 1;
    }
    lives
}

async fn deliver(http: &reqwest::Client, port: u16, batch: &Batch, seen: &Seen) {
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
            .timeout(Duration::from_secs(30))
            .body(body.clone());
        if let Ok(response) = request.send().await {
            let status = response.status();
            if status.is_success() {
                if let Ok(ack) = response.json::<Ack>().await {
                    assert!(ack.durable_seq >= batch.seq);
                    seen.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            } else if status == reqwest::StatusCode::SERVICE_UNAVAILABLE {
                assert!(response.headers().contains_key("retry-after"));
                seen.unavailable.fetch_add(1, Ordering::Relaxed);
            } else {
                eprintln!("{status}: {:?}", response.text().await);
                seen.other.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
