//! The shipping side: gives out the batches in order, and forgets those that are answered for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::record::{self, At, Found};
use super::state::{Held, Next, Position};
use super::{Shared, SpoolStats, SpooledBatch, quarantine};

const POSITION_FILE: &str = "acked";
const POSITION_BYTES: usize = 20;

/// The one reader.
#[derive(Debug)]
pub struct SpoolReader {
    shared: Arc<Shared>,
    held: Option<SpooledBatch>,
    open: Option<(u64, File)>,
    position_file: Option<File>,
}

impl SpoolReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let position_file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(shared.folder.join(POSITION_FILE))
            .inspect_err(|error| {
                tracing::warn!(
                    "cannot remember what is acknowledged: {error}; a restart sends it again"
                );
            })
            .ok();
        Self {
            shared,
            held: None,
            open: None,
            position_file,
        }
    }

    /// The oldest batch that is not answered for; waits for one. The same batch until [`SpoolReader::ack`] or
    /// [`SpoolReader::quarantine`]. Can be cancelled without losing anything.
    pub async fn next(&mut self) -> SpooledBatch {
        loop {
            if let Some(batch) = self.try_next() {
                return batch;
            }
            let shared = Arc::clone(&self.shared);
            // A batch appended since `try_next` has left its permit.
            shared.appended.notified().await;
        }
    }

    /// As [`SpoolReader::next`]; `None` when there is none now. Reads at most one record, most often from memory.
    pub fn try_next(&mut self) -> Option<SpooledBatch> {
        if self.held.is_some() {
            return self.held.clone();
        }
        loop {
            let next = self.shared.state().next();
            let (batch, place) = match next {
                Next::Nothing => return None,
                Next::Ready { batch, place } => (batch, place),
                Next::OnDisk { at, limit } => match self.read(at, limit) {
                    Some(found) => found,
                    None => continue,
                },
            };
            if self.shared.state().is_done(batch.id()) {
                self.finish(batch.id(), place, batch.built_unix_ns);
                continue;
            }
            self.shared.state().held = Some(Held {
                id: batch.id(),
                place,
                built_unix_ns: batch.built_unix_ns,
            });
            self.held = Some(batch.clone());
            return Some(batch);
        }
    }

    /// The batches of `epoch` up to `seq` are stored by the server: they are not given out again.
    pub fn ack(&mut self, epoch: u64, seq: u64) {
        let mut state = self.shared.state();
        if !state.is_done((epoch, seq)) {
            state.done = Some((epoch, seq));
        }
        let held = state.held.filter(|held| state.is_done(held.id));
        if held.is_some() {
            state.held = None;
        }
        drop(state);
        if let Some(held) = held {
            self.held = None;
            self.finish(held.id, held.place, held.built_unix_ns);
            self.shared
                .stats
                .dropped_mut(|dropped| dropped.acknowledged((epoch, seq)));
            self.shared.remember_dropped();
        }
    }

    /// Whether batches of this epoch are still being written.
    pub fn is_of_this_run(&self, epoch: u64) -> bool {
        self.shared.state().own_epoch == Some(epoch)
    }

    /// Sets the batch last given out aside, because the server will never take it, and counts it as lost.
    pub fn quarantine(&mut self) {
        let Some(batch) = self.held.clone() else {
            return;
        };
        if let Err(error) = quarantine::keep(&self.shared.folder, &batch) {
            tracing::warn!("cannot keep the refused batch for inspection: {error:#}");
        }
        self.shared.stats.add_loss(&super::SpoolLoss {
            reason: "refused",
            batches: 1,
            bytes: record::length(&batch),
            from_unix_ns: batch.built_unix_ns,
            until_unix_ns: batch.built_unix_ns,
        });
        self.shared
            .stats
            .dropped_mut(|dropped| dropped.gone(batch.id(), None));
        self.ack(batch.epoch, batch.seq);
    }

    /// Batches not yet acknowledged.
    pub fn pending(&self) -> u64 {
        self.shared.state().pending()
    }

    pub fn stats(&self) -> Arc<SpoolStats> {
        Arc::clone(&self.shared.stats)
    }
}

impl SpoolReader {
    /// Moves on after a batch, remembers that on disk, and removes the segments that are finished.
    fn finish(&mut self, id: (u64, u64), place: Option<(u64, u64)>, built_unix_ns: i64) {
        let mut state = self.shared.state();
        if state.memory.front().is_some_and(|batch| batch.id() == id) {
            state.memory.pop_front();
        }
        if let Some(place) = place {
            state.take_disk(place, built_unix_ns);
        }
        state.last_taken_unix_ns = Some(built_unix_ns);
        let cursor = state.cursor;
        let retired = state.retire();
        self.shared.stats.set_bytes(state.disk_bytes());
        drop(state);
        if let Some(file) = &self.position_file {
            // A failure costs that a restart sends batches again, which the server recognises.
            let _ = file.write_all_at(&encode_position(cursor), 0);
        }
        self.shared.unlink(&retired);
    }

    /// Reads the record at the cursor from the disk. `None`: it is gone or damaged, and the state knows.
    fn read(&mut self, at: Position, limit: u64) -> Option<(SpooledBatch, Option<(u64, u64)>)> {
        match self.read_record(at, limit) {
            Ok(Found::Record(batch)) => {
                let end = at.offset + record::length(&batch);
                return Some((batch, Some((at.segment, end))));
            }
            Ok(_) => tracing::error!("{} is damaged", self.path(at.segment).display()),
            Err(error) => {
                tracing::error!("cannot read {}: {error}", self.path(at.segment).display());
            }
        }
        self.give_up(at.segment);
        None
    }

    fn read_record(&mut self, at: Position, limit: u64) -> std::io::Result<Found> {
        if self
            .open
            .as_ref()
            .is_none_or(|(index, _)| *index != at.segment)
        {
            self.open = Some((at.segment, File::open(self.path(at.segment))?));
        }
        let Some((_, file)) = &self.open else {
            return Ok(Found::End);
        };
        let mut source = At {
            file,
            offset: at.offset,
        };
        record::read(&mut source, limit - at.offset)
    }

    /// Counts the rest of a segment as lost, unless it was evicted (and counted) in the meantime.
    fn give_up(&mut self, index: u64) {
        self.open = None;
        let mut state = self.shared.state();
        let loss = state.abandon(index);
        if let Some(loss) = &loss {
            self.shared.lose(&state, loss);
        }
        self.shared.stats.set_bytes(state.disk_bytes());
        drop(state);
        if loss.is_some() {
            let path = self.path(index);
            let _ = std::fs::rename(&path, path.with_extension("corrupt"));
        }
    }

    fn path(&self, index: u64) -> PathBuf {
        self.shared.segment_path(index)
    }
}

fn encode_position(position: Position) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The position of the run before; the start where there is none, or none that can be trusted.
pub(super) fn stored_position(folder: &std::path::Path) -> Position {
    let Ok(bytes) = std::fs::read(folder.join(POSITION_FILE)) else {
        return Position::default();
    };
    let Ok(bytes) = <[u8; POSITION_BYTES]>::try_from(bytes.as_slice()) else {
        return Position::default();
    };
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let position = Position {
        segment: word(0),
        offset: word(8),
    };
    if encode_position(position) == bytes {
        position
    } else {
        Position::default()
    }
}
