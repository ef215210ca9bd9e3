//! Batches on disk between capture and the server: append-only segment files, one synchronous writer (capture) and one
//! asynchronous reader (`ship`). Here is when a batch is kept, found again after a crash, or given up and counted;
//! what is in a batch is not known here.
//!
//! Files of the folder: `<index>.seg` segments, `acked` the reader's position, `lock`, `<index>.corrupt` what could not
//! be read, `dropped` what was given up for want of room, and `quarantine/` the batches that the server refused.
//!
//! Every segment begins with a key batch and is given up as a whole, so that no delta is ever without its base. A
//! record is in the page cache when `append` returns: it survives the end of the agent, kill -9 included, but the last
//! seconds may not survive a loss of power.

mod dropped;
mod open;
mod quarantine;
mod reader;
mod record;
mod state;
mod stats;
mod tail;
mod writer;

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;

pub use open::open;
pub use reader::SpoolReader;
pub use stats::{SpoolLoss, SpoolStats};
pub use writer::{Appended, NeedsKey, SpoolWriter};

use state::State;

/// A batch as a request body, with what is needed to keep it in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledBatch {
    pub epoch: u64,
    pub seq: u64,
    pub key: bool,
    /// The host's clock when it was built, to say which time a lost one covered.
    pub built_unix_ns: i64,
    pub payload: Bytes,
}

impl SpooledBatch {
    fn id(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// Limits of a spool.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOptions {
    /// All segments together.
    pub max_bytes: u64,
    /// A segment of this size is followed by a new one.
    pub segment_bytes: u64,
    /// While there is a backlog, so is a segment of this age.
    pub segment_age: Duration,
    /// What waits in memory while the disk refuses to take it.
    pub memory_bytes: u64,
    /// What is kept in memory of what is on disk, so that `ship` need not read it back.
    pub cache_bytes: u64,
}

impl SpoolOptions {
    /// The agent's limits for a spool of `max_bytes`. A segment is at most an eighth of it: little goes at once.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            segment_bytes: (max_bytes / 8).min(4 << 20),
            segment_age: Duration::from_mins(1),
            memory_bytes: 8 << 20,
            cache_bytes: 1 << 20,
        }
    }

    /// For an agent that may use this much memory; zero is no limit.
    #[must_use]
    pub fn within(mut self, mem_limit_bytes: u64) -> Self {
        if mem_limit_bytes > 0 {
            self.memory_bytes = self.memory_bytes.min(mem_limit_bytes / 8);
        }
        self
    }
}

/// What writer and reader share. The lock is held for bookkeeping only, never for I/O.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    options: SpoolOptions,
    state: Mutex<State>,
    appended: tokio::sync::Notify,
    stats: Arc<SpoolStats>,
    /// The file `dropped`, once there was something to write, and what is in it.
    dropped_file: Mutex<(Option<File>, Vec<u8>)>,
    /// Held for as long as the spool is open; the kernel releases it however the agent ends.
    _lock: File,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment_path(&self, index: u64) -> PathBuf {
        self.folder.join(segment_name(index))
    }

    /// Counts what was just given up.
    fn lose(&self, state: &State, loss: &SpoolLoss) {
        let held = state.held.map(|held| held.id);
        self.stats
            .dropped_mut(|dropped| dropped.gone(state.gone_until, held));
        self.stats.add_loss(loss);
    }

    /// Writes down what was dropped, if that is not written yet.
    fn remember_dropped(&self) {
        let mut written = self
            .dropped_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let bytes = self.stats.dropped_mut(|dropped| dropped.encode());
        if written.1 == bytes {
            return;
        }
        let path = self.folder.join(dropped::DROPPED_FILE);
        let (file, known) = &mut *written;
        let result = match file {
            Some(file) => file.write_all_at(&bytes, 0),
            None => File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .and_then(|opened| file.insert(opened).write_all_at(&bytes, 0)),
        };
        match result {
            Ok(()) => *known = bytes.to_vec(),
            Err(error) => tracing::warn!(
                "cannot remember in {} what was dropped: {error}; a restart forgets it",
                path.display()
            ),
        }
    }

    /// Removes the files of segments that are no longer wanted.
    fn unlink(&self, indices: &[u64]) {
        for index in indices {
            let path = self.segment_path(*index);
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(
                    "cannot remove the spool segment {}: {error}",
                    path.display()
                );
            }
        }
    }
}

fn segment_name(index: u64) -> String {
    format!("{index:016x}.seg")
}
