//! `GET /processes/{pid}/history`.

use procmon_common::columns::Column;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::sampled::SampledHost;

#[tokio::test]
async fn raw_points_are_as_sampled() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.agent.boot = [0x0f; 16];
    let handle = host.start(7);
    host.set(handle, Column::CpuCentipercent, 1_250);
    host.sample(&server).await;
    host.set(handle, Column::ReadBytes, 1_000);
    host.set(handle, Column::Status, u64::from(b'R'));
    host.samples(&server, 1).await;
    insta::assert_json_snapshot!(server.json("/api/v1/processes/7/history?minutes=1").await);
    server.stop().await;
}

#[tokio::test]
async fn minutes_say_how_far_back() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.start(7);
    host.sample(&server).await;
    host.samples(&server, 24).await;
    let count = async |minutes: u32| {
        let path = format!("/api/v1/processes/7/history?agent_id=a&minutes={minutes}");
        let body = server.json(&path).await;
        body["points"].as_array().expect("a list").len()
    };
    assert_eq!(count(1).await, 13);
    assert_eq!(count(10).await, 25);
    let body = server.json("/api/v1/processes/7/history?minutes=10").await;
    let reasons: Vec<&Value> = body["gaps"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|gap| &gap["reason"])
        .collect();
    assert_eq!(reasons, [&json!("not_started")]);
    server.stop().await;
}

#[tokio::test]
async fn handles_that_are_given_anew_between_samples_make_no_point() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handle = host.start(7);
    host.sample(&server).await;
    host.samples(&server, 3).await;
    host.wait(&server, 2_000);
    host.set(handle, Column::CpuCentipercent, 700);
    host.give_handles_anew(&server).await;
    host.wait(&server, 3_000);
    host.sample(&server).await;
    host.samples(&server, 1).await;
    let body = server
        .json("/api/v1/processes/7/history?agent_id=a&minutes=1")
        .await;
    let values: Vec<_> = body["points"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|point| point["cpu_percent"].as_f64())
        .collect();
    let (before, after) = (Some(0.0), Some(7.0));
    assert_eq!(values, [before, before, before, before, after, after]);
    server.stop().await;
}
