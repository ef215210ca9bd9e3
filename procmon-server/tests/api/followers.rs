//! Many clients that follow at once, and some that stopped reading.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::sse::Reader;
use crate::support::{FakeAgent, Server, exited};

const CLIENTS: usize = 190;
const STALLED: usize = 10;
const LIVES: u32 = 150;

/// A connection that asks, and never reads the answer. A small window makes it full soon.
async fn stalled(server: &Server, path: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    let mut stream = socket.connect(server.address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    stream
}

async fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").await.text().await.expect("a body");
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_follow_and_ten_of_them_do_not_read() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 300)).await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let filter = if client.is_multiple_of(2) {
            ""
        } else {
            "?type=exit&q=exit_code+%3D%3D+0"
        };
        let url = server.url(&format!("/api/v1/events/stream{filter}"));
        let response = server.http.get(url).send().await.expect("an answer");
        let mut reader = Reader::new(response);
        reader.next().await.expect("it is open");
        clients.spawn(async move {
            let mut seen = Vec::new();
            let wanted = if filter.is_empty() { 2 * LIVES } else { LIVES };
            while seen.len() < wanted as usize {
                seen.push(reader.next_data().await.json()["pid"].as_u64());
            }
            (filter.is_empty(), seen)
        });
    }
    let mut held = Vec::new();
    for number in 0..STALLED {
        let path = ["/api/v1/events/stream", "/api/v1/live"][number % 2];
        held.push(stalled(&server, path).await);
    }
    while metric(&server, "procmon_open_streams").await < (CLIENTS + STALLED) as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Ingest goes on whatever they do: each batch is answered, and events carry enough to fill every buffer on the way.
    for pid in 1_000..1_000 + LIVES {
        let mut batch = agent.life(pid, exited(0));
        let padding = format!("/bin/true\0{}\0", "x".repeat(1_500));
        for event in &mut batch.events {
            if let Some(procmon_common::wire::event::Kind::Exec(exec)) = &mut event.kind {
                exec.image = Some(crate::support::image(1, padding.as_bytes()));
            }
        }
        server.send(&batch).await;
    }
    // Everybody who reads has everything, once and in order.
    let lives: Vec<_> = (1_000..1_000 + u64::from(LIVES)).map(Some).collect();
    let both: Vec<_> = lives.iter().flat_map(|pid| [*pid, *pid]).collect();
    while let Some(client) = clients.join_next().await {
        let (all, seen) = client.expect("it has read everything");
        assert!(if all { seen == both } else { seen == lives });
    }
    assert_eq!(server.json("/readyz").await["status"], "ok");
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn who_cannot_be_followed_any_more_starts_anew() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 3)).await;
    let of_nowhere = "AQAAAGMAAAAAAAAAAQAAAAA";
    let request = server
        .http
        .get(server.url("/api/v1/events/stream"))
        .header("last-event-id", of_nowhere);
    let mut stream = Reader::new(request.send().await.expect("an answer"));
    assert_eq!(stream.next_data().await.event, "reset");
    assert_eq!(
        metric(&server, "procmon_stream_resyncs_total{stream=\"events\"}").await,
        1
    );
    // A parameter, unlike what a browser sends by itself, can be refused.
    let problem = server
        .problem("/api/v1/events/stream?cursor=nonsense")
        .await;
    assert_eq!(problem["status"], 400);
    server.stop().await;
}

#[tokio::test]
async fn a_big_host_comes_in_parts() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 12_000)).await;
    server.send(&FakeAgent::new("b").key(10, 10)).await;
    let request = server.http.get(server.url("/api/v1/live"));
    let mut stream = Reader::new(request.send().await.expect("an answer"));
    let mut seen = std::collections::HashSet::new();
    let mut messages = Vec::new();
    loop {
        let message = stream.next_data().await;
        if message.event == "agents" {
            continue;
        }
        let body = message.json();
        let column = |name: &str| body["columns"][name].as_array().expect("a column").clone();
        for row in column("agent_id").into_iter().zip(column("process_id")) {
            let row = format!("{row:?}");
            assert!(seen.insert(row.clone()), "{row} came twice");
        }
        messages.push(message.event);
        if body["more"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 12_010);
    assert_eq!(messages[0], "snapshot");
    assert!(messages.len() > 1 && messages[1..].iter().all(|event| event == "delta"));
    server.stop().await;
}
