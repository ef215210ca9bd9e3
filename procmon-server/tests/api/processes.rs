use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;
use serde_json::Value;

use crate::support::{FakeAgent, Server, row};

async fn pids(server: &Server, query: &str) -> Vec<u64> {
    let body = server.json(&format!("/api/v1/processes?{query}")).await;
    let list = body["processes"].as_array().expect("a list");
    list.iter()
        .map(|process| process["pid"].as_u64().expect("a pid"))
        .collect()
}

#[tokio::test]
async fn a_process_shows_everything_that_is_known() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    agent.boot = [0x0f; 16];
    server.send(&agent.key(10, 1)).await;
    insta::assert_json_snapshot!(server.json("/api/v1/processes").await);
    server.stop().await;
}

#[tokio::test]
async fn filters_hold_together() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("one").key(10, 12)).await;
    server.send(&FakeAgent::new("two").key(10, 3)).await;
    for (query, count) in [
        ("", 15),
        ("agent_id=one", 12),
        ("agent_id=none", 0),
        ("name=DEM", 15),
        ("pid=11", 2),
        ("status=Z", 2),
        ("status=z&agent_id=two", 0),
        ("cpu_gt=20", 1),
        ("mem_gt=1.9", 2),
        ("port=443", 2),
        ("port=444", 0),
        ("user=alice&agent_id=two", 3),
        ("container=0123", 8),
        ("cgroup=demo.service", 15),
        ("cmdline=--n%2021", 1),
        ("ppid=10", 11),
        ("rss_gt=21000000", 1),
        ("io_gt=0", 0),
    ] {
        assert_eq!(pids(&server, query).await.len(), count, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn sorting_and_pages() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("a").key(10, 9)).await;
    server.send(&FakeAgent::new("b").key(10, 9)).await;
    assert_eq!(pids(&server, "limit=3").await, [18, 18, 17]);
    assert_eq!(pids(&server, "limit=3&sort=memory_rss").await, [10, 10, 11]);
    for sort in [
        "-cpu_percent",
        "pid",
        "-name",
        "status",
        "container_id",
        "-start_time",
    ] {
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/processes?sort={sort}&limit=4&cursor={cursor}");
            let page = server.json(&path).await;
            assert_eq!(page["total"], 18);
            paged.extend(page["processes"].as_array().expect("a list").clone());
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            next.clone_into(&mut cursor);
        }
        let whole = server.json(&format!("/api/v1/processes?sort={sort}")).await;
        assert_eq!(Value::from(paged), whole["processes"], "{sort}");
    }
    let problem = server.problem("/api/v1/processes?sort=colour").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("cpu_percent")
    );
    assert_eq!(
        server.problem("/api/v1/processes?cursor=x").await["status"],
        400
    );
    assert_eq!(
        server.problem("/api/v1/processes?colour=x").await["status"],
        400
    );
    server.stop().await;
}

/// A batch with one sample five seconds later, in which one process has read.
fn reading(agent: &mut FakeAgent, before: &Row, bytes: u64) -> (wire::Batch, Row) {
    agent.now_ns += 5_000_000_000;
    let mut now = *before;
    now.set(Column::ReadBytes, Some(bytes));
    let mut encoder = FrameEncoder::default();
    encoder.push(10, before, &now);
    let mut batch = agent.batch();
    batch.frame = Some(wire::Frame {
        ts_unix_ns: agent.now_ns,
        columns: encoder.finish(),
        ..wire::Frame::default()
    });
    (batch, now)
}

#[tokio::test]
async fn rates_come_from_consecutive_samples() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 2)).await;
    let rate = async || {
        server.json("/api/v1/processes?pid=10").await["processes"][0]["read_bytes_per_s"].clone()
    };
    assert_eq!(rate().await, Value::Null);
    let (batch, now) = reading(&mut agent, &row(10), 51_000);
    server.send(&batch).await;
    assert_eq!(rate().await, 10_000.0);
    assert_eq!(pids(&server, "io_gt=9999").await, [10]);
    // Nothing read since: zero, not the rate before.
    let (batch, _) = reading(&mut agent, &now, 51_000);
    server.send(&batch).await;
    assert_eq!(rate().await, 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_zombie_stays_until_a_frame_says_that_it_is_gone() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 2)).await;
    let exit = wire::Exit {
        totals_final: false,
        ..crate::support::exited(0)
    };
    let mut batch = agent.batch();
    batch.events = vec![crate::support::event(
        agent.now_ns,
        10,
        wire::event::Kind::Exit(exit),
    )];
    server.send(&batch).await;
    assert_eq!(pids(&server, "sort=pid").await, [10, 11]);
    let mut batch = agent.batch();
    batch.frame = Some(wire::Frame {
        ts_unix_ns: agent.now_ns,
        gone: vec![10],
        ..wire::Frame::default()
    });
    server.send(&batch).await;
    assert_eq!(pids(&server, "sort=pid").await, [11]);
    server.stop().await;
}
