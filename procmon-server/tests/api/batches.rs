//! `POST /agents/{agent_id}/batches`: what is taken, what is refused, and that a refusal disturbs nobody.

use procmon_common::wire::{self, Batch, MAX_BODY_BYTES, MAX_DECODED_BYTES};
use reqwest::StatusCode;

use crate::support::{FakeAgent, Server, event, exited, problem, process};

#[tokio::test]
async fn a_repeated_batch_has_no_effect() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let key = agent.key(10, 2);
    let life = agent.life(50, exited(7));
    for batch in [&key, &key, &life, &life, &key] {
        let ack = server.send(batch).await;
        assert!(!ack.resync);
        assert!(ack.durable_seq >= batch.seq);
    }
    let events = server.json("/api/v1/events").await;
    assert_eq!(events["events"].as_array().expect("a list").len(), 2);
    assert_eq!(server.json("/api/v1/processes").await["total"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_gap_is_stored_and_asks_for_a_key_batch() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 2)).await;
    agent.seq += 5;
    let ack = server.send(&agent.life(50, exited(7))).await;
    assert!(ack.resync);
    assert_eq!(ack.durable_seq, agent.seq);
    // What the batch itself describes is known all the same.
    let events = server.json("/api/v1/events").await;
    assert_eq!(events["events"][0]["name"], "true");
    assert!(server.send(&agent.batch()).await.resync);
    assert!(!server.send(&agent.key(10, 2)).await.resync);
    server.stop().await;
}

#[tokio::test]
async fn an_event_of_an_unknown_process_is_kept_without_identity() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 2)).await;
    let mut batch = agent.batch();
    batch.events = vec![event(5, 999, wire::event::Kind::Exit(exited(3)))];
    assert!(server.send(&batch).await.resync);
    let events = server.json("/api/v1/events").await;
    let only = &events["events"][0];
    assert_eq!(only["exit_code"], 3);
    assert!(only["process_id"].is_null() && only["pid"].is_null());
    server.stop().await;
}

#[tokio::test]
async fn a_key_span_of_several_batches_ends_who_it_does_not_list() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 5)).await;
    let mut first = agent.key(10, 2);
    first.more = true;
    server.send(&first).await;
    assert_eq!(server.json("/api/v1/processes").await["total"], 5);
    let mut last = agent.batch();
    last.processes = vec![process(12, agent.now_ns), process(77, agent.now_ns)];
    assert!(!server.send(&last).await.resync);
    let listed = server.json("/api/v1/processes?sort=pid").await;
    let pids: Vec<_> = listed["processes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|process| process["pid"].as_u64().expect("a pid"))
        .collect();
    assert_eq!(pids, [10, 11, 12, 77]);
    server.stop().await;
}

#[tokio::test]
async fn a_second_live_machine_is_refused_until_the_first_is_silent() {
    let server = Server::start().await;
    let (mut first, mut second) = (FakeAgent::new("a"), FakeAgent::new("a"));
    second.epoch += 1;
    server.send(&first.key(10, 1)).await;
    let key = second.key(20, 1);
    let refused = problem(server.post(&key).await).await;
    assert_eq!(refused["status"], 409);
    server.send(&first.batch()).await;
    server.clock.advance_ms(15_001);
    server.send(&key).await;
    let list = server.json("/api/v1/processes").await;
    assert_eq!(
        (list["total"].as_u64(), list["processes"][0]["pid"].as_u64()),
        (Some(1), Some(20))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_second_agent_of_the_same_machine_is_told_apart_from_a_restart() {
    let server = Server::start().await;
    let (mut first, mut second) = (FakeAgent::new("a"), FakeAgent::new("a"));
    second.epoch += 1;
    second.machine.clone_from(&first.machine);
    second.boot = first.boot;
    server.send(&first.key(10, 1)).await;
    // This may be a restart.
    server.send(&second.key(10, 1)).await;
    // This shows that it was none.
    let refused = problem(server.post(&first.batch()).await).await;
    assert_eq!(refused["status"], 409);
    server.send(&second.batch()).await;
    // The second has stopped: the first goes on, and not with one batch for each time that it is silent.
    server.clock.advance_ms(15_001);
    server.send(&first.batch()).await;
    server.send(&first.key(10, 1)).await;
    server.send(&first.batch()).await;
    let refused = problem(server.post(&second.batch()).await).await;
    assert_eq!(refused["status"], 409);
    server.stop().await;
}

#[tokio::test]
async fn other_names_than_this_machine_s_are_not_answered_to() {
    let server = Server::start().await;
    let url = format!("http://{}/api/v1/agents", server.address);
    let asked = server.http.get(url).header("host", "evil.example");
    let refused = problem(asked.send().await.expect("an answer")).await;
    assert_eq!(refused["status"], 421);
    server.stop().await;
}

#[tokio::test]
async fn without_machine_ids_another_boot_is_another_machine() {
    let server = Server::start().await;
    let (mut first, mut second) = (FakeAgent::new("a"), FakeAgent::new("a"));
    first.machine.clear();
    server.send(&first.key(10, 1)).await;
    assert_eq!(
        server.post(&second.key(10, 1)).await.status(),
        StatusCode::CONFLICT
    );
    // The same machine with a new agent is welcome at once.
    first.epoch += 1;
    first.seq = 0;
    server.send(&first.key(10, 1)).await;
    server.stop().await;
}

/// Bodies that are not batches, and the status each deserves.
fn malformed(agent: &mut FakeAgent) -> Vec<(&'static str, Vec<u8>, u16)> {
    let good = wire::encode(&agent.key(10, 3)).expect("compresses");
    let zstd = |plain: &[u8]| wire_compress(plain);
    let mut cases = vec![
        ("empty", Vec::new(), 400),
        ("no content", zstd(&[]), 400),
        ("not zstd", b"hello".to_vec(), 400),
        ("cut zstd", good[..good.len() / 2].to_vec(), 400),
        ("not protobuf", zstd(&[0xff; 100]), 400),
        ("cut protobuf", zstd(&[0x0a, 200, 1, 2]), 400),
        ("too large", vec![0; MAX_BODY_BYTES + 1], 413),
        ("a bomb", zstd(&vec![0; MAX_DECODED_BYTES + 1]), 413),
    ];
    let mut wrong = |name, status, change: &dyn Fn(&mut Batch)| {
        let mut batch = agent.key(10, 3);
        change(&mut batch);
        cases.push((name, wire::encode(&batch).expect("compresses"), status));
    };
    wrong("another agent", 409, &|batch| {
        "b".clone_into(&mut batch.agent_id);
    });
    wrong("no boot", 422, &|batch| batch.boot_id = vec![1; 3].into());
    wrong("odd machine", 422, &|batch| {
        batch.machine_id = vec![1; 15].into();
    });
    wrong("no epoch", 422, &|batch| batch.epoch = 0);
    wrong("huge epoch", 422, &|batch| batch.epoch = u64::MAX);
    wrong("no seq", 422, &|batch| batch.seq = 0);
    wrong("handle 0", 422, &|batch| batch.processes[0].handle = 0);
    wrong("one handle twice", 422, &|batch| {
        batch.processes[1].handle = 10;
    });
    wrong("odd columns", 422, &|batch| {
        let frame = batch.frame.as_mut().expect("a frame");
        frame.columns[0].deltas.pop();
    });
    wrong("handles overflow", 422, &|batch| {
        let frame = batch.frame.as_mut().expect("a frame");
        frame.columns[0].handle_gaps = vec![u32::MAX, 1, 1];
    });
    wrong("too many processes", 413, &|batch| {
        batch.processes = (1..=100_001).map(|pid| process(pid, 0)).collect();
        batch.frame = None;
    });
    cases
}

fn wire_compress(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 1).expect("compresses")
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_disturbs_nobody() {
    let server = Server::start().await;
    let (mut agent, mut neighbour) = (FakeAgent::new("a"), FakeAgent::new("b"));
    server.send(&agent.key(10, 3)).await;
    server.send(&neighbour.key(10, 3)).await;
    let before = server.json("/api/v1/processes?sort=pid").await;
    let mut unsent = FakeAgent::new("a");
    unsent.boot = agent.boot;
    unsent.machine.clone_from(&agent.machine);
    unsent.seq = agent.seq;
    for (name, body, status) in malformed(&mut unsent) {
        let refused = problem(server.post_body("a", body).await).await;
        assert_eq!(refused["status"], status, "{name}: {refused}");
    }
    assert_eq!(
        server.json("/api/v1/processes?sort=pid").await["processes"],
        before["processes"]
    );
    // Both go on as if nothing had been.
    assert!(!server.send(&agent.life(50, exited(0))).await.resync);
    assert!(!server.send(&neighbour.life(50, exited(0))).await.resync);
    server.stop().await;
}

#[tokio::test]
async fn other_media_types_are_refused_with_a_hint() {
    let server = Server::start().await;
    let post = |name: &'static str, value: &'static str| {
        server
            .http
            .post(server.url("/api/v1/agents/a/batches"))
            .header(name, value)
            .body("{}")
            .send()
    };
    let json = post("content-type", "application/json")
        .await
        .expect("an answer");
    let refused = problem(json).await;
    assert_eq!(refused["status"], 415);
    assert!(
        refused["detail"]
            .as_str()
            .expect("text")
            .contains("application/x-protobuf")
    );
    let url = server.url("/api/v1/agents/a%20b/batches");
    let odd = server.http.post(url).send().await.expect("an answer");
    assert_eq!(problem(odd).await["status"], 400);
    server.stop().await;
}

#[tokio::test]
async fn what_a_stranger_sends_never_ends_the_server() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 3)).await;
    // Values that are absurd but well formed are taken as they are.
    let mut batch = agent.batch();
    batch.built_unix_ns = i64::MIN;
    batch.interval_ms = u32::MAX;
    batch.events = vec![
        event(i64::MIN, 10, wire::event::Kind::Fork(wire::Fork {})),
        event(
            i64::MAX,
            10,
            wire::event::Kind::IoSlow(wire::SlowIo {
                operation: 99,
                bytes: u64::MAX,
                latency_ns: u64::MAX,
                ..wire::SlowIo::default()
            }),
        ),
        wire::Event::default(),
    ];
    batch.losses = vec![wire::Loss {
        kind: "x".repeat(100_000),
        from_unix_ns: i64::MIN,
        until_unix_ns: i64::MAX,
        count: u64::MAX,
        ..wire::Loss::default()
    }];
    let mut gap = wire::Column {
        id: 3,
        handle_gaps: vec![10],
        deltas: vec![i64::MIN],
    };
    let odd = wire::Column {
        id: 4_000_000,
        ..gap.clone()
    };
    gap.deltas = vec![i64::MAX];
    batch.frame = Some(wire::Frame {
        ts_unix_ns: i64::MIN,
        columns: vec![gap, odd],
        ..wire::Frame::default()
    });
    server.send(&batch).await;
    for path in [
        "/api/v1/events",
        "/api/v1/processes",
        "/api/v1/agents",
        "/api/v1/processes/tree",
        "/metrics",
    ] {
        assert_eq!(server.get(path).await.status(), StatusCode::OK, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_restart_brings_everything_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = procmon_server::clock::Clock::manual(crate::support::START_MS);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 3)).await;
    server.send(&agent.life(50, exited(7))).await;
    let path = "/api/v1/processes?sort=pid";
    let (processes, agents) = (server.json(path).await, server.json("/api/v1/agents").await);
    server.stop().await;

    let server = Server::start_in(folder.path(), clock).await;
    assert_eq!(server.json(path).await, processes);
    let mut restored = server.json("/api/v1/agents").await;
    // Known again with the next batch.
    restored["agents"][0]["lag_ms"] = agents["agents"][0]["lag_ms"].clone();
    assert_eq!(restored, agents);
    // The watermark holds, and the handles still have their meaning.
    agent.seq = 1;
    let repeated = server.send(&agent.life(50, exited(7))).await;
    assert_eq!((repeated.durable_seq, repeated.resync), (2, false));
    let mut batch = agent.batch();
    batch.events = vec![event(5, 11, wire::event::Kind::Exit(exited(1)))];
    assert!(!server.send(&batch).await.resync);
    let events = server.json("/api/v1/events").await;
    assert_eq!(events["events"][0]["pid"], 11);
    assert_eq!(events["events"].as_array().expect("a list").len(), 3);
    server.stop().await;
}
