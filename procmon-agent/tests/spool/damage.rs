//! Disks that fail, and files that are not as they were written.

use super::*;

#[test]
fn a_disk_that_fails_costs_memory_first() {
    let folder = tempfile::tempdir().expect("folder");
    let spool_folder = folder.path().join("spool");
    let (mut writer, mut reader) = open(&spool_folder);
    fs::remove_dir_all(&spool_folder).expect("pulls the disk");
    for seq in 1..=5 {
        assert_eq!(append(&mut writer, 1, seq, 1000), Appended::Memory);
    }
    assert_eq!(
        reader.try_next().map(|b| b.seq),
        Some(1),
        "it ships without a disk"
    );
    reader.ack(1, 1);
    assert!(!writer.retry());
    fs::create_dir(&spool_folder).expect("puts it back");
    assert_eq!(append(&mut writer, 1, 6, 1000), Appended::Disk);
    assert_eq!(drain(&mut reader), run(1, 2..=6));
    assert!(writer.stats().take_losses().is_empty());
}

/// A small disk, until the end of the test.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path, size: &str) -> Self {
        fs::create_dir(folder).expect("a folder");
        Self::call(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"],
            folder,
        );
        Self(folder)
    }

    fn grow(&self, size: &str) {
        Self::call("mount", &["-o", &format!("remount,size={size}")], self.0);
    }

    fn call(program: &str, arguments: &[&str], folder: &Path) {
        let mut command = std::process::Command::new(program);
        let status = command.args(arguments).arg(folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "this test needs root, to mount a small disk"
        );
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Self::call("umount", &["--lazy"], self.0);
    }
}

#[test]
fn a_full_disk_is_waited_out_in_memory() {
    let folder = tempfile::tempdir().expect("folder");
    let spool_folder = folder.path().join("spool");
    let disk = Disk::mount(&spool_folder, "24k");
    let (mut writer, mut reader) = open(&spool_folder);
    let mut seq = 0;
    let mut next = |writer: &mut SpoolWriter| {
        seq += 1;
        append(writer, 1, seq, 900)
    };
    while next(&mut writer) == Appended::Disk {}
    // The last of them did not fit in the middle of a record.
    for _ in 0..5 {
        assert_eq!(next(&mut writer), Appended::Memory);
    }
    disk.grow("1m");
    assert_eq!(next(&mut writer), Appended::Disk, "with all that waited");
    drop((writer, reader));
    let (writer, again) = open(&spool_folder);
    reader = again;
    assert_eq!(drain(&mut reader), run(1, 1..=seq));
    assert_eq!(writer.stats().dropped(), []);
}

#[test]
fn memory_is_bounded_and_begins_anew_with_a_key_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let spool_folder = folder.path().join("spool");
    let (mut writer, mut reader) = open(&spool_folder);
    fs::remove_dir_all(&spool_folder).expect("pulls the disk");
    for seq in 1..=40 {
        let appended = append(&mut writer, 1, seq, 1000);
        assert_ne!(appended, Appended::Disk);
    }
    let dropped = writer.stats().dropped()[0].1;
    let kept = drain(&mut reader);
    assert_eq!(kept.len() as u64 + dropped, 40);
    assert_eq!(kept, run(1, dropped + 1..=40));
}

#[test]
fn a_torn_end_is_cut_off_and_the_rest_is_whole() {
    let whole = {
        let folder = tempfile::tempdir().expect("folder");
        write_one_segment(folder.path());
        fs::read(&segments(folder.path())[0]).expect("reads").len()
    };
    let record = HEADER_BYTES + 60;
    assert_eq!(whole, 3 * record);
    for length in 0..whole {
        let folder = tempfile::tempdir().expect("folder");
        write_one_segment(folder.path());
        let path = &segments(folder.path())[0];
        let file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("opens");
        file.set_len(length as u64).expect("cuts");
        let (writer, mut reader) = open(folder.path());
        let intact = length / record;
        assert_eq!(drain(&mut reader), run(1, 1..=intact as u64), "at {length}");
        let cut = u64::from(length % record != 0);
        let counted: u64 = writer.stats().dropped().iter().map(|(_, n)| n).sum();
        assert_eq!(counted, cut, "at {length}");
    }
}

fn write_one_segment(folder: &Path) {
    let (mut writer, _reader) = open(folder);
    for seq in 1..=3 {
        append(&mut writer, 1, seq, 60);
    }
}

#[test]
fn damage_in_the_middle_is_set_aside_and_the_next_segment_is_read() {
    let folder = tempfile::tempdir().expect("folder");
    write_one_segment(folder.path());
    let (mut writer, reader) = open(folder.path());
    append(&mut writer, 2, 1, 60);
    drop((writer, reader));
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).expect("reads");
    bytes[HEADER_BYTES + 60 + HEADER_BYTES + 7] ^= 1;
    fs::write(path, bytes).expect("writes");

    let (writer, mut reader) = open(folder.path());
    assert_eq!(drain(&mut reader), [(1, 1), (2, 1)]);
    assert_eq!(writer.stats().dropped(), [("spool_corrupt", 1)]);
    let aside = path.with_extension("corrupt");
    assert_eq!(
        fs::metadata(aside).expect("kept").len(),
        2 * (HEADER_BYTES as u64 + 60)
    );
}

#[test]
fn damage_under_the_reader_gives_up_the_rest_of_the_segment() {
    let folder = tempfile::tempdir().expect("folder");
    let uncached = SpoolOptions {
        cache_bytes: 0,
        ..options()
    };
    let (mut writer, mut reader) = spool::open(folder.path(), uncached).expect("opens");
    for seq in 1..=3 {
        append(&mut writer, 1, seq, 60);
    }
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).expect("reads");
    bytes[HEADER_BYTES + 60] = b'x';
    fs::write(path, bytes).expect("writes");
    assert_eq!(drain(&mut reader), [(1, 1)]);
    assert_eq!(writer.stats().dropped(), [("spool_corrupt", 2)]);
    assert!(writer.needs_key());
    let delta = writer.append(batch(1, 4, false, 60));
    assert_eq!(delta, Ok(Appended::Dropped), "its base is lost");
    append(&mut writer, 1, 5, 60);
    assert_eq!(drain(&mut reader), [(1, 5)]);
    assert_eq!(
        writer.stats().dropped(),
        [("no_base", 1), ("spool_corrupt", 2)]
    );
}

#[test]
fn a_damaged_part_that_cannot_be_set_aside_is_counted_all_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut writer, reader) = open(folder.path());
    append(&mut writer, 1, 1, 1000);
    drop((writer, reader));
    let segment = fs::read_dir(folder.path())
        .expect("lists")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .expect("a segment");
    let mut bytes = fs::read(&segment).expect("reads");
    bytes.extend_from_slice(&[7; 500]);
    fs::write(&segment, bytes).expect("writes");
    // As on a disk without room: the file to keep it in cannot be made.
    fs::create_dir(segment.with_extension("corrupt")).expect("a folder");
    let (writer, mut reader) = open(folder.path());
    assert_eq!(drain(&mut reader), run(1, 1..=1));
    let losses = writer.stats().take_losses();
    assert_eq!(
        (losses[0].reason, losses[0].batches, losses[0].bytes),
        ("spool_corrupt", 1, 500)
    );
}
