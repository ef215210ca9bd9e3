//! What earlier versions wrote opens, and keeps its data. `data/version-1` is a folder that a server before segments wrote and
//! closed: slices of an hour, one agent of either way in, 21 and 3 batches, 48 events.

use std::path::Path;
use std::sync::Arc;

use procmon_server::compaction::compact_once;
use procmon_server::store::{EventQuery, OPEN_SLICES, Position, SLICE_MS};
use sqlx::Connection;

use crate::fixture::{Fixture, START_MS, append_of, times};
use crate::postgres::name_of;
use crate::segments::copy_folder;

const CURSOR_OF_OLDEST: &str = "AQAAAAEAAAAAAAAAAgAAAAA";
const CURSOR_OF_NEWEST: &str = "AQAAAAEAAAAAAAAAGAAAAAM";

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_version_1_keeps_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/data/version-1");
    copy_folder(&written, folder.path());
    let fixture = Fixture::Sqlite(folder);
    let mut before = Vec::new();
    // The second time everything is up to date.
    for _ in 0..2 {
        let store = fixture.open().await;
        let agents = store.agents().await.expect("it reads");
        let names: Vec<_> = agents.iter().map(|agent| &*agent.agent_id).collect();
        assert_eq!(names, ["native-1", "upload-1"]);
        let newest = Position::from_cursor(CURSOR_OF_NEWEST).expect("a cursor");
        let oldest = Position::from_cursor(CURSOR_OF_OLDEST).expect("a cursor");
        assert!(store.reaches(oldest) && store.reaches(newest));
        let query = EventQuery::default();
        let found = store.events_after(&query, oldest, 1000).await;
        let found = found.expect("it reads");
        let events = found.iter().flat_map(|stored| &stored.events);
        assert_eq!(events.count(), 48);
        let last = found.last().expect("some");
        assert_eq!((last.slice, last.batch), (newest.slice, newest.batch));
        let span = store.last_span("native-1").await.expect("it reads");
        let span = span.expect("it is known");
        assert_eq!((span.seq, span.batches.len()), (21, 21));
        let stored = store.watermark("native-1", span.epoch).await;
        assert_eq!(stored.expect("it reads"), Some(21));
        if before.is_empty() {
            before = found;
        } else {
            assert_eq!(format!("{before:?}"), format!("{found:?}"));
        }
        drop(store);
    }
    goes_on(&fixture, before[0].received_ms).await;
}

/// New slices follow, and the old one can be compacted.
async fn goes_on(fixture: &Fixture, received_ms: i64) {
    let store = fixture.open().await;
    for number in 1..=i64::from(OPEN_SLICES) {
        let later_ms = received_ms + number * SLICE_MS;
        let append = append_of("native-1", 100 + number as u64, later_ms);
        store.append(append).await.expect("it stores");
    }
    assert_eq!(store.closed_slices(), [1]);
    let agents = store.slice_agents(1).await.expect("it reads");
    assert_eq!(agents, ["native-1".into(), "upload-1".into()]);
    let batches = store.slice_batches(1, "native-1", 0, 100).await;
    assert_eq!(batches.expect("it reads").len(), 21);
}

/// The rows of segments before version 2 do not say where their events lie, those before version 3 not what they are.
pub(crate) async fn segments_of_version_1_say_the_same(fixture: Fixture) {
    segments_of_a_version_before_say_the_same(fixture, 1).await;
}

pub(crate) async fn segments_of_version_2_say_the_same(fixture: Fixture) {
    segments_of_a_version_before_say_the_same(fixture, 2).await;
}

async fn segments_of_a_version_before_say_the_same(fixture: Fixture, version: u32) {
    let store = fixture.open().await;
    for number in 0..i64::from(OPEN_SLICES) + 3 {
        for agent_id in ["a", "b"] {
            let received_ms = START_MS + number * SLICE_MS;
            let append = append_of(agent_id, 1 + number as u64, received_ms);
            store.append(append).await.expect("it stores");
        }
    }
    let stats = Arc::default();
    compact_once(&store, &stats).await;
    assert!(!store.contents().segments.is_empty());
    let before = times(&store).await;
    store.close().await;
    drop(store);
    make_older(&fixture, version).await;
    let store = fixture.open().await;
    assert_eq!(times(&store).await, before);
    let forward = store
        .events_after(&EventQuery::default(), Position::START, 100)
        .await;
    assert!(!forward.expect("it reads").is_empty());
    // They are merged with those of this version.
    for number in 10..20 {
        let append = append_of("a", 100 + number as u64, START_MS + number * SLICE_MS);
        store.append(append).await.expect("it stores");
    }
    let newer = times(&store).await;
    compact_once(&store, &stats).await;
    assert!(store.contents().segments.iter().any(|it| it.0 == 2));
    assert_eq!(times(&store).await, newer);
    assert_eq!(newer[newer.len() - before.len()..], before);
}

/// As a version before wrote it.
async fn make_older(fixture: &Fixture, version: u32) {
    /// By the version that brought them.
    const COLUMNS: [(u32, &str); 5] = [
        (2, "first_event_slice"),
        (2, "first_event_batch"),
        (2, "last_event_slice"),
        (2, "last_event_batch"),
        (3, "event_digest"),
    ];
    let later = COLUMNS.iter().filter(|(since, _)| *since > version);
    let without = later.map(|(_, column)| format!("alter table segment drop column {column};"));
    let without = without.collect::<String>();
    match fixture {
        Fixture::Sqlite(folder) => {
            let segments = std::fs::read_dir(folder.path().join("segments"));
            for entry in segments.expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.to_str().expect("a name");
                if name.ends_with(".samples.db") {
                    continue;
                }
                let mut connection = sqlx::SqliteConnection::connect(name).await.expect("a file");
                let sql = format!("{without} pragma user_version = {version};");
                let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection);
                done.await.expect("it is changed");
                connection.close().await.expect("it closes");
            }
        }
        Fixture::Postgres(cluster, dsn) => {
            // Migrations after the third have nothing to do with segments.
            let sql = format!(
                "{without} delete from _sqlx_migrations where version > {version} and version <= 3;"
            );
            cluster.sql(name_of(dsn), &sql);
        }
    }
}
