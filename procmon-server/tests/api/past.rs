//! `at` on lists and trees, and `GET /agents/{agent_id}/diff`.

use procmon_common::columns::Column;
use serde_json::{Value, json};

use crate::support::sampled::SampledHost;
use crate::support::{FakeAgent, START_MS, Server, exited};

fn at(seconds: i64) -> i64 {
    START_MS / 1000 + seconds
}

fn pids(list: &Value) -> Vec<u64> {
    let list = list.as_array().expect("a list").iter();
    list.filter_map(|process| process["pid"].as_u64()).collect()
}

#[tokio::test]
async fn a_table_of_then_is_what_the_table_was() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handles: Vec<u32> = (10..16).map(|pid| host.start(pid)).collect();
    let mut seen = Vec::new();
    for round in 0..8 {
        for (handle, pid) in handles.iter().zip(10..) {
            if round < 4 || *handle != handles[2] {
                host.set(*handle, Column::CpuCentipercent, round * pid);
                host.set(*handle, Column::WriteBytes, round * pid * 1000);
            }
        }
        if round == 4 {
            host.exit(handles[2], exited(1));
        }
        if round == 5 {
            host.start(99);
        }
        if round == 6 {
            host.exec(handles[0], b"/bin/other\0-x\0");
        }
        host.sample(&server).await;
        seen.push(server.json("/api/v1/processes?sort=pid").await);
        host.wait(&server, 5_000);
    }
    for (round, mut expected) in (0..).zip(seen) {
        let path = format!("/api/v1/processes?sort=pid&at={}", at(round * 5));
        let mut past = server.json(&path).await;
        // Rates of the very first sample are of the time since a sample that there is none of.
        expected["at"] = Value::Null;
        past["at"] = Value::Null;
        assert_eq!(past, expected, "round {round}");
    }
    // Between two samples the older one counts, and filters and order are those of the present.
    let path = format!(
        "/api/v1/processes?name=DEMO&sort=-pid&limit=2&at={}",
        at(17)
    );
    let past = server.json(&path).await;
    assert_eq!(pids(&past["processes"]), [15, 14]);
    assert_eq!(past["total"], 6);
    server.stop().await;
}

#[tokio::test]
async fn what_happened_since_the_last_sample_is_in_the_table_of_then() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let (stays, ends) = (host.start(10), host.start(11));
    host.sample(&server).await;
    host.wait(&server, 1_000);
    host.exit(ends, exited(0));
    host.exec(stays, b"/bin/other\0");
    let born = host.start(12);
    host.exec(born, b"/bin/new\0");
    host.tell(&server).await;
    host.wait(&server, 9_000);
    host.sample(&server).await;
    let names = async |seconds: i64| {
        let path = format!("/api/v1/processes?sort=pid&at={}", at(seconds));
        let body = server.json(&path).await;
        let list = body["processes"].as_array().expect("a list").clone();
        list.into_iter()
            .map(|process| (process["pid"].clone(), process["name"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(0).await,
        [(json!(10), json!("demo")), (json!(11), json!("demo"))]
    );
    assert_eq!(
        names(2).await,
        [(json!(10), json!("other")), (json!(12), json!("new"))]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_tree_of_then() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 5)).await;
    let now = server.json("/api/v1/processes/tree").await;
    server.clock.advance_ms(60_000);
    agent.now_ns += 60_000_000_000;
    let mut batch = agent.key(10, 2);
    batch.seq = agent.seq;
    server.send(&batch).await;
    let path = format!("/api/v1/processes/tree?agent_id=a&at={}", at(1));
    assert_eq!(server.json(&path).await["roots"], now["roots"]);
    let path = format!(
        "/api/v1/processes/tree?agent_id=a&include_zombies=0&at={}",
        at(1)
    );
    let without = server.json(&path).await;
    assert_eq!(
        without["roots"][0]["children"].as_array().map(Vec::len),
        Some(3)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_restart_of_agent_and_server_keeps_the_past_and_a_silence_is_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = procmon_server::clock::Clock::manual(START_MS);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    let mut host = SampledHost::new("a");
    host.start(10);
    host.sample(&server).await;
    host.samples(&server, 3).await;
    server.stop().await;
    let server = Server::start_in(folder.path(), clock).await;
    host.wait(&server, 300_000);
    host.restart();
    host.start(11);
    host.sample(&server).await;
    let past = server
        .json(&format!("/api/v1/processes?at={}", at(12)))
        .await;
    assert_eq!(pids(&past["processes"]), [10]);
    assert_eq!(past["processes"][0]["stale"], false);
    let past = server
        .json(&format!("/api/v1/processes?at={}", at(200)))
        .await;
    assert_eq!(past["processes"][0]["stale"], true);
    let past = server
        .json(&format!("/api/v1/processes?at={}", at(315)))
        .await;
    assert_eq!(pids(&past["processes"]), [10, 11]);
    for (query, said) in [
        (at(400), "has not come yet"),
        (at(-100), "nothing is kept of that time"),
    ] {
        let problem = server
            .problem(&format!("/api/v1/processes?at={query}"))
            .await;
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(said), "{detail}");
    }
    let problem = server.problem("/api/v1/processes/tree?at=then").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .starts_with("at=then")
    );
    server.stop().await;
}

#[tokio::test]
async fn two_instants_compared() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let (same, other, ends) = (host.start(10), host.start(11), host.start(12));
    host.sample(&server).await;
    host.samples(&server, 2).await;
    host.exit(ends, exited(3));
    host.exec(other, b"/bin/other\0-x\0");
    host.set(same, Column::CpuCentipercent, 900);
    host.start(13);
    let short = host.start(14);
    host.exit(short, exited(0));
    host.samples(&server, 2).await;
    let body = server
        .json(&format!(
            "/api/v1/agents/a/diff?from={}&to={}",
            at(5),
            at(20)
        ))
        .await;
    assert_eq!(pids(&body["started"]), [13]);
    assert_eq!(body["exited"][0]["process"]["pid"], 12);
    assert_eq!(body["exited"][0]["exit"]["exit_code"], 3);
    let changed = &body["changed"];
    assert_eq!(changed.as_array().map(Vec::len), Some(1));
    assert_eq!(
        changed[0]["fields"],
        json!(["name", "exe", "cmdline", "args"])
    );
    assert_eq!(
        (&changed[0]["before"]["name"], &changed[0]["after"]["name"]),
        (&json!("demo"), &json!("other"))
    );
    assert_eq!(
        (&body["unchanged"], &body["began_and_ended"]),
        (&json!(1), &json!(1))
    );
    for (path, status) in [
        (
            "a/diff?from=2026-01-31T11:00:00Z&to=2026-01-31T11:30:00Z",
            404,
        ),
        ("b/diff", 404),
        (
            "a/diff?from=2026-01-31T12:00:10Z&to=2026-01-31T12:00:00Z",
            400,
        ),
    ] {
        let problem = server.problem(&format!("/api/v1/agents/{path}")).await;
        assert_eq!(problem["status"], status, "{path}: {problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_agent_says_when_it_watched() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.start(10);
    host.sample(&server).await;
    host.samples(&server, 2).await;
    host.wait(&server, 60_000);
    host.restart();
    host.sample(&server).await;
    let coverage = server.json("/api/v1/agents/a").await["coverage"].clone();
    assert_eq!(
        coverage["windows"],
        json!([
            {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T12:00:09.8Z"},
            {"from": "2026-01-31T12:01:10Z", "to": "2026-01-31T12:01:10Z"},
        ])
    );
    assert_eq!(coverage["gaps"][0]["reason"], "agent_down");
    server.stop().await;
}
