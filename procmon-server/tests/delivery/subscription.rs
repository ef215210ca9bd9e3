//! Subscriptions to events, through the API and the log.

use procmon_common::wire;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::receiver::{Receiver, Reply, until};
use crate::support::{FakeAgent, Server, exited};

async fn create(server: &Server, body: &Value) -> Value {
    let request = server.http.post(server.url("/api/v1/channels")).json(body);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::CREATED);
    response.json().await.expect("JSON")
}

/// The events of all messages from a host, in order.
fn events(receiver: &Receiver, agent_id: &str) -> Vec<(String, Value)> {
    let requests = receiver.requests().into_iter();
    let bodies = requests.map(|request| request.json());
    let bodies = bodies.filter(|body| body["data"]["agent_id"] == agent_id);
    bodies
        .flat_map(|body| {
            let kind = body["type"].as_str().expect("a type").to_owned();
            let events = body["data"]["events"].as_array().expect("a list").clone();
            events.into_iter().map(move |event| (kind.clone(), event))
        })
        .collect()
}

#[tokio::test]
async fn events_are_told_in_the_order_of_each_host() {
    let server = Server::start().await;
    let (all, exits) = (Receiver::start().await, Receiver::start().await);
    let channel = |name, receiver: &Receiver, filter| json!({"name": name, "kind": "webhook", "url": receiver.url(), "filter": filter});
    create(&server, &channel("all", &all, "type in ['exec', 'exit']")).await;
    create(
        &server,
        &channel("exits", &exits, "type == 'exit' && exit_code == 7"),
    )
    .await;
    let mut agents = ["a", "b"].map(FakeAgent::new);
    for number in 0..20 {
        for agent in &mut agents {
            let code = if number == 3 { 7 } else { 0 };
            server.send(&agent.life(100 + number, exited(code))).await;
        }
    }
    until("all events", async || {
        events(&all, "a").len() == 40
            && events(&all, "b").len() == 40
            && events(&exits, "a").len() == 1
    })
    .await;
    for agent_id in ["a", "b"] {
        let pids = events(&all, agent_id)
            .into_iter()
            .map(|(_, event)| event["pid"].clone());
        let expected = (100..120).flat_map(|pid| [json!(pid), json!(pid)]);
        assert!(pids.eq(expected), "in order, each once");
    }
    let (kind, event) = events(&exits, "a").remove(0);
    assert_eq!(
        (&*kind, &event["pid"], &event["exit_code"]),
        ("process.exit", &json!(103), &json!(7))
    );
    assert!(all.requests().len() <= 40, "several in one message");
    server.stop().await;
}

#[tokio::test]
async fn what_happens_while_the_receiver_is_away_is_told_later() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.next([Reply::Status(503), Reply::Status(503)]);
    let body = json!({"name": "x", "kind": "webhook", "url": receiver.url(), "filter": "true"});
    let channel = create(&server, &body).await;
    let mut agent = FakeAgent::new("a");
    let mut batch = agent.life(100, exited(0));
    batch.events.push(wire::Event {
        ts_unix_ns: agent.now_ns,
        ..batch.events[0].clone()
    });
    server.send(&batch).await;
    receiver.wait_for(1).await;
    server.send(&agent.life(101, exited(0))).await;
    server.clock.advance_ms(61_000);
    // The second message of the host has the first one tried again, and waits for it.
    receiver.wait_for(2).await;
    server.clock.advance_ms(400_000);
    until("both", async || {
        let requests = receiver.requests();
        requests
            .last()
            .is_some_and(|last| last.json()["data"]["events"][0]["pid"] == 101)
    })
    .await;
    let path = format!(
        "/api/v1/channels/{}/deliveries",
        channel["id"].as_str().expect("an id")
    );
    until("both are marked", async || {
        let list = server.json(&path).await;
        let list = list["deliveries"].as_array().expect("a list").clone();
        list.iter().all(|delivery| delivery["state"] == "delivered") && list.len() == 2
    })
    .await;
    server.stop().await;
}
