//! Shipping against a server that answers in every way it can, or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use procmon_agent::ship::{Link, ShipState, ShipTarget};
use procmon_agent::spool::{self, SpoolOptions};
use procmon_common::config::Secret;
use tokio::io::AsyncReadExt;

#[path = "ship/agent.rs"]
mod agent;
#[path = "ship/dictionary.rs"]
mod dictionary;
#[path = "ship/server.rs"]
mod server;
use agent::{AGENT, Agent, EPOCH, append, open, until};
use server::{Reply, Server};

fn url(address: std::net::SocketAddr) -> String {
    format!("http://{address}")
}

/// Ships three batches against a server with these first answers.
async fn three_batches(replies: &[Reply]) -> (Server, Arc<ShipState>, Vec<(&'static str, u64)>) {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::answering(replies);
    let mut agent = Agent::start(folder.path(), url(server.start(0).await));
    agent.append(1..=3);
    agent.settled().await;
    let state = Arc::clone(&agent.state);
    let dropped = agent.writer.stats().dropped();
    agent.stop().await;
    (server, state, dropped)
}

#[tokio::test]
async fn stored_batches_are_acknowledged_in_order() {
    let (server, state, dropped) = three_batches(&[]).await;
    assert_eq!(server.stored(), [1, 2, 3]);
    assert_eq!(server.script().requests, 3);
    assert_eq!(state.shipped_batches(), 3);
    assert!(state.shipped_bytes() > 0);
    assert_eq!((state.retries(), state.quarantined()), (0, 0));
    assert_eq!(state.link(), Link::Connected);
    assert!(state.latency().is_some());
    let offset = state.clock_offset_ms().expect("known");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as i64;
    assert!(
        (5_000_000_000_000 - now - offset).abs() < 60_000,
        "{offset}"
    );
    assert!(!state.resync().load(Ordering::Relaxed));
    assert_eq!(dropped, []);
}

#[tokio::test]
async fn a_server_that_claims_batches_of_the_future_gets_them_all_the_same() {
    let (server, _, dropped) = three_batches(&[Reply::Ahead]).await;
    assert_eq!(server.stored(), [1, 2, 3]);
    assert_eq!(dropped, []);
}

#[tokio::test]
async fn a_resync_is_passed_on_once_until_a_key_batch_is_sent() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::answering(&[
        Reply::Status(503),
        Reply::Resync,
        Reply::Resync,
        Reply::Resync,
    ]);
    let mut agent = Agent::start(folder.path(), url(server.start(0).await));
    agent.append(1..=2);
    agent.settled().await;
    assert!(agent.state.resync().swap(false, Ordering::Relaxed));
    agent.append(3..=3);
    agent.settled().await;
    assert!(
        !agent.state.resync().load(Ordering::Relaxed),
        "the key batch is on its way"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_refused_batch_goes_to_quarantine_and_the_rest_goes_on() {
    for code in [400, 413, 422] {
        let (server, state, dropped) = three_batches(&[Reply::Problem(code, "bad")]).await;
        assert_eq!(server.stored(), [2, 3], "{code}");
        assert_eq!(state.quarantined(), 1);
        assert_eq!(dropped, [("refused", 1)]);
        assert!(
            state.resync().load(Ordering::Relaxed),
            "the deltas lost their base"
        );
    }
}

#[tokio::test]
async fn the_batch_is_held_until_an_operator_acts() {
    for (reply, expected) in [
        (
            Reply::Problem(401, "who are you?"),
            "401 Unauthorized: who are you?. Give the agent a valid token",
        ),
        (
            Reply::Problem(403, "not yours"),
            "403 Forbidden: not yours. Use a token that",
        ),
        (
            Reply::Problem(409, "another machine uses this agent_id"),
            "409 Conflict: another machine uses this agent_id. Give each machine",
        ),
        (Reply::Status(404), "404 Not Found. Check server_url"),
        (
            Reply::Text("<html>welcome</html>"),
            "what answers there is not a procmon server. Check server_url",
        ),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let server = Server::answering(&[reply.clone(), reply]);
        let mut agent = Agent::start(folder.path(), url(server.start(0).await));
        agent.append(1..=3);
        until(|| agent.state.held_reason().is_some()).await;
        let reason = agent.state.held_reason().expect("held");
        assert!(reason.starts_with(expected), "{reason}");
        agent.settled().await;
        assert_eq!(agent.state.held_reason(), None);
        assert_eq!(server.stored(), [1, 2, 3]);
        assert_eq!(agent.state.retries(), 2);
        agent.stop().await;
    }
}

#[tokio::test]
async fn trouble_of_the_server_is_waited_out() {
    let trouble = [
        Reply::Status(500),
        Reply::Status(502),
        Reply::Status(503),
        Reply::Status(408),
        Reply::Status(429),
    ];
    let (server, state, dropped) = three_batches(&trouble).await;
    assert_eq!(server.stored(), [1, 2, 3]);
    assert_eq!(state.retries(), 5);
    assert_eq!(dropped, []);
}

#[tokio::test]
async fn a_server_names_the_time_to_come_back() {
    let began = Instant::now();
    let (server, ..) = three_batches(&[Reply::RetryAfter(429, "1")]).await;
    assert_eq!(server.stored(), [1, 2, 3]);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_happens_while_the_server_is_away_arrives_in_order_exactly_once() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::default();
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = reserved.local_addr().expect("has an address");
    drop(reserved);
    let mut agent = Agent::start(folder.path(), url(address));
    for seq in 1..=500 {
        agent.append(seq..=seq);
    }
    until(|| matches!(agent.state.link(), Link::Unreachable(_))).await;
    let reason = Link::Unreachable("connection refused, nothing listens there".to_owned());
    assert_eq!(agent.state.link(), reason);
    server.start(address.port()).await;
    for seq in 501..=600 {
        agent.append(seq..=seq);
    }
    agent.settled().await;
    assert_eq!(server.stored(), (1..=600).collect::<Vec<_>>());
    assert_eq!(agent.state.link(), Link::Connected);
    agent.stop().await;
}

/// As much as an agent says in an hour, with an event twice a second: more than one segment, and nothing of it in memory.
#[tokio::test]
async fn an_hour_without_a_server_is_made_up_for() {
    const BATCHES: u64 = 7200;
    let folder = tempfile::tempdir().expect("folder");
    let small = SpoolOptions {
        segment_bytes: 64 << 10,
        cache_bytes: 32 << 10,
        ..SpoolOptions::new(16 << 20)
    };
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = reserved.local_addr().expect("has an address");
    drop(reserved);
    let spool = spool::open(folder.path(), small).expect("opens");
    let mut agent = Agent::with(spool, url(address), None);
    agent.append(1..=BATCHES / 2);
    until(|| matches!(agent.state.link(), Link::Unreachable(_))).await;
    agent.append(BATCHES / 2 + 1..=BATCHES);
    assert_eq!(agent.writer.pending(), BATCHES);
    assert!(agent.state.retries() > 0);
    // In the middle of it the agent is restarted.
    agent.stop().await;
    let spool = spool::open(folder.path(), small).expect("opens");
    let agent = Agent::with(spool, url(address), None);
    let server = Server::default();
    server.start(address.port()).await;
    agent.settled().await;
    assert_eq!(server.stored(), (1..=BATCHES).collect::<Vec<_>>());
    assert_eq!(agent.writer.stats().dropped(), []);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_request_gets_the_batch_again() {
    let folder = tempfile::tempdir().expect("folder");
    let dying = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = dying.local_addr().expect("has an address");
    let mut agent = Agent::start(folder.path(), url(address));
    agent.append(1..=20);
    for read_bytes in [1, 40, 200] {
        let (mut stream, _) = dying.accept().await.expect("accepts");
        let mut begun = vec![0; read_bytes];
        stream.read_exact(&mut begun).await.expect("a request");
    }
    drop(dying);
    let server = Server::default();
    server.start(address.port()).await;
    agent.settled().await;
    assert_eq!(server.stored(), (1..=20).collect::<Vec<_>>());
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_sends_only_what_was_not_acknowledged_under_its_own_epoch() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::default();
    let address = server.start(0).await;
    let mut agent = Agent::start(folder.path(), url(address));
    agent.append(1..=10);
    agent.settled().await;
    let Agent { writer, task, .. } = agent;
    // As with kill -9: nothing is flushed.
    task.abort();
    let _ = task.await;
    drop(writer);
    let (mut writer, reader) = open(folder.path());
    for seq in 1..=5 {
        append(&mut writer, AGENT, EPOCH + 1, seq);
    }
    drop((writer, reader));

    let mut agent = Agent::start(folder.path(), url(address));
    append(&mut agent.writer, AGENT, EPOCH + 2, 1);
    agent.settled().await;
    agent.stop().await;
    let mut expected: Vec<_> = (1..=10).map(|seq| (EPOCH, seq)).collect();
    expected.extend((1..=5).map(|seq| (EPOCH + 1, seq)));
    expected.push((EPOCH + 2, 1));
    let script = server.script();
    let stored: Vec<_> = script.stored.iter().map(|(_, e, s)| (*e, *s)).collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn what_an_earlier_run_left_is_sent_under_its_own_name() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, reader) = open(folder.path());
    append(&mut writer, "old-name", EPOCH, 1);
    append(&mut writer, "old-name", EPOCH, 2);
    drop((writer, reader));
    let server = Server::answering(&[Reply::Problem(403, "not yours")]);
    let mut agent = Agent::start(folder.path(), url(server.start(0).await));
    append(&mut agent.writer, AGENT, EPOCH + 1, 1);
    agent.settled().await;
    assert_eq!(
        server.script().stored,
        [
            ("old-name".to_owned(), EPOCH, 2),
            (AGENT.to_owned(), EPOCH + 1, 1)
        ],
        "a name that is refused does not stop the new one"
    );
    agent.stop().await;
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::default();
    let address = server.start(0).await;
    let token = Some(Secret::new("hunter2"));
    let target = ShipTarget::new(url(address), AGENT.to_owned(), token.clone());
    assert!(!format!("{target:?}").contains("hunter2"));
    let mut agent = Agent::with(open(folder.path()), url(address), token);
    agent.append(1..=1);
    agent.settled().await;
    assert_eq!(
        server.script().authorization.as_deref(),
        Some("Bearer hunter2")
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_shutdown_delivers_what_is_left_and_does_not_wait_for_a_dead_server() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::default();
    let mut agent = Agent::start(folder.path(), url(server.start(0).await));
    agent.append(1..=200);
    agent.stop().await;
    assert_eq!(server.stored(), (1..=200).collect::<Vec<_>>());

    let folder = tempfile::tempdir().expect("folder");
    let mut agent = Agent::start(folder.path(), "http://127.0.0.1:1".to_owned());
    agent.append(1..=3);
    let began = Instant::now();
    agent.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let (writer, _reader) = open(folder.path());
    assert_eq!(writer.pending(), 3, "they stay for the next start");
}
