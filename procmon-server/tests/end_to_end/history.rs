//! The past of real processes: a whole life, and its figures over time.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{self, binary::ServerProcess};
use super::{AgentProcess, PATIENCE, until_live};

async fn get(address: &str, path: &str) -> Option<Value> {
    let url = format!("http://{address}/api/v1/{path}");
    let response = support::http_client().get(url).send().await;
    let response = response.expect("an answer");
    if !response.status().is_success() {
        return None;
    }
    Some(response.json().await.expect("JSON"))
}

/// Asks again until the answer is as wanted.
async fn until(address: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let answer = get(address, path).await;
        if let Some(answer) = answer.as_ref().filter(|answer| wanted(answer)) {
            return answer.clone();
        }
        assert!(started.elapsed() < PATIENCE, "{path}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_tells_its_whole_life() {
    let (data, spool) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let server = ServerProcess::start(data.path(), 0);
    let _agent = AgentProcess::start("past", &server.address, spool.path());
    until_live(&server.address, "past").await;
    // A shell that runs something, and then something else.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "sleep 3; exec sleep 300"])
        .spawn()
        .expect("/bin/sh");
    let pid = child.id();
    let list = until(
        &server.address,
        &format!("processes?agent_id=past&pid={pid}&name=sleep"),
        |list| count(&list["processes"]) == 1,
    )
    .await;
    let id = list["processes"][0]["process_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let by_id = format!("processes/by-id/{id}?agent_id=past");
    let running = until(&server.address, &by_id, |life| {
        count(&life["last_samples"]) >= 5
    })
    .await;
    assert_eq!(running["state"], "running", "{running}");
    let killed = Command::new("kill").arg(pid.to_string()).status();
    assert!(killed.expect("kill").success());
    child.wait().expect("it ends");

    let life = until(&server.address, &by_id, |life| life["state"] == "ended").await;
    assert_eq!(life["cause"], "killed", "{life}");
    assert_eq!(life["exit"]["signal"], 15, "{life}");
    assert_eq!(life["exit"]["killed_by"]["name"], "kill", "{life}");
    let images: Vec<_> = life["images"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| image["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(images, ["sh", "sleep"], "{life}");
    assert_eq!(life["ancestors"][0]["pid"], std::process::id(), "{life}");
    assert!(count(&life["events"]) >= 3, "{life}");

    // Its figures end where it does.
    let path = format!(
        "processes/{id}/series?agent_id=past&step=1s&metric=memory_rss,cpu_percent&stats=count"
    );
    let series = until(&server.address, &path, |series| {
        let gaps = series["gaps"].as_array().expect("a list");
        gaps.last().is_some_and(|gap| gap["reason"] == "exited")
    })
    .await;
    assert_eq!(series["gaps"][0]["reason"], "not_started", "{series}");
    let points = series["points"].as_array().expect("a list");
    assert!(points.len() >= 4, "{series}");
    for point in points {
        assert!(point["memory_rss"].as_f64() > Some(0.0), "{point}");
    }
    let raw = until(
        &server.address,
        &format!("processes/{pid}/history?agent_id=past&minutes=5"),
        |_| true,
    )
    .await;
    assert!(count(&raw["points"]) >= points.len(), "{raw}");

    // And the table of then still has it.
    let last_seen = life["last_seen"].as_str().expect("a time");
    let path = format!("processes?agent_id=past&pid={pid}&at={last_seen}");
    let then = until(&server.address, &path, |list| {
        count(&list["processes"]) == 1
    })
    .await;
    assert_eq!(then["processes"][0]["process_id"], id.as_str());
}
