//! The server killed at random points under load, on both engines.

use std::time::Duration;

use crate::load::Load;
use crate::support::binary::ServerProcess;
use crate::support::postgres::Cluster;

const KILLS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_there_once_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path in UTF-8");
    survive_kills(&[("PROCMON_DATA_DIR", path)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_there_once_after_kill_9_on_postgres() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    survive_kills(&[("PROCMON_DB_DSN", &dsn)]).await;
}

async fn survive_kills(variables: &[(&str, &str)]) {
    let mut server = ServerProcess::start_with(variables, 0);
    let port = server.port();
    let load = Load::start(port);
    for kill in 0..KILLS {
        load.progress(50).await;
        // Not always at the same point of a commit.
        tokio::time::sleep(Duration::from_millis(300 + 37 * kill)).await;
        server.kill();
        server = ServerProcess::start_with(variables, port);
    }
    load.progress(50).await;
    let lives = load.finish(&server.address).await;
    println!("{lives:?} lives, each with its exec and its exit, through {KILLS} kills");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
