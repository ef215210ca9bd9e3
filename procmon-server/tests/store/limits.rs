//! How much is kept: caps on bytes, and on the snapshots of a host where nothing is kept beyond the run.

use std::sync::Arc;
use std::time::Duration;

use procmon_server::clock::Clock;
use procmon_server::store::{Limits, OPEN_SLICES, Place, Store};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, START_MS, append};
use crate::segments::{compact, fill, samples};

pub(crate) async fn the_oldest_go_when_there_is_too_much(fixture: Fixture) {
    let limits = Limits {
        sample_bytes: Some(1),
        ..Limits::default()
    };
    let store = fixture.open_within(Clock::System, limits).await;
    fill(&store, 0..OPEN_SLICES + 2).await;
    compact(&store, 1).await;
    let expired = store.expire().await.expect("it expires");
    // Samples alone first; then the log, all but its last slice.
    assert_eq!((expired.samples, expired.segments), (1, 0));
    assert_eq!(expired.slices, OPEN_SLICES as usize);
    assert_eq!(samples(&store).await, [(1, String::new())]);
    assert_eq!(store.contents().slices, 1);
    let stats = store.stats();
    let measured = [&stats.log_bytes, &stats.event_bytes, &stats.sample_bytes];
    for bytes in measured {
        assert!(bytes.load(std::sync::atomic::Ordering::Relaxed) > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_kept_is_bounded_by_snapshots_and_ends_with_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let clock = Clock::manual(START_MS);
    let limits = Limits {
        samples: Some(Duration::from_hours(1)),
        events: Some(Duration::from_secs(60)),
        snapshots: Some(2),
        ..Limits::default()
    };
    let place = Place::Temporary(folder);
    let opened = Store::open_within(place, clock.clone(), limits).await;
    let (store, writer) = opened.expect("it opens");
    let writer = tokio::spawn(writer.run(CancellationToken::new()));
    let agent: Arc<str> = "a".into();
    for seq in 1..=5 {
        let now_ms = clock.now_ms();
        store.append(append(seq, now_ms)).await.expect("it stores");
        store.note_snapshot(&agent, now_ms + 7, now_ms);
        // Into the next slice: a sixth of an hour.
        clock.advance_ms(600_000);
    }
    assert_eq!(store.first_snapshot_ms("a"), START_MS + 3 * 600_000 + 7);
    assert_eq!(store.first_snapshot_ms("b"), i64::MIN);
    // Of five slices two have snapshots that are kept.
    let expired = store.expire().await.expect("it expires");
    assert_eq!((expired.slices, store.contents().slices), (3, 2));
    assert!(path.exists());
    store.close().await;
    drop(store);
    writer.await.expect("no panic").expect("no error");
    assert!(!path.exists());
}
