//! What agents tell beside samples and lives: OOM kills, killers, block latency, short lives, restarts without a gap.

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;
use serde_json::{Value, json};

use crate::support::{FakeAgent, Server, event, image, killed};

fn oom(memory_cgroup: &str) -> wire::event::Kind {
    wire::event::Kind::Oom(wire::Oom {
        memory_cgroup: Some(memory_cgroup.to_owned()),
        rss_bytes: Some(64 << 20),
        oom_score_adj: Some(-5),
    })
}

#[tokio::test]
async fn an_oom_kill_names_its_victim_and_a_killer_is_named() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    agent.boot = [0x0f; 16];
    server.send(&agent.key(10, 2)).await;
    let mut batch = agent.batch();
    batch.events = vec![
        event(agent.now_ns, 10, oom("/docker/x")),
        event(
            agent.now_ns,
            10,
            wire::event::Kind::Exit(wire::Exit {
                oom_killed: Some(true),
                totals_final: true,
                ..killed(9)
            }),
        ),
        event(
            agent.now_ns,
            11,
            wire::event::Kind::Exit(wire::Exit {
                oom_killed: Some(false),
                totals_final: true,
                killed_by: Some(wire::Killer {
                    pid: 7,
                    start_ticks: 42,
                    name: b"bash".to_vec().into(),
                    uid: 1000,
                }),
                ..killed(15)
            }),
        ),
    ];
    server.send(&batch).await;
    let events = server.json("/api/v1/events?type=oom").await;
    let [only] = &events["events"].as_array().expect("a list")[..] else {
        panic!("{events}")
    };
    assert_eq!(only["type"], "oom");
    assert_eq!((&only["pid"], &only["name"]), (&json!(10), &json!("demo")));
    assert_eq!(only["memory_cgroup"], "/docker/x");
    assert_eq!(
        (&only["rss_bytes"], &only["oom_score_adj"]),
        (&json!(64 << 20), &json!(-5))
    );
    let exits = server.json("/api/v1/events?type=exit").await;
    let exits = exits["events"].as_array().expect("a list");
    assert_eq!(exits[0]["oom_killed"], false);
    assert_eq!(
        exits[0]["killed_by"],
        json!({"process_id": "7-42-0f0f0f0f", "pid": 7, "name": "bash", "uid": 1000})
    );
    assert_eq!(
        (&exits[1]["oom_killed"], &exits[1]["killed_by"]),
        (&json!(true), &Value::Null)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_loss_says_whose_records_it_was() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let mut batch = agent.key(10, 1);
    batch.losses = vec![wire::Loss {
        kind: "exec".to_owned(),
        reason: "ring_full".to_owned(),
        count: 12,
        from_unix_ns: agent.now_ns,
        until_unix_ns: agent.now_ns,
        command: b"cc1".to_vec().into(),
        cgroup: Some("/build".to_owned()),
    }];
    server.send(&batch).await;
    let events = server.json("/api/v1/events?type=loss").await;
    let loss = &events["events"][0];
    assert_eq!(
        (&loss["command"], &loss["cgroup"]),
        (&json!("cc1"), &json!("/build"))
    );
    server.stop().await;
}

#[tokio::test]
async fn redaction_does_not_look_like_a_cut() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let mut batch = agent.key(10, 3);
    let cut = |args: &[u8], args_bytes, args_cut| wire::Image {
        args_bytes,
        args_cut,
        ..image(0, args)
    };
    batch.processes[0].image = Some(cut("a\0-p‹redacted›\0".as_bytes(), 40, Some(false)));
    batch.processes[1].image = Some(cut("a\0-p‹redacted›\0".as_bytes(), 6, Some(true)));
    batch.processes[2].image = Some(cut(b"a\0b", 9, None));
    batch.events = (10..13)
        .map(|handle| event(agent.now_ns, handle, wire::event::Kind::Fork(wire::Fork {})))
        .collect();
    server.send(&batch).await;
    let events = server.json("/api/v1/events?type=fork").await;
    let events = events["events"].as_array().expect("a list");
    let told: Vec<_> = events
        .iter()
        .rev()
        .map(|event| {
            (
                event["cmdline_bytes"].clone(),
                event["cmdline_truncated"].clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (json!(40), json!(false)),
            (json!(6), json!(true)),
            (json!(9), json!(true))
        ]
    );
    server.stop().await;
}

fn frame(agent: &FakeAgent) -> wire::Frame {
    let mut encoder = FrameEncoder::default();
    let mut row = Row::default();
    row.set(Column::ShortLivedCpuCentipercent, Some(1250));
    row.set(Column::VoluntarySwitches, Some(7));
    row.set(Column::MajorFaults, Some(3));
    row.set(Column::RssExact, Some(1));
    encoder.push(10, &Row::default(), &row);
    let latency = |device: Option<&str>, issuer, writeback: Option<bool>, buckets: &[u32]| {
        wire::BlockLatency {
            device: device.map(|name| wire::BlockDevice {
                major: 8,
                minor: 0,
                name: name.to_owned(),
            }),
            issuer,
            writeback,
            operation: 1,
            buckets: buckets.to_vec(),
            bytes: 4096,
            latency_sum_ns: 1_500_000_000,
        }
    };
    wire::Frame {
        ts_unix_ns: agent.now_ns,
        columns: encoder.finish(),
        block_latency: vec![
            latency(Some("sda"), None, None, &[1, 0, 2]),
            latency(None, Some(10), None, &[0, 3]),
            latency(None, None, Some(true), &[0, 0, 0, 1]),
        ],
        short_lived: vec![
            wire::ShortLived {
                name: b"cc1".to_vec().into(),
                uid: 1000,
                username: Some("bob".to_owned()),
                lives: 40,
                cpu_time_ns: 900_000_000,
                ..wire::ShortLived::default()
            },
            wire::ShortLived {
                rest: true,
                lives: 2,
                ..wire::ShortLived::default()
            },
        ],
        ..wire::Frame::default()
    }
}

#[tokio::test]
async fn block_latency_and_short_lives_add_up() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 2)).await;
    for _ in 0..2 {
        agent.now_ns += 5_000_000_000;
        let mut batch = agent.batch();
        batch.frame = Some(frame(&agent));
        batch.host = Some(wire::HostTotals::default());
        server.send(&batch).await;
    }
    // It only says that nobody is gone.
    let mut batch = agent.batch();
    batch.frame = Some(wire::Frame {
        ts_unix_ns: agent.now_ns + 1,
        ..wire::Frame::default()
    });
    server.send(&batch).await;
    insta::assert_json_snapshot!(server.json("/api/v1/agents/a/block-latency").await);
    insta::assert_json_snapshot!(server.json("/api/v1/agents/a/short-lived").await);
    let metrics = server.get("/metrics").await.text().await.expect("a body");
    for line in [
        "# TYPE procmon_block_latency_seconds histogram",
        r#"procmon_block_latency_seconds_sum{agent_id="a",device="sda",op="read"} 3.0"#,
        r#"procmon_block_latency_seconds_count{agent_id="a",device="sda",op="read"} 6"#,
        r#"procmon_block_latency_seconds_bucket{le="0.000001",agent_id="a",device="sda",op="read"} 2"#,
        r#"procmon_block_latency_seconds_bucket{le="0.000004",agent_id="a",device="sda",op="read"} 6"#,
        r#"procmon_block_latency_seconds_bucket{le="+Inf",agent_id="a",device="sda",op="read"} 6"#,
    ] {
        assert!(
            metrics.lines().any(|known| known == line),
            "{line} is not in\n{metrics}"
        );
    }
    let problem = server.problem("/api/v1/agents/nobody/block-latency").await;
    assert_eq!(problem["status"], 404);
    server.stop().await;
}

#[tokio::test]
async fn a_process_shows_what_its_short_lived_descendants_used() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let mut batch = agent.key(10, 1);
    batch.frame = Some(frame(&agent));
    server.send(&batch).await;
    let list = server.json("/api/v1/processes").await;
    let process = &list["processes"][0];
    assert_eq!(process["short_lived_cpu_percent"], 12.5);
    assert_eq!(
        (&process["voluntary_switches"], &process["major_faults"]),
        (&json!(7), &json!(3))
    );
    assert_eq!(process["rss_exact"], true);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_tells_of_its_limits() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let mut batch = agent.key(10, 1);
    batch.health = Some(wire::AgentHealth {
        redactions: 3,
        degraded: vec!["argv".to_owned(), "sample_rate".to_owned()],
        mem_limit_bytes: 64 << 20,
        ring_used_bytes: 4096,
        ring_bytes: 1 << 20,
        effective_interval_ms: 20_000,
        ..wire::AgentHealth::default()
    });
    server.send(&batch).await;
    let body = server.json("/api/v1/agents/a").await;
    for (key, value) in [
        ("redactions", json!(3)),
        ("degraded", json!(["argv", "sample_rate"])),
        ("mem_limit_bytes", json!(64 << 20)),
        ("ring_used_bytes", json!(4096)),
        ("ring_bytes", json!(1 << 20)),
        ("effective_interval_ms", json!(20_000)),
    ] {
        assert_eq!(body[key], value, "{key}");
    }
    server.clock.advance_ms(59_000);
    assert_eq!(
        server.json("/api/v1/agents/a").await["status"],
        "live",
        "slow, not silent"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_restart_with_pinned_rings_leaves_no_gap() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let health = |since, continued| wire::AgentHealth {
        covered_since_unix_ns: since,
        continued,
        ..wire::AgentHealth::default()
    };
    let mut batch = agent.key(10, 1);
    batch.health = Some(health(agent.now_ns, false));
    let last_seen_ns = agent.now_ns;
    server.send(&batch).await;
    for (since_ns, continued, gaps) in [
        (last_seen_ns, true, 0),
        (last_seen_ns + 9_000_000_000, false, 1),
    ] {
        agent.epoch += 1;
        agent.seq = 0;
        agent.now_ns += 10_000_000_000;
        let mut batch = agent.key(10, 1);
        batch.health = Some(health(
            since_ns + if continued { 0 } else { 10_000_000_000 },
            continued,
        ));
        server.send(&batch).await;
        let body = server.json("/api/v1/agents/a").await;
        let listed = body["coverage"]["gaps"].as_array().expect("a list").len();
        assert_eq!(listed, gaps, "{body}");
    }
    server.stop().await;
}
