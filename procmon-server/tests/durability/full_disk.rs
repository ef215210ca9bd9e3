//! Needs root, to mount a small file system.

use std::path::Path;

use reqwest::StatusCode;

use crate::support::binary::{ServerProcess, all_events};
use crate::support::disk::SmallDisk;
use crate::support::postgres::{Cluster, name_of};
use crate::support::{FakeAgent, exited, problem};
use procmon_common::wire::{self, Batch};

async fn post(address: &str, batch: &Batch) -> reqwest::Response {
    crate::support::http_client()
        .post(format!(
            "http://{address}/api/v1/agents/{}/batches",
            batch.agent_id
        ))
        .header("content-type", wire::CONTENT_TYPE)
        .header("content-encoding", wire::CONTENT_ENCODING)
        .body(wire::encode(batch).expect("compresses"))
        .send()
        .await
        .expect("an answer")
}

/// A life whose arguments do not compress.
fn bulky(agent: &mut FakeAgent, pid: u32) -> Batch {
    let mut batch = agent.life(pid, exited(0));
    let mut state = u64::from(pid);
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8 | 1
    })
    .take(60_000)
    .collect();
    if let Some(wire::event::Kind::Exec(exec)) = &mut batch.events[0].kind {
        let image = exec.image.as_mut().expect("an image");
        image.args_bytes = noise.len() as u64;
        image.args = noise.into();
    }
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers() {
    let disk = SmallDisk::mount("6m");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 3 << 20]).expect("there is room");
    let server = ServerProcess::start(&disk.path().join("data"), 0);
    refuses_and_recovers(server, &ballast).await;
}

/// The disk of the data, not the one of PostgreSQL's own log: that one would stop the whole database.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_database_refuses_and_recovers() {
    let cluster = Cluster::shared();
    let disk = SmallDisk::mount("24m");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4 << 20]).expect("there is room");
    let dsn = cluster.database_in(disk.path());
    let server = ServerProcess::start_with(&[("PROCMON_DB_DSN", &dsn)], 0);
    refuses_and_recovers(server, &ballast).await;
    cluster.sql(
        "postgres",
        &format!("drop database {} with (force)", name_of(&dsn)),
    );
}

async fn refuses_and_recovers(server: ServerProcess, ballast: &Path) {
    let address = server.address.clone();
    let mut agent = FakeAgent::new("a");
    assert_eq!(
        post(&address, &agent.key(10, 2)).await.status(),
        StatusCode::OK
    );
    let mut lives = 0_u32;
    let refused = loop {
        let batch = bulky(&mut agent, 1000 + lives);
        let response = post(&address, &batch).await;
        if response.status() != StatusCode::OK {
            assert_eq!(response.headers()["retry-after"], "2");
            let body = problem(response).await;
            assert_eq!(body["status"], 503, "{body}");
            let detail = body["detail"].as_str().expect("text");
            assert!(detail.contains("full"), "{body}");
            break batch;
        }
        lives += 1;
        assert!(lives < 1000, "the disk never filled");
    };
    let ready = crate::support::http_client()
        .get(format!("http://{address}/readyz"))
        .send()
        .await
        .expect("an answer");
    println!("refused after {lives} lives; ready: {}", ready.status());
    // What was there can be read while the disk is full.
    assert_eq!(all_events(&address, "").await.len(), lives as usize * 2);
    std::fs::remove_file(ballast).expect("it is there");
    assert_eq!(post(&address, &refused).await.status(), StatusCode::OK);
    let ready = crate::support::http_client()
        .get(format!("http://{address}/readyz"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(ready.status(), StatusCode::OK);
    let events = all_events(&address, "type=exit").await;
    assert_eq!(events.len(), lives as usize + 1);
    server.kill();
}
