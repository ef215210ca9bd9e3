//! `GET /events/stream`.

use std::time::{Duration, Instant};

use crate::support::sse::Reader;
use crate::support::{FakeAgent, Server, exited};

async fn open(server: &Server, query: &str, last: Option<&str>) -> Reader {
    let mut request = server
        .http
        .get(server.url(&format!("/api/v1/events/stream{query}")));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    Reader::new(request.send().await.expect("an answer"))
}

#[tokio::test]
async fn new_events_arrive_at_once_and_resume_exactly() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 1)).await;
    server.send(&agent.life(40, exited(0))).await;
    let mut stream = open(&server, "", None).await;
    assert!(!stream.next().await.expect("an id").id.is_empty());
    server.send(&agent.life(50, exited(0))).await;
    let sent = Instant::now();
    let exec = stream.next_data().await;
    assert!(
        sent.elapsed() < Duration::from_millis(500),
        "{:?}",
        sent.elapsed()
    );
    assert_eq!(
        (&exec.json()["type"], &exec.json()["pid"]),
        (&"exec".into(), &50.into())
    );
    assert_eq!(exec.json()["cursor"], *exec.id);
    drop(stream);
    server.send(&agent.life(60, exited(0))).await;
    // From within a batch on: nothing lost, nothing twice.
    for mut resumed in [
        open(&server, "", Some(&exec.id)).await,
        open(&server, &format!("?cursor={}", exec.id), None).await,
    ] {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let event = resumed.next_data().await.json();
            seen.push((
                event["type"].as_str().expect("a type").to_owned(),
                event["pid"].as_u64(),
            ));
        }
        let expected = [("exit", 50), ("exec", 60), ("exit", 60)];
        assert_eq!(
            seen,
            expected.map(|(kind, pid)| (kind.to_owned(), Some(pid)))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn filters_apply_to_streams() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 1)).await;
    let mut stream = open(&server, "?type=exit&exit_code=7", None).await;
    server.send(&agent.life(50, exited(0))).await;
    server.send(&agent.life(51, exited(7))).await;
    assert_eq!(stream.next_data().await.json()["pid"], 51);
    assert_eq!(
        server.problem("/api/v1/events/stream?limit=5").await["status"],
        400
    );
    assert_eq!(
        server.problem("/api/v1/events/stream?x=5").await["status"],
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_one_agent_has_nothing_of_others() {
    let server = Server::start().await;
    let (mut one, mut other) = (FakeAgent::new("one"), FakeAgent::new("other"));
    server.send(&one.key(10, 1)).await;
    server.send(&other.key(10, 1)).await;
    let mut live = open(&server, "?agent_id=other&type=exit", None).await;
    let begin = live.next().await.expect("an id").id;
    server.send(&one.life(50, exited(0))).await;
    server.send(&other.life(51, exited(0))).await;
    let mut resumed = open(&server, "?agent_id=other&type=exit", Some(&begin)).await;
    for stream in [&mut live, &mut resumed] {
        let event = stream.next_data().await.json();
        assert_eq!(
            (&event["agent_id"], &event["pid"]),
            (&"other".into(), &51.into())
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_that_is_not_kept_resets() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 1)).await;
    let of_nowhere = "AQAAAGMAAAAAAAAAAQAAAAA";
    for last in ["nonsense", of_nowhere] {
        let mut stream = open(&server, "", Some(last)).await;
        assert_eq!(stream.next_data().await.event, "reset", "{last}");
        server.send(&agent.life(50, exited(0))).await;
        assert_eq!(stream.next_data().await.json()["type"], "exec");
    }
    server.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let server = Server::start().await;
    let mut stream = open(&server, "", None).await;
    stream.next().await.expect("an id");
    server.stop().await;
    assert_eq!(stream.next().await, None);
}
