//! The store alone: slices of time, positions that stay comparable, and what retention removes.

mod segments;

use std::path::Path;
use std::sync::Arc;

use procmon_server::batch::{Batch, Event, EventKind};
use procmon_server::clock::Clock;
use procmon_server::store::{Append, EventQuery, Place, Position, Store, format};
use tokio_util::sync::CancellationToken;

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_769_860_800_000;

async fn open(folder: &Path) -> Store {
    let place = Place::Directory(folder.to_owned());
    let (store, writer) = Store::open(place, Clock::System).await.expect("it opens");
    tokio::spawn(writer.run(CancellationToken::new()));
    store
}

/// A batch with one event at the time it is received.
fn append(seq: u64, received_ms: i64) -> Append {
    let batch = Batch {
        key: seq == 1,
        events: vec![Event {
            ts_ns: received_ms * 1_000_000,
            life: None,
            sampled: false,
            kind: EventKind::Fork,
        }],
        ..Batch::default()
    };
    Append {
        agent_id: Arc::from("a"),
        epoch: 1,
        seq,
        received_ms,
        key: batch.key,
        more: false,
        event_count: 1,
        event_kinds: batch.event_kinds().0,
        event_range_ms: batch.event_range_ms(),
        body: format::encode(&batch),
    }
}

/// Times of all events before a position, newest first, in milliseconds.
async fn times(store: &Store) -> Vec<i64> {
    let mut found = Vec::new();
    let mut before = *store.newest().borrow();
    loop {
        let page = store.events_before(&EventQuery::default(), before, 2).await;
        let (batches, next) = page.expect("it reads");
        let events = batches.iter().flat_map(|stored| &stored.events);
        found.extend(events.map(|event| event.ts_ns / 1_000_000));
        match next {
            Some(next) => before = next,
            None => return found,
        }
    }
}

/// Slices that are dropped.
async fn expire(store: &Store, before_ms: i64) -> usize {
    let expired = store.expire_before(before_ms, before_ms).await;
    expired.expect("it expires").slices
}

#[tokio::test]
async fn slices_follow_each_other_and_expire_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let mut positions = Vec::new();
    for hour in 0..4 {
        let first = START_MS + hour * HOUR_MS;
        for (number, received_ms) in [(1, first), (2, first + 1000)] {
            let append = append(hour as u64 * 2 + number, received_ms);
            positions.push(store.append(append).await.expect("it stores"));
        }
    }
    assert!(positions.is_sorted());
    assert_eq!(times(&store).await.len(), 8);
    let files = || {
        std::fs::read_dir(folder.path().join("slices"))
            .expect("a folder")
            .count()
    };
    let before = files();
    assert_eq!(expire(&store, START_MS + 2 * HOUR_MS).await, 2);
    assert!(files() < before);
    assert_eq!(times(&store).await.len(), 4);
    assert!(!store.reaches(positions[0]) && !store.reaches(Position::START));
    assert!(store.reaches(positions[4]));
    // The last one stays, so that its number is never given again.
    assert_eq!(expire(&store, i64::MAX).await, 1);
    let after = store
        .append(append(9, START_MS + 100 * HOUR_MS))
        .await
        .expect("it stores");
    assert!(after > positions[7]);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_reorder() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let year_ms = 365 * 24 * HOUR_MS;
    let arrived = [START_MS + year_ms, START_MS, START_MS - year_ms];
    let mut last = Position::START;
    for (seq, received_ms) in (1..).zip(arrived) {
        let position = store
            .append(append(seq, received_ms))
            .await
            .expect("it stores");
        assert!(position > last);
        last = position;
    }
    let mut newest_first = arrived.to_vec();
    newest_first.reverse();
    assert_eq!(times(&store).await, newest_first);
}

#[tokio::test]
async fn a_batch_is_stored_once_and_its_number_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let first = store.append(append(1, START_MS)).await.expect("it stores");
    let again = store
        .append(append(1, START_MS))
        .await
        .expect("it is there");
    assert_eq!(first, again);
    store
        .append(append(2, START_MS + HOUR_MS))
        .await
        .expect("it stores");
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(2));
    assert_eq!(store.watermark("a", 2).await.expect("it reads"), None);
    assert_eq!(store.watermark("b", 1).await.expect("it reads"), None);
    // The span began in the slice before.
    let span = store
        .last_span("a")
        .await
        .expect("it reads")
        .expect("it is known");
    assert_eq!((span.epoch, span.seq, span.batches.len()), (1, 2, 2));
    drop(store);
    let store = open(folder.path()).await;
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(2));
    assert_eq!(times(&store).await.len(), 2);
}

#[tokio::test]
async fn reading_forward_and_backward_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    for seq in 1..=9 {
        let received_ms = START_MS + seq as i64 * HOUR_MS / 3;
        store
            .append(append(seq, received_ms))
            .await
            .expect("it stores");
    }
    let mut forward = Vec::new();
    let mut after = Position::START;
    loop {
        let batches = store
            .events_after(&EventQuery::default(), after, 2)
            .await
            .expect("it reads");
        let Some(last) = batches.last() else { break };
        after = Position::after_batch(last.slice, last.batch);
        let events = batches.iter().flat_map(|stored| &stored.events);
        forward.extend(events.map(|event| event.ts_ns / 1_000_000));
    }
    forward.reverse();
    assert_eq!(forward, times(&store).await);
    assert_eq!(forward.len(), 9);
}

#[tokio::test]
async fn a_folder_has_one_server_at_a_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = open(folder.path()).await;
    let place = || Place::Directory(folder.path().to_owned());
    let Err(refused) = Store::open(place(), Clock::System).await else {
        panic!("a second server opened it");
    };
    assert!(
        refused
            .to_string()
            .contains("in use by another procmon-server"),
        "{refused}"
    );
    drop(first);
}
