//! What is dropped for want of room is one gap, however often the record of it would have been dropped, and whoever asks.

use procmon_agent::spool::SpoolLoss;

use super::*;

fn small() -> SpoolOptions {
    SpoolOptions {
        max_bytes: 16 << 10,
        ..options()
    }
}

/// As the agent: takes what is to be told, and appends the batch that tells it.
fn tell(writer: &mut SpoolWriter, epoch: u64, seq: u64) -> Vec<SpoolLoss> {
    let losses = writer.stats().take_losses();
    let appended = append(writer, epoch, seq, 460);
    if !losses.is_empty() {
        writer.told((epoch, seq), appended);
    }
    losses
}

fn only(losses: &[SpoolLoss]) -> (u64, i64, i64) {
    let [loss] = losses else {
        panic!("{losses:?}");
    };
    assert_eq!(loss.reason, "spool_full");
    (loss.batches, loss.from_unix_ns, loss.until_unix_ns)
}

/// The next batch, taken and acknowledged.
fn take(reader: &mut SpoolReader) -> u64 {
    let batch = reader.try_next().expect("one waits");
    reader.ack(batch.epoch, batch.seq);
    batch.seq
}

#[test]
fn many_dropped_segments_are_one_gap_that_is_told_once() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = spool::open(folder.path(), small()).expect("opens");
    append(&mut writer, 1, 1, 460);
    append(&mut writer, 1, 2, 460);
    assert_eq!(take(&mut reader), 1);
    for seq in 3..=300 {
        assert_eq!(tell(&mut writer, 1, seq), []);
    }
    let first = take(&mut reader);
    let dropped = first - 2;
    assert!(dropped > 200, "many segments");
    let gap = (dropped, 1001, 1000 + first as i64 - 1);
    assert_eq!(only(&tell(&mut writer, 1, 301)), gap);
    assert_eq!(tell(&mut writer, 1, 302), [], "it is on its way");
    drain(&mut reader);
    assert_eq!(tell(&mut writer, 1, 303), [], "it has arrived");
    assert_eq!(writer.stats().dropped(), [("spool_full", dropped)]);
}

#[test]
fn a_gap_whose_batch_is_dropped_grows_and_is_told_again() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, mut reader) = spool::open(folder.path(), small()).expect("opens");
    for seq in 1..=100 {
        append(&mut writer, 1, seq, 460);
    }
    take(&mut reader);
    let (before, from, _) = only(&tell(&mut writer, 1, 101));
    for seq in 102..=300 {
        assert_eq!(tell(&mut writer, 1, seq), []);
    }
    take(&mut reader);
    let (batches, again, _) = only(&tell(&mut writer, 1, 301));
    assert_eq!(again, from);
    assert!(batches > before + 100, "{batches}");
    assert_eq!(writer.stats().dropped(), [("spool_full", batches)]);
}

#[test]
fn a_gap_outlives_a_restart_whether_it_was_told_or_not() {
    for is_told in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let (mut writer, mut reader) = spool::open(folder.path(), small()).expect("opens");
        for seq in 1..=100 {
            append(&mut writer, 1, seq, 460);
        }
        let dropped = writer.stats().dropped()[0].1;
        if is_told {
            take(&mut reader);
            assert_eq!(only(&tell(&mut writer, 1, 101)).0, dropped);
        }
        drop((writer, reader));

        let (mut writer, mut reader) = spool::open(folder.path(), small()).expect("opens");
        assert_eq!(writer.stats().dropped(), [], "counted by the run before");
        take(&mut reader);
        if is_told {
            assert_eq!(tell(&mut writer, 2, 1), [], "it is on its way");
            for seq in 2..=200 {
                append(&mut writer, 2, seq, 460);
            }
            take(&mut reader);
        }
        let (batches, from, _) = only(&tell(&mut writer, 2, 201));
        let of_this_run: u64 = writer.stats().dropped().iter().map(|(_, n)| n).sum();
        assert_eq!((batches, from), (dropped + of_this_run, 1001));
        drain(&mut reader);
        drop((writer, reader));

        let (mut writer, mut reader) = spool::open(folder.path(), small()).expect("opens");
        append(&mut writer, 3, 1, 460);
        drain(&mut reader);
        assert_eq!(tell(&mut writer, 3, 2), [], "it has arrived");
    }
}
