use serde_json::{Value, json};

use crate::support::{FakeAgent, Server};

/// Pids with those of their children below.
fn shape(nodes: &Value) -> Value {
    let nodes = nodes.as_array().expect("a list").iter();
    nodes
        .map(|node| json!([node["pid"], shape(&node["children"])]))
        .collect()
}

#[tokio::test]
async fn children_are_below_their_parents_by_pid() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("a").key(10, 5)).await;
    let tree = server.json("/api/v1/processes/tree").await;
    assert_eq!(tree["agent_id"], "a");
    assert_eq!(
        shape(&tree["roots"]),
        json!([[10, [[11, []], [12, []], [13, []], [14, []]]]])
    );
    let tree = server
        .json("/api/v1/processes/tree?agent_id=a&include_zombies=0")
        .await;
    assert_eq!(
        shape(&tree["roots"]),
        json!([[10, [[11, []], [12, []], [13, []]]]])
    );
    server.stop().await;
}

#[tokio::test]
async fn circles_and_endless_chains_lose_nobody() {
    let server = Server::start().await;
    let sample = |pid: u32, ppid: u32| json!({ "pid": pid, "ppid": ppid, "name": "x" });
    let mut samples = vec![sample(1, 3), sample(2, 1), sample(3, 2), sample(4, 4)];
    samples.extend((100..1100).map(|pid| sample(pid, pid - 1)));
    let answer = server.upload("a", &json!({ "samples": samples })).await;
    assert_eq!(answer.status(), 202);
    let text = server
        .get("/api/v1/processes/tree")
        .await
        .text()
        .await
        .expect("a body");
    assert_eq!(text.matches("\"pid\":").count(), 1004);
    // Python's and others' limits are near 1000; ours is far below.
    assert!(!text.contains(&"]}".repeat(200)));
    server.stop().await;
}

#[tokio::test]
async fn which_host_must_be_clear() {
    let server = Server::start().await;
    assert_eq!(
        server.problem("/api/v1/processes/tree").await["status"],
        404
    );
    server.send(&FakeAgent::new("a").key(10, 1)).await;
    server.send(&FakeAgent::new("b").key(10, 1)).await;
    assert_eq!(
        server.problem("/api/v1/processes/tree").await["status"],
        400
    );
    assert_eq!(
        server.problem("/api/v1/processes/tree?agent_id=c").await["status"],
        404
    );
    assert_eq!(
        server
            .problem("/api/v1/processes/tree?include_zombies=2")
            .await["status"],
        400
    );
    server.stop().await;
}
