//! Batches that the server refused for good, kept for whoever looks into it: `zstd -d < file` gives the protobuf message.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::SpooledBatch;

const FOLDER: &str = "quarantine";
const MAX_FILES: usize = 32;
const MAX_BYTES: u64 = 32 << 20;

/// Keeps a batch, in place of the oldest ones where there are too many.
pub(super) fn keep(spool: &Path, batch: &SpooledBatch) -> anyhow::Result<()> {
    let folder = spool.join(FOLDER);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    // Names sort by age: the epoch is a time.
    let name = format!("{:016x}-{:012}.pb.zst", batch.epoch, batch.seq);
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(&name))
        .with_context(|| format!("cannot create {name} in {}", folder.display()))?;
    file.write_all(&batch.payload)?;
    remove_oldest(&folder)
}

fn remove_oldest(folder: &Path) -> anyhow::Result<()> {
    let mut kept: Vec<(PathBuf, u64)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        kept.push((entry.path(), entry.metadata()?.len()));
    }
    kept.sort_unstable();
    let mut bytes: u64 = kept.iter().map(|(_, length)| length).sum();
    let mut count = kept.len();
    for (path, length) in kept {
        // The newest stays, whatever its size.
        if count <= 1 || (count <= MAX_FILES && bytes <= MAX_BYTES) {
            break;
        }
        std::fs::remove_file(path)?;
        bytes -= length;
        count -= 1;
    }
    Ok(())
}
