//! `GET /processes/by-id/{process_id}`.

use procmon_common::columns::Column;
use procmon_common::wire;
use serde_json::{Value, json};

use crate::support::sampled::SampledHost;
use crate::support::{FakeAgent, Server, exited, killed};

async fn id_of(server: &Server, pid: u32) -> String {
    let list = server.json(&format!("/api/v1/processes?pid={pid}")).await;
    let id = list["processes"][0]["process_id"].as_str();
    id.expect("it is listed").to_owned()
}

async fn life(server: &Server, id: &str) -> Value {
    server
        .json(&format!("/api/v1/processes/by-id/{id}?agent_id=a"))
        .await
}

#[tokio::test]
async fn a_whole_life_is_one_record() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.agent.boot = [0x0f; 16];
    host.start(1);
    host.samples(&server, 2).await;
    let handle = host.start(7);
    host.exec(handle, b"/bin/first\0-a\0");
    host.samples(&server, 2).await;
    let id = id_of(&server, 7).await;
    let running = life(&server, &id).await;
    assert_eq!(
        (&running["state"], &running["cause"], &running["exit"]),
        (&json!("running"), &Value::Null, &Value::Null)
    );
    assert_eq!(running["process"]["name"], "first");
    host.exec(handle, b"/bin/second\0-b\0");
    host.set(handle, Column::RssKib, 5 << 20);
    host.samples(&server, 1).await;
    host.wait(&server, 2_000);
    let oom = wire::Oom {
        memory_cgroup: Some("/docker/x".to_owned()),
        rss_bytes: Some(6 << 30),
        oom_score_adj: Some(0),
    };
    host.event(handle, wire::event::Kind::Oom(oom));
    host.exit(
        handle,
        wire::Exit {
            oom_killed: Some(true),
            ..killed(9)
        },
    );
    host.tell(&server).await;
    host.samples(&server, 1).await;
    insta::assert_json_snapshot!(life(&server, &id).await);
    server.stop().await;
}

#[tokio::test]
async fn a_life_that_no_sample_saw_has_its_killer_and_its_parents() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.agent.boot = [0x0f; 16];
    host.start(1);
    host.start(20);
    host.sample(&server).await;
    host.wait(&server, 1_000);
    // A shell that starts a command: both are gone before the next sample.
    let shell = host.start_below(21, 20);
    host.exec(shell, b"/bin/sh\0-c\0x\0");
    host.wait(&server, 20);
    let command = host.start_below(22, 21);
    host.exec(command, b"/bin/x\0");
    let id = host.id(command);
    host.wait(&server, 100);
    host.exit(
        command,
        wire::Exit {
            killed_by: Some(wire::Killer {
                pid: 20,
                start_ticks: 5,
                name: b"demo".to_vec().into(),
                uid: 0,
            }),
            ..killed(15)
        },
    );
    host.wait(&server, 10);
    host.exit(shell, exited(143));
    host.tell(&server).await;
    host.samples(&server, 2).await;
    let body = life(&server, &id).await;
    assert_eq!(
        (&body["state"], &body["cause"]),
        (&json!("ended"), &json!("killed"))
    );
    assert_eq!(body["exit"]["signal"], 15);
    assert_eq!(body["exit"]["killed_by"]["pid"], 20);
    assert_eq!(body["duration_ms"], 100.0);
    let parents: Vec<_> = body["ancestors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|parent| (parent["pid"].clone(), parent["name"].clone()))
        .collect();
    assert_eq!(
        parents,
        [
            (json!(21), json!("sh")),
            (json!(20), json!("demo")),
            (json!(1), json!("demo"))
        ]
    );
    assert_eq!(body["last_samples"], json!([]));
    assert_eq!(body["last_seen"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn pids_that_are_given_again_are_other_lives() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let first = host.start(7);
    host.samples(&server, 2).await;
    let first_id = id_of(&server, 7).await;
    host.exit(first, exited(1));
    host.wait(&server, 50);
    let second = host.start(7);
    host.samples(&server, 2).await;
    let second_id = id_of(&server, 7).await;
    assert_ne!(first_id, second_id);
    host.exit(second, exited(2));
    host.samples(&server, 1).await;
    for (id, code) in [(first_id, 1), (second_id, 2)] {
        let body = life(&server, &id).await;
        assert_eq!(
            (&body["exit"]["exit_code"], &body["cause"]),
            (&json!(code), &json!("exited"))
        );
        assert_eq!(body["events"].as_array().map(Vec::len), Some(1));
        assert_eq!(body["last_samples"].as_array().map(Vec::len), Some(2));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_not_made_up() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.start(1);
    let handle = host.start(7);
    host.samples(&server, 2).await;
    let id = id_of(&server, 7).await;
    // The agent is away, and the process is gone when it comes back.
    host.wait(&server, 60_000);
    host.forget(handle);
    host.restart();
    host.samples(&server, 2).await;
    let body = life(&server, &id).await;
    assert_eq!(
        (&body["state"], &body["cause"]),
        (&json!("gone"), &json!("unknown"))
    );
    assert_eq!(
        (&body["end_time"], &body["exit"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(body["last_seen"], "2026-01-31T12:00:10Z");
    // And a host that nobody looks at says nothing of what still runs.
    let other = id_of(&server, 1).await;
    server.clock.advance_ms(20_000);
    assert_eq!(life(&server, &other).await["state"], "unknown");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_known_or_not_valid_is_said() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("a").key(10, 1)).await;
    for (path, status, said) in [
        ("10-1-0f0f0f0f", 400, "agent_id is needed"),
        ("10-1-0f0f0f0f?agent_id=b", 404, "no agent b"),
        (
            "10-1-0f0f0f0f?agent_id=a",
            404,
            "nothing is kept of process",
        ),
        ("10?agent_id=a", 400, "process_id=10"),
        (
            "10-1-0f0f0f0f?agent_id=a&x=1",
            400,
            "unknown query parameter x",
        ),
    ] {
        let problem = server
            .problem(&format!("/api/v1/processes/by-id/{path}"))
            .await;
        assert_eq!(problem["status"], status, "{path}: {problem}");
        assert!(
            problem["detail"].as_str().expect("text").contains(said),
            "{path}: {problem}"
        );
    }
    server.stop().await;
}
