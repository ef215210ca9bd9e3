//! `GET /live`.

use procmon_common::wire;
use serde_json::{Value, json};

use crate::support::sse::{Message, Reader};
use crate::support::{FakeAgent, Server, event, exited};

async fn next(stream: &mut Reader, wanted: &str) -> Value {
    loop {
        let message: Message = stream.next_data().await;
        if message.event == wanted {
            return message.json();
        }
    }
}

#[tokio::test]
async fn a_snapshot_and_then_what_changes() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    agent.boot = [0x0f; 16];
    server.send(&agent.key(10, 2)).await;
    let request = server.http.get(server.url("/api/v1/live?agent_id=a"));
    let mut stream = Reader::new(request.send().await.expect("an answer"));
    let snapshot = next(&mut stream, "snapshot").await;
    let columns = snapshot["columns"].as_object().expect("columns");
    assert_eq!(columns.len(), 33);
    for (name, values) in columns {
        assert_eq!(values.as_array().expect("a column").len(), 2, "{name}");
    }
    let mut batch = agent.life(
        50,
        wire::Exit {
            totals_final: false,
            ..exited(0)
        },
    );
    batch
        .events
        .push(event(agent.now_ns, 10, wire::event::Kind::Exit(exited(0))));
    server.send(&batch).await;
    let delta = next(&mut stream, "delta").await;
    assert_eq!(delta["columns"]["pid"], json!([50]));
    assert_eq!(delta["columns"]["name"], json!(["true"]));
    assert_eq!(delta["removed"]["process_id"], json!(["10-1010-0f0f0f0f"]));
    assert_eq!(delta["removed"]["agent_id"], json!(["a"]));
    // Silence makes every row stale, and the agent too.
    server.clock.advance_ms(15_001);
    let delta = next(&mut stream, "delta").await;
    assert_eq!(delta["columns"]["stale"], json!([true, true]));
    server.stop().await;
}

#[tokio::test]
async fn agents_come_with_the_first_message_and_when_one_changes() {
    let server = Server::start().await;
    let request = server.http.get(server.url("/api/v1/live"));
    let mut stream = Reader::new(request.send().await.expect("an answer"));
    assert_eq!(next(&mut stream, "agents").await, json!({ "agents": [] }));
    server.send(&FakeAgent::new("a").key(10, 2)).await;
    assert_eq!(
        next(&mut stream, "agents").await["agents"][0]["status"],
        "live"
    );
    server.clock.advance_ms(15_001);
    assert_eq!(
        next(&mut stream, "agents").await["agents"][0]["status"],
        "stale"
    );
    server.stop().await;
}
