//! What compaction builds upon: slices that are closed, segments that replace them at once, and readers in between.

use std::sync::Arc;

use procmon_server::store::{OPEN_SLICES, SLICE_MS, SegmentRow, Store};

use crate::fixture::{Fixture, START_MS, append};

/// A batch in each of so many slices.
pub(crate) async fn fill(store: &Store, slices: std::ops::Range<u32>) {
    for number in slices {
        let received_ms = START_MS + i64::from(number) * SLICE_MS;
        let stored = store
            .append(append(u64::from(number) + 1, received_ms))
            .await;
        stored.expect("it stores");
    }
}

/// What a compaction would make of one slice, with bodies that this test can tell apart.
fn row(slice: u32) -> SegmentRow {
    let received_ms = START_MS + i64::from(slice - 1) * SLICE_MS;
    SegmentRow {
        agent_id: Arc::from("a"),
        level: 1,
        first_slice: slice,
        last_slice: slice,
        first_ms: received_ms,
        last_ms: received_ms,
        received_first_ms: received_ms,
        received_last_ms: received_ms,
        epochs: vec![(1, u64::from(slice))],
        event_count: 1,
        event_kinds: 1,
        first_event_ms: Some(received_ms),
        last_event_ms: Some(received_ms),
        event_places: Some(((slice, 1), (slice, 1))),
        samples: format!("samples of {slice}").into_bytes(),
        events: format!("events of {slice}").into_bytes(),
    }
}

pub(crate) async fn compact(store: &Store, slice: u32) {
    let mut file = store.begin_segments(1, slice, slice);
    file.put(row(slice)).await.expect("it is written");
    file.publish().await.expect("it is published");
}

/// First slice and samples of everything there is, oldest first.
pub(crate) async fn samples(store: &Store) -> Vec<(u32, String)> {
    let heads = store.segments("a", i64::MIN, i64::MAX).await;
    let mut found = Vec::new();
    for head in heads.expect("it reads") {
        let bytes = store.segment_samples(&head).await.expect("it reads");
        let text = String::from_utf8(bytes).expect("text");
        found.push((head.first_slice, text));
    }
    found
}

pub(crate) async fn slices_close_behind_the_newest_and_are_replaced_at_once(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES).await;
    assert_eq!(store.closed_slices(), Vec::<u32>::new());
    fill(&store, OPEN_SLICES..OPEN_SLICES + 2).await;
    assert_eq!(store.closed_slices(), [1, 2]);
    assert_eq!(store.slice_agents(1).await.expect("it reads"), ["a".into()]);
    let batches = store.slice_batches(1, "a", 0, 10).await.expect("it reads");
    assert_eq!(
        (batches.len(), batches[0].seq, batches[0].key),
        (1, 1, true)
    );
    let after = store.slice_batches(1, "a", batches[0].id, 10).await;
    assert_eq!(after.expect("it reads"), []);

    let view = store.view();
    let mut file = store.begin_segments(1, 1, 1);
    file.put(row(1)).await.expect("it is written");
    assert_eq!(samples(&store).await, []);
    file.publish().await.expect("it is published");
    assert_eq!(samples(&store).await, [(1, "samples of 1".to_owned())]);
    assert_eq!(store.closed_slices(), [2]);
    assert!(store.slice_batches(1, "a", 0, 10).await.is_err());
    // Who began before goes on in the log, and sees nothing twice.
    let before = view.slice_batches(1, "a", 0, 10).await;
    assert_eq!(before.expect("still there"), batches);
    let heads = view.segments("a", i64::MIN, i64::MAX).await;
    assert_eq!(heads.expect("it reads").len(), 0);
    // Its number is known although its slice is gone.
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(5));
}

pub(crate) async fn an_hour_replaces_its_slices_and_keeps_readers_under_way(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 3).await;
    for slice in 1..=3 {
        compact(&store, slice).await;
    }
    assert_eq!(samples(&store).await.len(), 3);
    let heads = store.segments("a", i64::MIN, i64::MAX).await;
    let heads = heads.expect("it reads");
    let between = store.view().segments_between(1, 1, 2).await;
    assert_eq!(between.expect("it reads").len(), 2);

    let mut hour = store.begin_segments(2, 1, 3);
    let merged = SegmentRow {
        level: 2,
        last_slice: 3,
        ..row(1)
    };
    hour.put(merged).await.expect("it is written");
    hour.publish().await.expect("it is published");
    assert_eq!(samples(&store).await, [(1, "samples of 1".to_owned())]);
    let old = store.segment_samples(&heads[2]).await.expect("it reads");
    assert_eq!(old, b"samples of 3");
    drop(heads);
    // What was held goes with the next sweep.
    store.expire_before(0, 0).await.expect("it expires");
    assert_eq!(fixture.parts().len(), OPEN_SLICES as usize + 2);
}

pub(crate) async fn samples_go_before_events(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 1).await;
    compact(&store, 1).await;
    let expired = store.expire_before(START_MS + 1, 0).await;
    assert_eq!(expired.expect("it expires").samples, 1);
    let heads = store.segments("a", i64::MIN, i64::MAX).await;
    let head = &heads.expect("it reads")[0];
    assert_eq!(head.samples_bytes, 0);
    assert_eq!(
        store.segment_samples(head).await.expect("it reads"),
        b"".to_vec()
    );
    assert_eq!(
        store.segment_events(head).await.expect("it reads"),
        b"events of 1"
    );
    let expired = store.expire_before(START_MS + 1, START_MS + 1).await;
    assert_eq!(expired.expect("it expires").segments, 1);
    assert_eq!(samples(&store).await, []);
}

pub(crate) async fn what_is_not_published_never_was(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 1).await;
    let before = fixture.parts();
    let mut file = store.begin_segments(1, 1, 1);
    file.put(row(1)).await.expect("it is written");
    drop(file);
    assert_eq!(store.closed_slices(), [1]);
    compact(&store, 1).await;
    assert_eq!(samples(&store).await.len(), 1);
    drop(store);
    let store = fixture.open().await;
    assert_eq!(fixture.parts().len(), before.len() + 1);
    assert_eq!(samples(&store).await.len(), 1);
}

pub(crate) async fn segments_are_there_after_a_restart(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 2).await;
    compact(&store, 1).await;
    compact(&store, 2).await;
    let before = store.segments("a", i64::MIN, i64::MAX).await;
    let before = format!("{:?}", before.expect("it reads"));
    store
        .expire_before(START_MS + 1, 0)
        .await
        .expect("it expires");
    drop(store);
    let store = fixture.open().await;
    assert_eq!(
        samples(&store).await,
        [(1, String::new()), (2, "samples of 2".to_owned())]
    );
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(5));
    assert_eq!(store.view().segment_files(1)[1].0, 2, "{before}");
    fill(&store, OPEN_SLICES + 2..OPEN_SLICES + 3).await;
    assert_eq!(store.closed_slices(), [3]);
}

/// A reader kept what was replaced from being removed until the server was killed.
pub(crate) async fn what_is_replaced_is_gone_after_a_kill(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 3).await;
    let mut views = vec![store.view()];
    for slice in 1..=3 {
        compact(&store, slice).await;
        views.push(store.view());
    }
    let mut hour = store.begin_segments(2, 1, 2);
    let merged = SegmentRow {
        level: 2,
        last_slice: 2,
        ..row(1)
    };
    hour.put(merged).await.expect("it is written");
    hour.publish().await.expect("it is published");
    store
        .expire_before(START_MS + 2 * SLICE_MS + 1, 0)
        .await
        .expect("it expires");
    // Three slices, two segments of one slice with their samples, and the samples of the third; nobody has seen the hour's.
    assert_eq!(store.contents().leaving, 3 + 2 * 2 + 1);
    drop(store);
    let store = fixture.open().await;
    // What was only too old may be there again until it is looked for, as a server does first of all.
    store
        .expire_before(START_MS + 2 * SLICE_MS + 1, 0)
        .await
        .expect("it expires");
    assert_eq!(
        samples(&store).await,
        [(1, String::new()), (3, String::new())]
    );
    assert_eq!(store.closed_slices(), Vec::<u32>::new());
    if let Fixture::Postgres(..) = fixture {
        assert_eq!(fixture.parts().len(), OPEN_SLICES as usize + 2);
    }
    drop(views);
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_finished_or_undone() {
    let fixture = Fixture::sqlite();
    let Fixture::Sqlite(folder) = &fixture else {
        unreachable!("it was just made")
    };
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 2).await;
    let slice = folder.path().join("slices/0000000001.db");
    let kept = std::fs::read(&slice).expect("a slice");
    let wal = std::fs::read(slice.with_extension("db-wal")).expect("its log");
    compact(&store, 1).await;
    let mut unpublished = store.begin_segments(1, 2, 2);
    unpublished.put(row(2)).await.expect("it is written");
    // As if the server had been killed here: nothing of what it does when it stops is done.
    std::mem::forget(unpublished);
    std::fs::write(&slice, kept).expect("as before it was unlinked");
    std::fs::write(slice.with_extension("db-wal"), wal).expect("as before");
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(folder.path(), copy.path());
    let copied = Fixture::Sqlite(copy);
    let store = copied.open().await;
    assert_eq!(store.closed_slices(), [2]);
    assert_eq!(samples(&store).await, [(1, "samples of 1".to_owned())]);
    let slices = OPEN_SLICES as usize + 1;
    assert_eq!(copied.parts().len(), slices + 2, "{:?}", copied.parts());
}

pub(crate) fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}
