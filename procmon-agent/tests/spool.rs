//! The spool against its promises: order, nothing lost but what is counted, nothing given out twice, whatever is in the
//! files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procmon_agent::spool::{
    self, Appended, NeedsKey, SpoolOptions, SpoolReader, SpoolWriter, SpooledBatch,
};

#[path = "spool/damage.rs"]
mod damage;
#[path = "spool/dropped.rs"]
mod dropped;
#[path = "spool/kill.rs"]
mod kill;
#[path = "spool/model.rs"]
mod model;

const HEADER_BYTES: usize = 40;

fn options() -> SpoolOptions {
    SpoolOptions {
        max_bytes: 1 << 20,
        segment_bytes: 4096,
        segment_age: Duration::from_hours(1),
        memory_bytes: 16 << 10,
        cache_bytes: 2048,
    }
}

fn open(folder: &Path) -> (SpoolWriter, SpoolReader) {
    spool::open(folder, options()).expect("opens")
}

fn batch(epoch: u64, seq: u64, key: bool, length: usize) -> SpooledBatch {
    SpooledBatch {
        epoch,
        seq,
        key,
        built_unix_ns: (epoch * 1000 + seq) as i64,
        payload: vec![seq as u8; length].into(),
    }
}

/// Appends as the batch builder does: a key batch where one is due.
fn append(writer: &mut SpoolWriter, epoch: u64, seq: u64, length: usize) -> Appended {
    let key = writer.needs_key();
    writer
        .append(batch(epoch, seq, key, length))
        .expect("a key batch where due")
}

/// Takes and acknowledges everything there is; returns (epoch, seq) in order.
fn drain(reader: &mut SpoolReader) -> Vec<(u64, u64)> {
    let mut seen = Vec::new();
    while let Some(batch) = reader.try_next() {
        assert!(
            batch.payload.iter().all(|byte| *byte == batch.seq as u8),
            "the payload is its own"
        );
        seen.push((batch.epoch, batch.seq));
        reader.ack(batch.epoch, batch.seq);
    }
    seen
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("lists")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .collect();
    paths.sort();
    paths
}

fn run(epoch: u64, seqs: std::ops::RangeInclusive<u64>) -> Vec<(u64, u64)> {
    seqs.map(|seq| (epoch, seq)).collect()
}

#[test]
fn batches_come_out_in_order_and_finished_segments_go() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    for seq in 1..=100 {
        assert_eq!(append(&mut writer, 1, seq, 500), Appended::Disk);
    }
    assert!(segments(folder.path()).len() > 10);
    assert_eq!(writer.pending(), 100);
    assert_eq!(drain(&mut reader), run(1, 1..=100));
    assert_eq!(reader.pending(), 0);
    assert_eq!(segments(folder.path()).len(), 1, "the active one stays");
    assert!(writer.stats().take_losses().is_empty());
}

#[test]
fn the_same_batch_is_given_out_until_it_is_answered() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    for seq in 1..=3 {
        append(&mut writer, 1, seq, 10);
    }
    assert_eq!(reader.try_next().map(|b| b.seq), Some(1));
    assert_eq!(reader.try_next().map(|b| b.seq), Some(1));
    reader.ack(1, 2);
    assert_eq!(reader.try_next().map(|b| b.seq), Some(3), "2 was covered");
    reader.ack(99, 3);
    assert_eq!(
        reader.try_next().map(|b| b.seq),
        Some(3),
        "another epoch's answer"
    );
}

#[test]
fn a_segment_begins_with_a_key_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, _reader) = open(folder.path());
    assert!(writer.needs_key());
    assert_eq!(writer.append(batch(1, 1, false, 10)), Err(NeedsKey));
    assert_eq!(writer.append(batch(1, 1, true, 10)), Ok(Appended::Disk));
    assert!(!writer.needs_key());
    for seq in 2..=9 {
        writer
            .append(batch(1, seq, false, 500))
            .expect("the segment goes on");
    }
    assert!(writer.needs_key(), "the segment is full");
    writer
        .append(batch(1, 10, false, 10))
        .expect("but still goes on");
    assert_eq!(segments(folder.path()).len(), 1);
    writer.append(batch(1, 11, true, 10)).expect("a key batch");
    assert_eq!(segments(folder.path()).len(), 2);
}

#[test]
fn age_ends_a_segment_only_while_there_is_a_backlog() {
    let folder = tempfile::tempdir().expect("folder");
    let aged = SpoolOptions {
        segment_age: Duration::ZERO,
        segment_bytes: 1 << 20,
        ..options()
    };
    let (mut writer, mut reader) = spool::open(folder.path(), aged).expect("opens");
    append(&mut writer, 1, 1, 10);
    assert!(!writer.needs_key());
    for seq in 2..=16 {
        writer
            .append(batch(1, seq, false, 10))
            .expect("the segment goes on");
    }
    assert!(writer.needs_key());
    drain(&mut reader);
    assert!(!writer.needs_key());
}

#[test]
fn a_restart_gives_out_only_what_was_not_acknowledged() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    for seq in 1..=50 {
        append(&mut writer, 1, seq, 300);
    }
    for _ in 1..=20 {
        let batch = reader.try_next().expect("more");
        reader.ack(batch.epoch, batch.seq);
    }
    reader.try_next().expect("21 is on its way");
    drop((writer, reader));

    let (mut writer, mut reader) = open(folder.path());
    assert!(writer.needs_key(), "a new run begins a segment");
    append(&mut writer, 2, 1, 300);
    let mut expected = run(1, 21..=50);
    expected.push((2, 1));
    assert_eq!(drain(&mut reader), expected);
    drop((writer, reader));

    let (mut writer, mut reader) = open(folder.path());
    assert_eq!(drain(&mut reader), []);
    let knows = writer.tail().expect("reads");
    let knows: Vec<_> = knows.iter().map(|b| (b.epoch, b.seq, b.key)).collect();
    assert_eq!(
        knows,
        [(2, 1, true)],
        "what the run before knew stays until this one has said so itself"
    );
    append(&mut writer, 3, 1, 300);
    assert_eq!(drain(&mut reader), [(3, 1)]);
    assert_eq!(segments(folder.path()).len(), 1);
}

#[test]
fn the_oldest_whole_segments_make_room_and_are_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let small = SpoolOptions {
        max_bytes: 16 << 10,
        ..options()
    };
    let (mut writer, mut reader) = spool::open(folder.path(), small).expect("opens");
    for seq in 1..=200 {
        assert_eq!(append(&mut writer, 1, seq, 460), Appended::Disk);
        assert!(writer.stats().bytes() <= 16 << 10);
    }
    let untold = writer.stats().take_losses();
    assert_eq!(untold, [], "a batch that told it would be dropped next");
    let survivors = drain(&mut reader);
    let losses = writer.stats().take_losses();
    assert_eq!(losses.len(), 1);
    let loss = &losses[0];
    let first = survivors[0].1;
    assert_eq!(loss.reason, "spool_full");
    assert_eq!(loss.batches, first - 1);
    assert_eq!(loss.bytes, (first - 1) * 500);
    assert_eq!(
        (loss.from_unix_ns, loss.until_unix_ns),
        (1001, 1000 + first as i64 - 1)
    );
    assert_eq!(survivors, run(1, first..=200));
    assert_eq!(writer.stats().dropped(), [("spool_full", first - 1)]);
    assert!(writer.stats().take_losses().is_empty(), "told once");
}

#[test]
fn a_batch_on_its_way_survives_the_eviction_of_its_segment() {
    let folder = tempfile::tempdir().expect("folder");
    let small = SpoolOptions {
        max_bytes: 16 << 10,
        ..options()
    };
    let (mut writer, mut reader) = spool::open(folder.path(), small).expect("opens");
    append(&mut writer, 1, 1, 460);
    assert_eq!(reader.try_next().map(|b| b.seq), Some(1));
    for seq in 2..=100 {
        append(&mut writer, 1, seq, 460);
    }
    let dropped = writer.stats().dropped()[0].1;
    assert_eq!(reader.try_next().map(|b| b.seq), Some(1));
    let survivors = drain(&mut reader);
    assert_eq!(survivors.len() as u64 + dropped, 100);
    assert_eq!(survivors[0], (1, 1));
    assert_eq!(survivors[1], (1, dropped + 2));
}

#[test]
fn a_batch_that_no_spool_can_hold_is_dropped_and_the_next_is_a_key_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    append(&mut writer, 1, 1, 10);
    assert_eq!(append(&mut writer, 1, 2, 17 << 10), Appended::Dropped);
    assert_eq!(writer.stats().dropped(), [("too_large", 1)]);
    assert!(writer.needs_key());
    append(&mut writer, 1, 3, 10);
    assert_eq!(drain(&mut reader), [(1, 1), (1, 3)]);
}

#[test]
fn a_refused_batch_is_kept_for_inspection_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    for seq in 1..=50 {
        append(&mut writer, 1, seq, 60);
    }
    for _ in 1..=40 {
        reader.try_next().expect("more");
        reader.quarantine();
    }
    assert_eq!(drain(&mut reader), run(1, 41..=50));
    assert_eq!(writer.stats().dropped(), [("refused", 40)]);
    let mut kept: Vec<_> = fs::read_dir(folder.path().join("quarantine"))
        .expect("lists")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    kept.sort();
    assert_eq!(kept.len(), 32, "the oldest went");
    assert_eq!(kept[0], "0000000000000001-000000000009.pb.zst");
}

#[test]
fn two_agents_cannot_share_a_spool() {
    let folder = tempfile::tempdir().expect("folder");
    let first = open(folder.path());
    let message = spool::open(folder.path(), options())
        .expect_err("in use")
        .to_string();
    let expected = format!(
        "the spool folder {} is in use by another procmon-agent (pid {})",
        folder.path().display(),
        std::process::id()
    );
    assert!(message.starts_with(&expected), "{message}");
    drop(first);
    open(folder.path());
}

#[test]
fn others_cannot_read_the_spool() {
    let folder = tempfile::tempdir().expect("folder");
    let spool_folder = folder.path().join("a/b");
    let (mut writer, _reader) = open(&spool_folder);
    append(&mut writer, 1, 1, 10);
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&spool_folder), 0o700);
    assert_eq!(mode(&segments(&spool_folder)[0]), 0o600);
}

#[tokio::test]
async fn the_reader_wakes_up_for_a_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = open(folder.path());
    let waiting = tokio::spawn(async move { reader.next().await.seq });
    tokio::task::yield_now().await;
    std::thread::spawn(move || append(&mut writer, 1, 7, 10));
    let seq = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(seq.expect("in time").expect("no panic"), 7);
}
