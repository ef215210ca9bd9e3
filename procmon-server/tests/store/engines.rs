//! What an operator may get wrong, and one server at a time.

use procmon_common::config::Secret;
use procmon_server::clock::Clock;
use procmon_server::store::{Place, Store};

use crate::fixture::{Fixture, START_MS, append};
use crate::postgres::{Cluster, name_of};

async fn refusal(place: Place) -> String {
    match Store::open(place, Clock::System).await {
        Ok(_) => panic!("it opened"),
        Err(error) => format!("{error:#}"),
    }
}

pub(crate) async fn one_server_at_a_time(fixture: Fixture) {
    let first = fixture.open().await;
    let refused = refusal(fixture.place()).await;
    assert!(
        refused.contains("in use by another procmon-server"),
        "{refused}"
    );
    first.append(append(1, START_MS)).await.expect("it stores");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_says_what_to_do() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let name = name_of(&dsn);
    cluster.sql(name, "create role guest login");
    let refused = async |dsn: String| refusal(Place::Database(Secret::new(dsn))).await;
    let address = format!("127.0.0.1:{}", cluster.port);
    for (dsn, wanted) in [
        ("host=db user=me".to_owned(), "must begin with postgres://"),
        (format!("postgres://procmon@{address}/nowhere"), "createdb"),
        (format!("postgres://guest@{address}/{name}"), "owner"),
        (
            "postgres://me:secret@127.0.0.1:1/procmon".to_owned(),
            "is it running",
        ),
        (
            format!("{dsn}?options=-c%20search_path%3Dnone"),
            "search_path",
        ),
    ] {
        let message = refused(dsn.clone()).await;
        assert!(message.contains(wanted), "{dsn}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

/// A log that nobody cuts is as long as everything that was ever added to its slice, several times over.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_begins_anew_although_it_is_written_all_the_time() {
    const BODY: usize = 64 << 10;
    const BATCHES: u64 = 1_600;
    let fixture = Fixture::sqlite();
    let store = fixture.open().await;
    let appends = store.clone();
    let writing = tokio::spawn(async move {
        for seq in 1..=BATCHES {
            let mut append = append(seq, START_MS);
            append.body = vec![0; BODY];
            appends.append(append).await.expect("it stores");
        }
    });
    while !writing.is_finished() {
        store.checkpoint().await.expect("it makes a checkpoint");
    }
    writing.await.expect("everything is stored");
    let Fixture::Sqlite(folder) = &fixture else {
        unreachable!("it is SQLite")
    };
    let files = std::fs::read_dir(folder.path().join("slices")).expect("a folder");
    let logs = files
        .map(|file| file.expect("a file"))
        .filter(|file| file.file_name().to_string_lossy().ends_with("-wal"));
    let bytes: u64 = logs
        .map(|log| log.metadata().expect("it is there").len())
        .sum();
    assert!(bytes > 0, "there is a log");
    let written = BATCHES * BODY as u64;
    assert!(bytes < written / 3, "{bytes} bytes of {written}");
}
