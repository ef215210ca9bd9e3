use procmon_common::wire;
use serde_json::Value;

use crate::support::{FakeAgent, Server, event, exited, killed};

async fn list(server: &Server, query: &str) -> Vec<Value> {
    let body = server.json(&format!("/api/v1/events?{query}")).await;
    body["events"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn events_show_everything_that_is_known() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    agent.boot = [0x0f; 16];
    server.send(&agent.key(10, 1)).await;
    let mut batch = agent.life(50, exited(7));
    batch.events.push(event(
        agent.now_ns,
        10,
        wire::event::Kind::IoSlow(wire::SlowIo {
            device: "vda".to_owned(),
            operation: 2,
            bytes: 4096,
            latency_ns: 250_500_000,
            ..wire::SlowIo::default()
        }),
    ));
    batch.losses = vec![wire::Loss {
        kind: "exec".to_owned(),
        reason: "ring_full".to_owned(),
        count: 12,
        from_unix_ns: agent.now_ns,
        until_unix_ns: agent.now_ns + 1_000_000_000,
        ..wire::Loss::default()
    }];
    server.send(&batch).await;
    insta::assert_json_snapshot!(server.json("/api/v1/events").await);
    server.stop().await;
}

#[tokio::test]
async fn filters_hold_together() {
    let server = Server::start().await;
    let (mut one, mut two) = (FakeAgent::new("one"), FakeAgent::new("two"));
    for agent in [&mut one, &mut two] {
        server.send(&agent.key(10, 1)).await;
        server.send(&agent.life(50, exited(7))).await;
        agent.now_ns += 10_000_000_000;
        server.send(&agent.life(51, killed(9))).await;
    }
    for (query, count) in [
        ("", 8),
        ("agent_id=one", 4),
        ("type=exec", 4),
        ("type=exec,exit&agent_id=two", 4),
        ("exit_code=7", 2),
        ("signal=9", 2),
        ("signal=9&exit_code=7", 0),
        ("q=exit_code+%3D%3D+7", 2),
        ("q=type+%3D%3D+%27exec%27+%7C%7C+signal+%3D%3D+9", 6),
        ("q=duration_ms+%3E+2.0+%26%26+agent_id+%3D%3D+%27two%27", 2),
        ("q=killed_by+%3D%3D+null+%26%26+args.size%28%29+%3E+2", 8),
        (
            "q=ts+%3E+timestamp%28%272026-01-31T12%3A00%3A05Z%27%29&type=exec",
            2,
        ),
        ("type=exec&exit_code=7", 0),
        ("name=TRUE", 8),
        ("name=nothing", 0),
        ("pid=50", 4),
        ("pid=50&agent_id=two", 2),
        ("pid=52", 0),
        ("ppid=1", 4),
        ("ppid=50", 4),
        ("ppid=2", 0),
        ("cmdline=A%20B", 8),
        ("cmdline=nothing", 0),
        ("cgroup=demo.service", 8),
        ("cgroup=nothing", 0),
        ("user=alice", 8),
        ("user=1000", 8),
        ("user=root", 0),
        ("container=0123", 4),
        ("min_duration=2ms", 4),
        ("min_duration=3ms", 0),
        ("since=2026-01-31T12:00:05Z", 4),
        ("until=2026-01-31T12:00:05Z", 4),
        (
            "since=2026-01-31T12:00:05Z&until=2026-01-31T12:00:11Z&agent_id=one",
            2,
        ),
    ] {
        assert_eq!(list(&server, query).await.len(), count, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 1)).await;
    for pid in 100..125 {
        server.send(&agent.life(pid, exited(0))).await;
    }
    let all = list(&server, "limit=1000").await;
    assert_eq!(all.len(), 50);
    for filter in ["", "type=exit&"] {
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/events?{filter}limit=7&cursor={cursor}");
            let page = server.json(&path).await;
            paged.extend(page["events"].as_array().expect("a list").clone());
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            next.clone_into(&mut cursor);
        }
        let wanted: Vec<_> = all
            .iter()
            .filter(|event| filter.is_empty() || event["type"] == "exit")
            .cloned()
            .collect();
        assert_eq!(paged, wanted);
    }
    server.stop().await;
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start().await;
    for (query, word) in [
        ("colour=x", "agent_id"),
        ("q=tpye+%3D%3D+%27exec%27", "did you mean type"),
        ("q=ts+%3E+5", "column 4"),
        ("type=birth", "io_slow"),
        ("limit=0", "10000"),
        ("pid=x", "pid=x"),
        ("pid=4294967296", "at most 4294967295"),
        ("process_id=50", "1234-567890-0f2c9f1e"),
        ("status=Z", "min_duration"),
        (
            "since=2026-01-31T12:00:05Z&until=2026-01-31T12:00:04Z",
            "exchange them",
        ),
        ("limit=10001", "cursor"),
        ("since=yesterday", "since"),
        ("min_duration=5", "250ms"),
        ("exit_code=x", "exit_code"),
        ("cursor=AAAA", "next_cursor"),
    ] {
        let problem = server.problem(&format!("/api/v1/events?{query}")).await;
        assert_eq!(problem["status"], 400, "{query}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    server.stop().await;
}
