//! Finding what the run before left, whole or not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use procmon_common::folder_lock::{FolderLockError, lock_folder};
use tokio::sync::Notify;

use super::dropped::Dropped;
use super::reader::stored_position;
use super::record::{self, Found};
use super::state::{Position, Segment, State};
use super::{Shared, SpoolLoss, SpoolOptions, SpoolReader, SpoolStats, SpoolWriter};

/// Damaged parts kept for inspection; each is at most about a segment.
const MAX_CORRUPT_FILES: usize = 4;

/// An agent that is just being replaced may hold the folder a moment longer.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Opens the spool of a folder, which is created when missing. One agent at a time.
pub fn open(folder: &Path, options: SpoolOptions) -> anyhow::Result<(SpoolWriter, SpoolReader)> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| {
            format!(
                "cannot create the spool folder {}; choose another with --spool-dir",
                folder.display()
            )
        })?;
    let lock = lock(folder)?;
    let counters = Arc::new(SpoolStats::default());
    let acked = stored_position(folder);
    let (state, next_index) = find_segments(folder, acked, &counters)?;
    counters.set_bytes(state.disk_bytes());
    let left = Dropped::read(folder, |batch| state.waits(batch));
    let written = left.encode().to_vec();
    counters.dropped_mut(|dropped| *dropped = left);
    let shared = Arc::new(Shared {
        folder: folder.to_path_buf(),
        options,
        state: Mutex::new(state),
        appended: Notify::new(),
        stats: counters,
        dropped_file: Mutex::new((None, written)),
        _lock: lock,
    });
    let writer = SpoolWriter::new(Arc::clone(&shared), next_index);
    Ok((writer, SpoolReader::new(shared)))
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let shown = folder.display();
    lock_folder(folder, LOCK_PATIENCE).map_err(|error| match error {
        FolderLockError::Unwritable(error) => anyhow::Error::from(error).context(format!(
            "cannot write in the spool folder {shown}; check its owner, or choose another with --spool-dir"
        )),
        FolderLockError::Held(pid) => anyhow!(
            "the spool folder {shown} is in use by another procmon-agent (pid {pid}); stop that one, or give this one its \
             own --spool-dir and --agent-id"
        ),
        FolderLockError::Failed(error) => anyhow!("cannot lock the spool folder {shown}: {error}"),
    })
}

/// A file with a greater number is not ours.
const MAX_INDEX: u64 = 1 << 48;

/// Reads every segment once. Those that hold nothing for the reader are removed.
fn find_segments(
    folder: &Path,
    acked: Position,
    counters: &SpoolStats,
) -> anyhow::Result<(State, u64)> {
    let mut state = State::default();
    let mut next_index = acked.segment.saturating_add(1);
    let indices = indices(folder)?;
    let newest = indices.last().copied();
    for index in indices {
        next_index = next_index.max(index + 1);
        let path = folder.join(super::segment_name(index));
        let (segment, taken_end) = scan(&path, index, acked, counters);
        if index == acked.segment {
            state.cursor = Position {
                segment: index,
                offset: taken_end,
            };
        }
        // The newest says what the run before knew: it stays until this run has said so itself.
        if segment.taken < segment.batches || (Some(index) == newest && segment.batches > 0) {
            state.segments.push_back(segment);
        } else if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(
                "cannot remove the spool segment {}: {error}",
                path.display()
            );
        }
    }
    prune_corrupt(folder);
    Ok((state, next_index))
}

fn indices(folder: &Path) -> anyhow::Result<Vec<u64>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list the spool folder {}", folder.display()))?;
    let mut indices = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        if let Some(stem) = stem.filter(|stem| stem.len() == 16)
            && let Ok(index) = u64::from_str_radix(stem, 16)
            && index <= MAX_INDEX
        {
            indices.push(index);
        }
    }
    indices.sort_unstable();
    Ok(indices)
}

/// Reads a segment up to its end, or to what is not a record; that is cut off. Returns where the part ends that the
/// reader has behind it, too.
fn scan(path: &Path, index: u64, acked: Position, stats: &SpoolStats) -> (Segment, u64) {
    let mut segment = Segment::new(index, 0);
    segment.sealed = true;
    let mut taken_end = 0;
    let end = match scan_records(path, &mut segment, &mut taken_end, acked) {
        Ok(end) => end,
        Err(error) => {
            tracing::error!("cannot read the spool segment {}: {error}", path.display());
            Found::Damaged
        }
    };
    let result = match end {
        Found::End | Found::Record(_) => Ok(0),
        Found::Torn => cut(path, segment.len),
        Found::Damaged => set_aside(path, segment.len),
    };
    match result {
        Ok(0) => {}
        Ok(bytes) => {
            let torn = matches!(end, Found::Torn);
            report_cut(path, &segment, bytes, torn, stats);
        }
        Err(error) => {
            tracing::error!("cannot cut {} to its valid part: {error}", path.display());
            // It is lost all the same: a full disk has no room to keep it aside.
            let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
            add_corrupt(path, &segment, bytes.saturating_sub(segment.len), stats);
        }
    }
    (segment, taken_end)
}

fn scan_records(
    path: &Path,
    segment: &mut Segment,
    taken_end: &mut u64,
    acked: Position,
) -> io::Result<Found> {
    let file = File::open(path)?;
    let total = file.metadata()?.len();
    let mut source = BufReader::with_capacity(1 << 18, file);
    loop {
        match record::read(&mut source, total - segment.len)? {
            Found::Record(batch) => {
                segment.len += record::length(&batch);
                let taken = (segment.index, segment.len) <= (acked.segment, acked.offset);
                if segment.batches == 0 || taken {
                    segment.from_unix_ns = batch.built_unix_ns;
                }
                segment.batches += 1;
                segment.last_id = batch.id();
                if taken {
                    segment.taken += 1;
                    *taken_end = segment.len;
                } else {
                    segment.first_waiting.get_or_insert(batch.id());
                }
                segment.until_unix_ns = batch.built_unix_ns;
            }
            end => return Ok(end),
        }
    }
}

fn report_cut(path: &Path, segment: &Segment, bytes: u64, torn: bool, stats: &SpoolStats) {
    if torn {
        tracing::warn!(
            "{}: cut off {bytes} bytes of a batch that was being written when the agent stopped",
            path.display()
        );
    } else {
        tracing::error!(
            "{}: {bytes} bytes are damaged; they are kept in {}",
            path.display(),
            path.with_extension("corrupt").display()
        );
    }
    add_corrupt(path, segment, bytes, stats);
}

fn add_corrupt(path: &Path, segment: &Segment, bytes: u64, stats: &SpoolStats) {
    let modified_unix_ns = std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_nanos() as i64);
    let from = if segment.batches == 0 {
        modified_unix_ns
    } else {
        segment.until_unix_ns
    };
    stats.add_loss(&SpoolLoss {
        reason: "spool_corrupt",
        batches: 1,
        bytes,
        from_unix_ns: from,
        until_unix_ns: modified_unix_ns.max(from),
    });
}

/// Cuts a file to its valid part. Returns what was cut off.
fn cut(path: &Path, valid: u64) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let cut = file.metadata()?.len().saturating_sub(valid);
    file.set_len(valid)?;
    Ok(cut)
}

/// Keeps what cannot be read in a file of its own, then cuts it off.
fn set_aside(path: &Path, valid: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(valid))?;
    let mut aside = File::create(path.with_extension("corrupt"))?;
    io::copy(&mut file, &mut aside)?;
    cut(path, valid)
}

fn prune_corrupt(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut corrupt: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "corrupt"))
        .collect();
    corrupt.sort_unstable();
    let surplus = corrupt.len().saturating_sub(MAX_CORRUPT_FILES);
    for path in &corrupt[..surplus] {
        let _ = std::fs::remove_file(path);
    }
}
