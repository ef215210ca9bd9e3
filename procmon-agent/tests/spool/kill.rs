//! An agent that is killed with SIGKILL in the middle of appending: what it had reported as appended is there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const FOLDER_VARIABLE: &str = "SPOOL_TO_FILL";

/// Appends for ever, and says so after each batch.
#[test]
#[ignore = "a child process of `what_was_appended_survives_a_kill`"]
fn fill_a_spool() {
    let folder = std::env::var(FOLDER_VARIABLE).expect("set by the parent");
    let (mut writer, mut reader) = open(Path::new(&folder));
    let mut out = std::io::stdout();
    for seq in 1.. {
        assert_eq!(append(&mut writer, 1, seq, 300), Appended::Disk);
        if seq % 3 == 0 {
            let batch = reader.try_next().expect("one is there");
            reader.ack(batch.epoch, batch.seq);
            writeln!(out, "acked {}", batch.seq).expect("the parent listens");
        }
        writeln!(out, "appended {seq}").expect("the parent listens");
    }
}

#[test]
fn what_was_appended_survives_a_kill() {
    for lines in [1, 10, 100, 1000, 3000] {
        let folder = tempfile::tempdir().expect("folder");
        let (appended, acked) = kill_after(lines, folder.path());
        let (writer, mut reader) = open(folder.path());
        let found = drain(&mut reader);
        let first = found[0].1;
        let last = found[found.len() - 1].1;
        assert_eq!(found, run(1, first..=last), "without a hole");
        assert!(last >= appended, "{last} of {appended}");
        // It may have acknowledged one more than it could say.
        assert!(
            (acked + 1..=acked + 2).contains(&first),
            "{first} after {acked}"
        );
        assert!(
            writer
                .stats()
                .dropped()
                .iter()
                .all(|(_, count)| *count <= 1)
        );
    }
}

/// Kills a child after so many lines; returns the last batch it reported as appended, and as acknowledged.
fn kill_after(lines: usize, folder: &Path) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().expect("itself"))
        .args(["--exact", "kill::fill_a_spool", "--ignored", "--nocapture"])
        .env(FOLDER_VARIABLE, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (mut appended, mut acked) = (0, 0);
    let mut reports = 0;
    for line in output.lines() {
        let line = line.expect("text");
        let Some((what, seq)) = line.split_once(' ') else {
            continue;
        };
        match (what, seq.parse()) {
            ("appended", Ok(seq)) => appended = seq,
            ("acked", Ok(seq)) => acked = seq,
            _ => continue,
        }
        reports += 1;
        if reports == lines {
            child.kill().expect("kills");
        }
    }
    child.wait().expect("ends");
    (appended, acked)
}
