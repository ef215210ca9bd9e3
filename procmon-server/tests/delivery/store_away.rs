//! While nothing can be stored nobody is told of anything new, and what was told is not told again. The real binary.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::binary::ServerProcess;
use crate::support::disk::SmallDisk;
use crate::support::http_client;
use crate::support::postgres::Cluster;
use crate::support::receiver::{Receiver, Reply, until};

/// Long enough to notice what should not happen.
const A_WHILE: Duration = Duration::from_millis(1500);

fn start(variables: &[(&str, &str)]) -> ServerProcess {
    let own = [
        ("PROCMON_WEBHOOK_ALLOW", "127.0.0.1"),
        ("PROCMON_EVAL_INTERVAL", "100ms"),
    ];
    let variables: Vec<_> = variables.iter().copied().chain(own).collect();
    ServerProcess::start_with(&variables, 0)
}

async fn post(server: &ServerProcess, path: &str, body: &Value) -> Value {
    let url = format!("http://{}/api/v1{path}", server.address);
    let answer = http_client().post(url).json(body).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(status.is_success(), "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn get(server: &ServerProcess, path: &str) -> Value {
    let url = format!("http://{}/api/v1{path}", server.address);
    let answer = http_client().get(url).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

async fn silence(server: &ServerProcess, id: Option<&Value>, duration: &str) -> Value {
    let matchers = json!([{"name": "name", "value": "quiet"}]);
    let silence = json!({"id": id, "matchers": matchers, "duration": duration});
    post(server, "/silences", &silence).await["id"].clone()
}

/// Two alerts: one is told, the other one is silenced. Returns the silence.
async fn prepare(server: &ServerProcess, receiver: &Receiver) -> Value {
    let rule =
        json!({"id": "r", "name": "R", "metric": "cpu_percent", "operator": ">", "threshold": 80});
    post(server, "/alert-rules", &rule).await;
    let silence = silence(server, None, "1h").await;
    let channel = json!({"name": "x", "kind": "webhook", "url": receiver.url()});
    post(server, "/channels", &channel).await;
    let samples: Vec<_> = [(1, "loud"), (2, "quiet")]
        .map(|(pid, name)| json!({"pid": pid, "name": name, "cpu_percent": 95.0}))
        .into();
    post(server, "/agents/a/processes", &json!({"samples": samples})).await;
    receiver.wait_for(1).await;
    until("both alerts", async || {
        get(server, "/alerts").await["total"] == 2
    })
    .await;
    silence
}

async fn nothing_is_told_meanwhile(
    server: &ServerProcess,
    receiver: &Receiver,
    leave: impl FnOnce(),
    come_back: impl FnOnce(),
) {
    // Its answer comes when the store is away.
    receiver.next([Reply::After(2000)]);
    let id = prepare(server, receiver).await;
    silence(server, Some(&id), "5s").await;
    leave();
    until("evaluations fail", async || {
        let before = get(server, "/alerts").await["evaluated_at"].clone();
        tokio::time::sleep(Duration::from_millis(700)).await;
        get(server, "/alerts").await["evaluated_at"] == before
    })
    .await;
    until("the end of the silence", async || {
        let list = get(server, "/alerts").await;
        let mut alerts = list["alerts"].as_array().expect("a list").iter();
        alerts.all(|alert| alert["silenced_by"] == json!([]))
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(receiver.requests().len(), 1, "nobody is told");
    come_back();
    let requests = receiver.wait_for(2).await;
    assert_eq!(requests[0].json()["data"]["labels"]["name"], "loud");
    assert_eq!(requests[1].json()["data"]["labels"]["name"], "quiet");
    let channels = get(server, "/channels").await;
    let channel = channels["channels"][0]["id"].as_str().expect("one");
    until("both are delivered, at one attempt each", async || {
        let list = get(server, &format!("/channels/{channel}/deliveries")).await;
        let mut list = list["deliveries"].as_array().expect("a list").iter();
        list.all(|one| one["state"] == "delivered" && one["attempts"] == 1)
    })
    .await;
}

/// What was stored afterwards is stored for good.
async fn all_is_there_after(
    server: ServerProcess,
    variables: &[(&str, &str)],
    receiver: &Receiver,
) {
    server.kill();
    let server = start(variables);
    until("an evaluation", async || {
        !get(&server, "/alerts").await["evaluated_at"].is_null()
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    let history = get(&server, "/alerts/history").await;
    assert_eq!(history["transitions"].as_array().map(Vec::len), Some(2));
    assert_eq!(get(&server, "/alerts").await["total"], 2);
    assert_eq!(receiver.requests().len(), 2, "nobody is told twice");
    // Before its disk is gone.
    server.kill();
}

#[tokio::test]
async fn a_full_disk() {
    let disk = SmallDisk::mount("12m");
    let folder = disk.path().join("data");
    let folder = folder.to_str().expect("a path in UTF-8");
    let variables = [("PROCMON_DATA_DIR", folder)];
    let server = start(&variables);
    let receiver = Receiver::start().await;
    let fill = || drop(disk.fill());
    let free = || std::fs::remove_file(disk.path().join("ballast")).expect("it is there");
    nothing_is_told_meanwhile(&server, &receiver, fill, free).await;
    all_is_there_after(server, &variables, &receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let cluster = Cluster::start_in(tempfile::tempdir().expect("a folder"));
    let dsn = cluster.database();
    let variables = [("PROCMON_DATA_DIR", data), ("PROCMON_DB_DSN", &dsn)];
    let server = start(&variables);
    let receiver = Receiver::start().await;
    nothing_is_told_meanwhile(&server, &receiver, || cluster.stop(), || cluster.start()).await;
    all_is_there_after(server, &variables, &receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_was_taken_tells_nobody_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let variables = [("PROCMON_DATA_DIR", data), ("PROCMON_DB_DSN", &dsn)];
    let first = start(&variables);
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Status(500));
    prepare(&first, &receiver).await;
    // What a second server does first, while this one is cut off from what says so. Nobody uploads anything here.
    let name = crate::support::postgres::name_of(&dsn);
    cluster.sql(name, "update store_state set run = run + 1");
    assert_eq!(first.wait(), Some(1));
    assert_eq!(receiver.requests().len(), 1);
    receiver.otherwise(Reply::Status(204));
    let second = start(&variables);
    let requests = receiver.wait_for(2).await;
    assert_eq!(requests[0].id(), requests[1].id());
    drop(second);
}
