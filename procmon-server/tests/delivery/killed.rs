//! The real binary, killed where it hurts.

use std::time::Duration;

use serde_json::json;

use crate::support::binary::ServerProcess;
use crate::support::http_client;
use crate::support::receiver::{Receiver, Reply, until};

fn start(folder: &std::path::Path) -> ServerProcess {
    let folder = folder.to_str().expect("a path in UTF-8");
    let variables = [
        ("PROCMON_DATA_DIR", folder),
        ("PROCMON_WEBHOOK_ALLOW", "127.0.0.1"),
    ];
    ServerProcess::start_with(&variables, 0)
}

async fn post(server: &ServerProcess, path: &str, body: &serde_json::Value) {
    let url = format!("http://{}/api/v1{path}", server.address);
    let answer = http_client()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.expect("a body")
    );
}

/// A process that was not there before, which is an event.
async fn appear(server: &ServerProcess, pids: &[u32]) {
    let samples: Vec<_> = pids
        .iter()
        .map(|pid| json!({"pid": pid, "name": "demo"}))
        .collect();
    post(server, "/agents/a/processes", &json!({"samples": samples})).await;
}

async fn subscribe(server: &ServerProcess, receiver: &Receiver) {
    let body =
        json!({"name": "x", "kind": "webhook", "url": receiver.url(), "filter": "type == 'exec'"});
    post(server, "/channels", &body).await;
}

#[tokio::test]
async fn killed_between_sending_and_marking_it_sends_again_with_the_same_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.next([Reply::Silence]);
    let server = start(folder.path());
    subscribe(&server, &receiver).await;
    appear(&server, &[1]).await;
    appear(&server, &[1, 2]).await;
    receiver.wait_for(1).await;
    server.kill();
    let server = start(folder.path());
    let requests = receiver.wait_for(2).await;
    assert_eq!(requests[0].id(), requests[1].id());
    assert_eq!(requests[0].body, requests[1].body);
    drop(server);
}

#[tokio::test]
async fn killed_before_it_sends_it_sends_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Status(500));
    let server = start(folder.path());
    subscribe(&server, &receiver).await;
    appear(&server, &[1]).await;
    appear(&server, &[1, 2]).await;
    let first = receiver.wait_for(1).await.remove(0);
    // What happens now is behind the failed one, and not sent before that.
    appear(&server, &[1, 2, 3]).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.kill();
    receiver.otherwise(Reply::Status(200));
    let server = start(folder.path());
    until("both", async || {
        let last = receiver.requests().pop().expect("one");
        last.json()["data"]["events"][0]["pid"] == 3
    })
    .await;
    let ids = receiver.ids();
    assert_eq!(ids[ids.len() - 2], first.id(), "the failed one first");
    drop(server);
}
