//! A database that goes away under load: agents are told to come back, the server recovers by itself, and nothing that was
//! acknowledged is lost or there twice.

use std::sync::atomic::Ordering;

use crate::load::{Load, wait_until};
use crate::support::binary::ServerProcess;
use crate::support::postgres::{Cluster, name_of};

async fn ready(server: &ServerProcess) -> (u16, String) {
    let url = format!("http://{}/readyz", server.address);
    let response = crate::support::http_client().get(url).send().await;
    let response = response.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a body"))
}

/// Waits for refusals, and that the server says why.
async fn refused(load: &Load, server: &ServerProcess) {
    let before = load.seen.unavailable.load(Ordering::Relaxed);
    wait_until("refusals", || {
        load.seen.unavailable.load(Ordering::Relaxed) > before + 10
    })
    .await;
    let (status, text) = ready(server).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("database"), "{text}");
    assert!(!text.contains("postgres://"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_and_started_again() {
    let cluster = Cluster::start_in(tempfile::tempdir().expect("a folder"));
    let dsn = cluster.database();
    let server = ServerProcess::start_with(&[("PROCMON_DB_DSN", &dsn)], 0);
    let load = Load::start(server.port());
    for _ in 0..3 {
        load.progress(100).await;
        cluster.stop();
        refused(&load, &server).await;
        cluster.start();
        load.progress(100).await;
        assert_eq!(ready(&server).await.0, 200);
    }
    let lives = load.finish(&server.address).await;
    println!("{lives:?} lives through three stops of the database");
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_in_the_middle() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let name = name_of(&dsn);
    let server = ServerProcess::start_with(&[("PROCMON_DB_DSN", &dsn)], 0);
    let load = Load::start(server.port());
    for _ in 0..20 {
        load.progress(20).await;
        cluster.sql(
            "postgres",
            &format!(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{name}'"
            ),
        );
    }
    load.progress(50).await;
    let lives = load.finish(&server.address).await;
    println!("{lives:?} lives through twenty cuts");
    let stored = cluster.sql(
        name,
        "select count(*) - count(distinct (agent_id, epoch, seq)) from batch",
    );
    assert_eq!(stored, "0", "batches that are there twice");
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer() {
    let cluster = Cluster::start_in(tempfile::tempdir().expect("a folder"));
    let dsn = cluster.database();
    let server = ServerProcess::start_with(&[("PROCMON_DB_DSN", &dsn)], 0);
    let load = Load::start(server.port());
    load.progress(100).await;
    cluster.freeze(true);
    refused(&load, &server).await;
    cluster.freeze(false);
    load.progress(100).await;
    load.finish(&server.address).await;
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_was_taken_stops() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let variables = [("PROCMON_DB_DSN", &*dsn)];
    let first = ServerProcess::start_with(&variables, 0);
    let port = first.port();
    let load = Load::start(port);
    load.progress(100).await;
    // What a second server does when the connection that holds the lock is cut, and it comes first.
    let name = name_of(&dsn);
    cluster.sql(
        name,
        "update store_state set run = run + 1; \
         select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    );
    assert_eq!(first.wait(), Some(1));
    let second = ServerProcess::start_with(&variables, port);
    load.progress(100).await;
    load.finish(&second.address).await;
    assert_eq!(second.terminate().0, Some(0));
}
