//! What one agent may make the server take, and that nobody else notices.

use std::time::Duration;

use procmon_common::wire::{self, Batch};
use procmon_server::ingest::limits::IngestLimits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{FakeAgent, Server, event, exited, image, problem};

/// A refusal: its status, `Retry-After`, and what it says.
async fn refused(response: reqwest::Response) -> (u64, Option<u64>, String) {
    let retry = response
        .headers()
        .get("retry-after")
        .map(|value| value.to_str().expect("text").parse().expect("seconds"));
    let body = problem(response).await;
    let status = body["status"].as_u64().expect("a number");
    (
        status,
        retry,
        body["detail"].as_str().expect("text").to_owned(),
    )
}

async fn rejects(server: &Server, door: &str, reason: &str) -> u64 {
    let text = server.get("/metrics").await.text().await.expect("a body");
    let name = format!("procmon_ingest_rejects_total{{door=\"{door}\",reason=\"{reason}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// Another agent that goes on as if nothing was.
async fn is_served(server: &Server) {
    let mut other = FakeAgent::new("innocent");
    server.send(&other.key(10, 3)).await;
    server.send(&other.life(50, exited(0))).await;
}

#[tokio::test]
async fn a_flood_is_told_when_to_come_back() {
    let server = Server::start_limited(IngestLimits {
        requests_per_s: 5,
        burst_requests: 10,
        ..IngestLimits::default()
    })
    .await;
    let mut agent = FakeAgent::new("flood");
    // The first one makes it known.
    server.send(&agent.key(10, 1)).await;
    for _ in 0..10 {
        server.send(&agent.batch()).await;
    }
    let next = agent.batch();
    let (status, retry, detail) = refused(server.post(&next).await).await;
    assert_eq!((status, retry), (429, Some(1)));
    assert!(detail.contains("ingest_limits.requests_per_s"), "{detail}");
    is_served(&server).await;
    assert_eq!(rejects(&server, "native", "request_rate").await, 1);
    server.clock.advance_ms(1000);
    assert!(!server.send(&next).await.resync, "nothing was missed");
    server.stop().await;
}

#[tokio::test]
async fn bytes_are_counted_when_decompressed() {
    let server = Server::start_limited(IngestLimits {
        bytes_per_s: 1 << 20,
        burst_bytes: 2 << 20,
        ..IngestLimits::default()
    })
    .await;
    let upload = json!({"samples": [{"pid": 1, "name": "x", "cmdline": " ".repeat(5 << 20)}]});
    assert_eq!(server.upload("a", &upload).await.status(), 202);
    let small = json!({"samples": [{"pid": 1, "name": "x"}]});
    // The first upload of an agent that is not known is not charged to it.
    assert_eq!(server.upload("a", &upload).await.status(), 202);
    let (status, retry, detail) = refused(server.upload("a", &small).await).await;
    assert_eq!(status, 429);
    assert!((3..=4).contains(&retry.expect("a time")), "{retry:?}");
    assert!(detail.contains("ingest_limits.bytes_per_s"), "{detail}");
    assert_eq!(rejects(&server, "upload", "byte_rate").await, 1);
    is_served(&server).await;
    server.clock.advance_ms(4000);
    assert_eq!(server.upload("a", &small).await.status(), 202);
    server.stop().await;
}

/// A client that looks for the answer only after it has sent everything finds it, and can go on with the same connection.
#[tokio::test]
async fn whoever_is_refused_is_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("a connection");
    for (content_type, bytes, status) in [
        ("application/json", 30 << 20, "413"),
        ("text/plain", 3 << 20, "415"),
        ("application/json", 10, "400"),
    ] {
        let head = format!(
            "POST /api/v1/agents/a/processes HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
             Content-Length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        let body = vec![b' '; bytes];
        stream.write_all(&body).await.expect("it is taken");
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bomb_costs_the_one_who_sends_it() {
    let server = Server::start_limited(IngestLimits {
        content_bytes: 1 << 20,
        bytes_per_s: 1 << 20,
        burst_bytes: 1 << 20,
        ..IngestLimits::default()
    })
    .await;
    let mut agent = FakeAgent::new("bomber");
    server.send(&agent.key(10, 1)).await;
    let bomb = zstd::bulk::compress(&vec![0; 200 << 20], 1).expect("compresses");
    assert!(bomb.len() < 100_000);
    let (status, _, detail) = refused(server.post_body("bomber", bomb.clone()).await).await;
    assert_eq!(status, 413);
    assert!(detail.contains("ingest_limits.content_bytes"), "{detail}");
    let (status, _, _) = refused(server.post_body("bomber", bomb).await).await;
    assert_eq!(status, 429);
    assert_eq!(rejects(&server, "native", "content_size").await, 1);
    is_served(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn sizes_are_refused_with_the_limit_that_says_so() {
    let limits = IngestLimits {
        body_bytes: 64 << 10,
        processes: 20,
        names: 10,
        text_bytes: 8 << 10,
        events: 30,
        ..IngestLimits::default()
    };
    let server = Server::start_limited(limits).await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 5)).await;
    let seq = agent.seq;
    let mut named = |change: fn(&mut FakeAgent) -> Batch| {
        agent.seq = seq;
        change(&mut agent)
    };
    let cases = [
        ("processes", named(|agent| agent.key(10, 21))),
        ("names", named(many_names)),
        ("text_bytes", named(long_arguments)),
        ("events", named(many_events)),
    ];
    for (limit, batch) in cases {
        let (status, _, detail) = refused(server.post(&batch).await).await;
        assert_eq!(status, 413, "{limit}: {detail}");
        assert!(
            detail.contains(&format!("ingest_limits.{limit}")),
            "{detail}"
        );
    }
    let (status, _, detail) = refused(server.post_body("a", vec![0; (64 << 10) + 1]).await).await;
    assert_eq!(status, 413, "{detail}");
    assert!(detail.contains("ingest_limits.body_bytes"), "{detail}");
    for reason in ["processes", "names", "text", "events", "body_size"] {
        assert_eq!(rejects(&server, "native", reason).await, 1, "{reason}");
    }
    // Nothing of it was stored or shown.
    assert_eq!(
        server.json("/api/v1/processes?agent_id=a").await["total"],
        5
    );
    agent.seq = seq;
    assert!(!server.send(&agent.batch()).await.resync);
    is_served(&server).await;
    server.stop().await;
}

fn many_names(agent: &mut FakeAgent) -> Batch {
    let mut batch = agent.key(10, 15);
    for (number, process) in batch.processes.iter_mut().enumerate() {
        process.image = Some(image(0, format!("worker-{number}\0").as_bytes()));
    }
    batch
}

fn long_arguments(agent: &mut FakeAgent) -> Batch {
    let mut batch = agent.key(10, 3);
    for process in &mut batch.processes {
        process.image = Some(image(0, &[b'a'; 4000]));
    }
    batch
}

fn many_events(agent: &mut FakeAgent) -> Batch {
    let mut batch = agent.batch();
    let exit = || wire::event::Kind::Exit(exited(0));
    batch.events = (0..31).map(|at| event(at, 10, exit())).collect();
    batch
}

#[tokio::test]
async fn uploads_have_the_same_limits() {
    let server = Server::start_limited(IngestLimits {
        processes: 5,
        names: 3,
        text_bytes: 4 << 10,
        ..IngestLimits::default()
    })
    .await;
    let list = |count: u32, name: &dyn Fn(u32) -> String| -> Value {
        let sample = |pid| json!({"pid": pid, "name": name(pid)});
        json!({"samples": (1..=count).map(sample).collect::<Vec<_>>()})
    };
    let same = |_| "same".to_owned();
    for (body, limit) in [
        (list(6, &same), "processes"),
        (list(4, &|pid| pid.to_string()), "names"),
        (
            json!({"samples": [{"pid": 1, "cmdline": "x".repeat(5000)}]}),
            "text_bytes",
        ),
    ] {
        let (status, _, detail) = refused(server.upload("a", &body).await).await;
        assert_eq!(status, 413, "{detail}");
        assert!(
            detail.contains(&format!("ingest_limits.{limit}")),
            "{detail}"
        );
    }
    assert_eq!(server.upload("a", &list(5, &same)).await.status(), 202);
    server.stop().await;
}

#[tokio::test]
async fn more_agents_than_allowed_wait_until_one_is_forgotten() {
    let server = Server::start_limited(IngestLimits {
        agents: 1,
        ..IngestLimits::default()
    })
    .await;
    server.send(&FakeAgent::new("first").key(10, 1)).await;
    let (status, retry, detail) =
        refused(server.post(&FakeAgent::new("second").key(10, 1)).await).await;
    assert_eq!((status, retry.is_some()), (503, true));
    assert!(detail.contains("ingest_limits.agents"), "{detail}");
    server.stop().await;
}

/// A request whose body never comes, but for its first bytes.
async fn stall(server: &Server, agent_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let head = format!(
        "POST /api/v1/agents/{agent_id}/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\n\
         Content-Length: 5000000\r\n\r\nabc",
        wire::CONTENT_TYPE
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    stream
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_else_out() {
    let server = Server::start_limited(IngestLimits {
        concurrent_requests: 4,
        ..IngestLimits::default()
    })
    .await;
    let mut agent = FakeAgent::new("slow");
    server.send(&agent.key(10, 1)).await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        stalled.push(stall(&server, "slow").await);
    }
    // Of the agent's own requests no more are taken than may be under way; the others are answered at once.
    let mut answered = 0;
    for stream in &mut stalled {
        let mut answer = [0; 12];
        let read = stream.read_exact(&mut answer);
        if tokio::time::timeout(Duration::from_millis(100), read)
            .await
            .is_ok()
        {
            assert_eq!(&answer, b"HTTP/1.1 429");
            answered += 1;
        }
        if answered == 196 {
            break;
        }
    }
    assert_eq!(answered, 196);
    is_served(&server).await;
    let (status, retry, detail) = refused(server.post(&agent.batch()).await).await;
    assert_eq!((status, retry), (429, Some(1)));
    assert!(
        detail.contains("ingest_limits.concurrent_requests"),
        "{detail}"
    );
    drop(stalled);
    // Their places are free again as soon as the server sees that they have gone.
    agent.seq -= 1;
    let next = agent.batch();
    for _ in 0..1000 {
        if server.post(&next).await.status() == 200 {
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the places stay taken");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let server = Server::start().await;
    let mut stream = stall(&server, "stranger").await;
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_mins(1), read)
        .await
        .expect("an answer")
        .expect("a whole line");
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(rejects(&server, "native", "slow_body").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_dictionary_that_the_server_has_not_is_told() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    let key = agent.key(10, 3);
    let mut encoder = wire::Encoder::new().expect("starts");
    let body = encoder.encode(&key).expect("compresses");
    let answer = server.post_body("a", body).await;
    assert_eq!(answer.status(), 200);
    let ids: Vec<_> = wire::known_dictionaries()
        .map(|id| id.to_string())
        .collect();
    assert_eq!(answer.headers()[wire::DICTIONARIES_HEADER], ids.join(","));
    let mut other = wire::Dictionary::newest().content.to_vec();
    other[4..8].copy_from_slice(&77_u32.to_le_bytes());
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, &other).expect("valid");
    let body = compressor.compress(&[7; 500]).expect("compresses");
    let answer = server.post_body("a", body).await;
    assert!(answer.headers().contains_key(wire::DICTIONARIES_HEADER));
    let (status, _, detail) = refused(answer).await;
    assert_eq!(status, 415);
    assert!(
        detail.contains("dictionary 77") && detail.contains(&ids[0]),
        "{detail}"
    );
    assert_eq!(rejects(&server, "native", "dictionary").await, 1);
    server.stop().await;
}
