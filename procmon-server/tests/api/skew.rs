//! Hosts whose clocks are wrong: the difference is measured and shown, and changes nothing else.

use procmon_common::wire;
use serde_json::Value;

use crate::support::{FakeAgent, START_MS, Server, exited};

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// Sends a batch as an agent does whose clock is ahead by so much.
async fn send(server: &Server, batch: &wire::Batch, ahead_ms: i64) {
    let sent_ms = START_MS + ahead_ms;
    let answer = server
        .http
        .post(server.url(&format!("/api/v1/agents/{}/batches", batch.agent_id)))
        .header("content-type", wire::CONTENT_TYPE)
        .header("content-encoding", wire::CONTENT_ENCODING)
        .header(wire::SENT_HEADER, sent_ms)
        .body(wire::encode(batch).expect("compresses"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}

async fn events(server: &Server, query: &str) -> Vec<(Value, Value)> {
    let path = format!("/api/v1/events?type=exit&{query}");
    let page = server.json(&path).await;
    let events = page["events"].as_array().expect("a list");
    events
        .iter()
        .map(|event| (event["agent_id"].clone(), event["ts"].clone()))
        .collect()
}

#[tokio::test]
async fn a_clock_a_year_off_harms_nobody_and_reorders_nothing() {
    let server = Server::start().await;
    let mut order = Vec::new();
    for (agent_id, ahead_ms) in [("late", -YEAR_MS), ("right", 0), ("early", YEAR_MS)] {
        let mut agent = FakeAgent::new(agent_id);
        agent.epoch = (START_MS + ahead_ms) as u64 * 1_000_000;
        agent.now_ns = (START_MS + ahead_ms) * 1_000_000;
        send(&server, &agent.key(10, 3), ahead_ms).await;
        send(&server, &agent.life(50, exited(0)), ahead_ms).await;
        order.insert(0, agent_id);

        let record = server.json(&format!("/api/v1/agents/{agent_id}")).await;
        assert_eq!(record["clock_offset_ms"], ahead_ms, "{record}");
        assert_eq!(record["status"], "live");
        assert_eq!(record["lag_ms"], 0, "what is off is not late");
        let list = server
            .json(&format!("/api/v1/processes?agent_id={agent_id}"))
            .await;
        assert_eq!(list["total"], 3);
        assert_eq!(list["processes"][0]["stale"], false);
        assert_eq!(list["processes"][0]["observed_at"], "2026-01-31T12:00:00Z");
    }
    // In the order of arrival, each with its own time.
    let seen: Vec<_> = events(&server, "").await;
    let agents: Vec<_> = seen
        .iter()
        .map(|(agent, _)| agent.as_str().expect("text"))
        .collect();
    assert_eq!(agents, order);
    let (_, early) = &seen[0];
    assert!(
        early
            .as_str()
            .is_some_and(|ts| ts.starts_with("2027-01-31")),
        "{early}"
    );
    // `since` and `until` are event time, as each host tells it.
    let of_2025 = events(
        &server,
        "since=2025-01-01T00:00:00Z&until=2025-12-31T00:00:00Z",
    )
    .await;
    assert_eq!(of_2025.len(), 1);
    assert_eq!(of_2025[0].0, "late");
    let metrics = server.get("/metrics").await.text().await.expect("a body");
    for line in [
        "procmon_agent_clock_offset_seconds{agent_id=\"early\"} 31536000",
        "procmon_agent_clock_offset_seconds{agent_id=\"late\"} -31536000",
        "procmon_agent_clock_offset_seconds{agent_id=\"right\"} 0",
    ] {
        let has = metrics
            .lines()
            .any(|known| known.trim_end_matches(".0") == line);
        assert!(has, "{line} is not in\n{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_while_its_agent_runs_loses_nothing() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    send(&server, &agent.key(10, 3), 0).await;
    for (step, ahead_ms) in [(1, YEAR_MS), (2, -YEAR_MS), (3, 0)] {
        agent.now_ns = (START_MS + ahead_ms) * 1_000_000;
        send(&server, &agent.life(50 + step, exited(0)), ahead_ms).await;
        let record = server.json("/api/v1/agents/a").await;
        assert_eq!(record["clock_offset_ms"], ahead_ms);
    }
    assert_eq!(events(&server, "").await.len(), 3);
    assert_eq!(server.json("/api/v1/processes").await["total"], 3);
    server.stop().await;
}

#[tokio::test]
async fn clocks_at_the_end_of_time_are_only_numbers() {
    let server = Server::start().await;
    for (name, sent, built_ns) in [
        ("least", i64::MIN, i64::MIN),
        ("most", i64::MAX, i64::MAX),
        ("mixed", i64::MAX, i64::MIN),
    ] {
        let mut agent = FakeAgent::new(name);
        agent.now_ns = built_ns;
        let mut batch = agent.key(10, 2);
        batch.events = vec![crate::support::event(
            built_ns,
            10,
            wire::event::Kind::Exit(exited(1)),
        )];
        send(&server, &batch, sent.saturating_sub(START_MS)).await;
        server.json(&format!("/api/v1/agents/{name}")).await;
        server
            .json(&format!("/api/v1/processes?agent_id={name}"))
            .await;
        server
            .json(&format!("/api/v1/processes/tree?agent_id={name}"))
            .await;
    }
    assert_eq!(
        server.json("/api/v1/events").await["events"]
            .as_array()
            .expect("a list")
            .len(),
        3
    );
    assert_eq!(server.get("/metrics").await.status(), 200);
    server.stop().await;
}
