//! The capture side: appends, begins segments, and makes room.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Instant;

use super::state::Segment;
use super::{Shared, SpoolLoss, SpoolStats, SpooledBatch, dropped, record};

/// So many batches waiting are a backlog, not the few that are on their way.
const BACKLOG_BATCHES: u64 = 16;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Disk,
    /// The disk refuses to take it: it waits in memory, and is on its way to the server all the same.
    Memory,
    /// Counted as a loss: no room for it, no server would take it, or it is a delta whose base was lost.
    Dropped,
}

/// The first batch of a run was not a key batch: an error of whoever builds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first batch of a run must be a key batch")]
pub struct NeedsKey;

/// The one writer. It does not wait: an append is one `write`, and a disk that fails costs memory, then batches.
#[derive(Debug)]
pub struct SpoolWriter {
    pub(super) shared: Arc<Shared>,
    active: Option<Active>,
    next_index: u64,
    has_begun: bool,
    /// The batch before was lost, or there was none.
    chain_broken: bool,
    disk_fails: bool,
}

#[derive(Debug)]
struct Active {
    index: u64,
    file: File,
    created: Instant,
}

/// What the disk did with a batch.
enum Stored {
    Yes,
    NoRoom,
}

impl SpoolWriter {
    pub(super) fn new(shared: Arc<Shared>, next_index: u64) -> Self {
        Self {
            shared,
            active: None,
            next_index,
            has_begun: false,
            chain_broken: true,
            disk_fails: false,
        }
    }

    /// Whether the disk took the last batch.
    pub fn can_write(&self) -> bool {
        !self.disk_fails
    }

    /// The next batch is to be a key batch, because a segment is to begin. Holds until one is appended.
    pub fn needs_key(&self) -> bool {
        self.must_begin() || self.segment_is_full()
    }

    /// Takes a batch. Without a key batch where one is due the segment goes on; a delta whose base was lost since
    /// [`SpoolWriter::needs_key`] was asked is lost with it.
    pub fn append(&mut self, batch: SpooledBatch) -> Result<Appended, NeedsKey> {
        if !batch.key && !self.has_begun {
            return Err(NeedsKey);
        }
        self.has_begun = true;
        if !batch.key && self.must_begin() {
            return Ok(self.drop_new(&batch, "no_base"));
        }
        let length = record::length(&batch);
        let options = self.shared.options;
        if length > options.max_bytes.min(options.memory_bytes) || record::encode(&batch).is_none()
        {
            return Ok(self.drop_new(&batch, "too_large"));
        }
        let id = batch.id();
        self.chain_broken = false;
        self.push(batch);
        self.retry();
        self.shared.remember_dropped();
        Ok(self.became(id))
    }

    /// Tries again to bring to disk what waits in memory. `append` does it too; this is for when nothing is appended.
    /// True when nothing waits any more.
    pub fn retry(&mut self) -> bool {
        loop {
            let Some(batch) = self.shared.state().memory.front().cloned() else {
                self.report_disk(None);
                return true;
            };
            match self.store(&batch) {
                Ok(Stored::Yes) => {}
                Ok(Stored::NoRoom) => self.give_up_memory_front(dropped::REASON),
                Err(error) => {
                    self.report_disk(Some(&error));
                    self.shared.appended.notify_one();
                    return false;
                }
            }
            self.shared.appended.notify_one();
        }
    }

    /// What [`SpoolStats::take_losses`] gave is in this batch, and what became of that.
    pub fn told(&mut self, (epoch, seq): (u64, u64), became: Appended) {
        let batch = Some((epoch, seq)).filter(|_| became != Appended::Dropped);
        self.shared.stats.dropped_mut(|dropped| dropped.told(batch));
        self.shared.remember_dropped();
    }

    /// Batches not yet acknowledged.
    pub fn pending(&self) -> u64 {
        self.shared.state().pending()
    }

    pub fn stats(&self) -> Arc<SpoolStats> {
        Arc::clone(&self.shared.stats)
    }
}

impl SpoolWriter {
    fn must_begin(&self) -> bool {
        let given_up = |active: &Active| self.shared.state().active(active.index).is_none();
        self.chain_broken || self.active.as_ref().is_some_and(given_up)
    }

    fn segment_is_full(&self) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let options = &self.shared.options;
        let state = self.shared.state();
        let Some(segment) = state.active(active.index) else {
            return true;
        };
        segment.len >= options.segment_bytes
            || (active.created.elapsed() >= options.segment_age
                && state.pending() >= BACKLOG_BATCHES)
    }

    /// Puts a batch in the queue in memory, which gives up its oldest when it is full.
    fn push(&mut self, batch: SpooledBatch) {
        let mut state = self.shared.state();
        state.own_epoch = Some(batch.epoch);
        state.memory.push_back(batch);
        while state.memory_bytes() > self.shared.options.memory_bytes {
            if let Some(loss) = state.drop_memory(dropped::REASON) {
                self.shared.lose(&state, &loss);
            }
        }
        self.chain_broken = state.memory.is_empty();
    }

    fn give_up_memory_front(&mut self, reason: &'static str) {
        let mut state = self.shared.state();
        if let Some(loss) = state.drop_memory(reason) {
            self.shared.lose(&state, &loss);
        }
        self.chain_broken |= state.memory.is_empty();
    }

    fn drop_new(&mut self, batch: &SpooledBatch, reason: &'static str) -> Appended {
        self.shared.stats.add_loss(&SpoolLoss {
            reason,
            batches: 1,
            bytes: record::length(batch),
            from_unix_ns: batch.built_unix_ns,
            until_unix_ns: batch.built_unix_ns,
        });
        self.chain_broken = true;
        Appended::Dropped
    }

    fn became(&self, id: (u64, u64)) -> Appended {
        let state = self.shared.state();
        if self.chain_broken {
            Appended::Dropped
        } else if state.memory.iter().any(|batch| batch.id() == id) {
            Appended::Memory
        } else {
            Appended::Disk
        }
    }

    /// Writes a batch to the active segment, or to a new one.
    fn store(&mut self, batch: &SpooledBatch) -> io::Result<Stored> {
        let Some(bytes) = record::encode(batch) else {
            return Ok(Stored::NoRoom);
        };
        let has_active = self
            .active
            .as_ref()
            .is_some_and(|active| self.shared.state().active(active.index).is_some());
        // Only after a time without a disk can this be a delta, and then the server has its base: from memory.
        if !has_active || (batch.key && self.segment_is_full()) {
            return self.begin_segment(batch, &bytes);
        }
        if !self.make_room(bytes.len() as u64) {
            if !batch.key {
                return Ok(Stored::NoRoom);
            }
            return self.begin_segment(batch, &bytes);
        }
        self.write_active(batch, &bytes)?;
        Ok(Stored::Yes)
    }

    fn begin_segment(&mut self, batch: &SpooledBatch, bytes: &[u8]) -> io::Result<Stored> {
        self.seal();
        if !self.make_room(bytes.len() as u64) {
            return Ok(Stored::NoRoom);
        }
        let index = self.next_index;
        self.next_index += 1;
        let path = self.shared.segment_path(index);
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        if let Err(error) = (&file).write_all(bytes) {
            self.shared.unlink(&[index]);
            return Err(error);
        }
        let mut state = self.shared.state();
        let segment = Segment::new(index, batch.built_unix_ns);
        state.segments.push_back(segment);
        state.publish(index, batch, self.shared.options.cache_bytes);
        self.shared.stats.set_bytes(state.disk_bytes());
        drop(state);
        self.active = Some(Active {
            index,
            file,
            created: Instant::now(),
        });
        Ok(Stored::Yes)
    }

    /// Nothing more goes into the active segment. It is removed if the reader is already done with it.
    fn seal(&mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        let mut state = self.shared.state();
        if let Some(last) = state.segments.back_mut()
            && last.index == active.index
        {
            last.sealed = true;
        }
        let retired = state.retire();
        self.shared.stats.set_bytes(state.disk_bytes());
        drop(state);
        self.shared.unlink(&retired);
    }

    fn write_active(&mut self, batch: &SpooledBatch, bytes: &[u8]) -> io::Result<()> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        if let Err(error) = (&active.file).write_all(bytes) {
            self.undo_partial_write();
            return Err(error);
        }
        // Not published when the reader gave the segment up meanwhile: the batch is still in memory, for the next one.
        let mut state = self.shared.state();
        state.publish(active.index, batch, self.shared.options.cache_bytes);
        self.shared.stats.set_bytes(state.disk_bytes());
        Ok(())
    }

    /// Cuts off what a failed write left. Where even that fails nothing may follow: what is after a torn record is lost.
    fn undo_partial_write(&mut self) {
        let Some(active) = &self.active else {
            return;
        };
        let len = self.shared.state().active(active.index).map(|s| s.len);
        if len.is_none_or(|len| active.file.set_len(len).is_err()) {
            self.seal();
        }
    }

    /// Evicts whole segments, the oldest first, until `length` more bytes fit.
    fn make_room(&mut self, length: u64) -> bool {
        let limit = self.shared.options.max_bytes;
        let mut evicted = Vec::new();
        let mut state = self.shared.state();
        while state.disk_bytes() + length > limit {
            let Some((index, loss)) = state.evict() else {
                break;
            };
            evicted.push(index);
            self.shared.lose(&state, &loss);
        }
        let fits = state.disk_bytes() + length <= limit;
        self.shared.stats.set_bytes(state.disk_bytes());
        drop(state);
        if !evicted.is_empty() {
            self.shared.remember_dropped();
        }
        self.shared.unlink(&evicted);
        fits
    }

    /// Says once that the disk fails, and once that it works again.
    fn report_disk(&mut self, error: Option<&io::Error>) {
        match error {
            Some(error) if !self.disk_fails => tracing::error!(
                "cannot write to the spool {}: {error}. Batches are kept in memory (up to {} MiB) until it works again; \
                 free some space, or set another --spool-dir",
                self.shared.folder.display(),
                self.shared.options.memory_bytes >> 20,
            ),
            None if self.disk_fails => tracing::info!(
                "the spool {} can be written again",
                self.shared.folder.display()
            ),
            _ => {}
        }
        self.disk_fails = error.is_some();
    }
}
