//! Event segments. Events stay in order of arrival, with the places in the log that cursors name. They are cut into blocks
//! of some 4 096 lives, each self-contained but for the strings; a block is a table of batches, one of events, one of the
//! lives that they are about, and one for each kind that says more, with a frame per column. The index has of each block
//! what a query may rule it out by.

mod copy;
mod digest;
mod exit;
mod kinds;
mod query;
mod read;
mod ticks;
mod write;

pub use digest::EventDigest;
pub use query::{ExitBounds, FoundEvents, Wanted, decode_events};
pub use read::BatchEvents;
pub use read::EventSegment;
pub use write::{EventSummary, EventWriter};

use super::container::Magic;

const MAGIC: Magic = *b"PME1";
/// 2: columns of numbers may be packed.
const VERSION: u8 = 2;

/// Numbers of sections, for ever.
mod section {
    pub(super) const WORDS: u64 = 1;
    pub(super) const ARGUMENTS: u64 = 2;
    pub(super) const ARGUMENT_CHUNKS: u64 = 3;
    pub(super) const INDEX: u64 = 4;
    pub(super) const BLOCKS: u64 = 5;
    /// Name dictionary: which words are names of processes.
    pub(super) const NAMES: u64 = 6;
}

/// Tables of a block, in this order: none is ever taken away, and new ones come after.
mod table {
    pub(super) const BATCHES: usize = 0;
    pub(super) const EVENTS: usize = 1;
    pub(super) const LIVES: usize = 2;
    pub(super) const EXITS: usize = 3;
    pub(super) const SLOW_IO: usize = 4;
    pub(super) const LOSSES: usize = 5;
    pub(super) const OOMS: usize = 6;
    pub(super) const COUNT: usize = 7;
}

/// Numbers of columns, by table, for ever. Those of [`super::format::column`] hold for what kinds of events say more.
mod column {
    pub(super) mod index {
        pub(in super::super) const EVENTS: u64 = 1;
        pub(in super::super) const BYTES: u64 = 2;
        pub(in super::super) const FIRST_SLICE: u64 = 3;
        pub(in super::super) const LAST_SLICE: u64 = 4;
        pub(in super::super) const FIRST_BATCH: u64 = 5;
        pub(in super::super) const LAST_BATCH: u64 = 6;
        /// Bits of `KindSet`.
        pub(in super::super) const KINDS: u64 = 7;
        pub(in super::super) const FIRST_MS: u64 = 8;
        pub(in super::super) const LAST_MS: u64 = 9;
        /// Arguments that were numbered before.
        pub(in super::super) const ARGUMENTS: u64 = 10;
        /// Of exits: lowest and highest code and signal, + 1, and the longest life in milliseconds.
        pub(in super::super) const LOWEST_CODE: u64 = 11;
        pub(in super::super) const HIGHEST_CODE: u64 = 12;
        pub(in super::super) const LOWEST_SIGNAL: u64 = 13;
        pub(in super::super) const HIGHEST_SIGNAL: u64 = 14;
        pub(in super::super) const LONGEST_MS: u64 = 15;
    }

    pub(super) mod batch {
        pub(in super::super) const EVENTS: u64 = 1;
        pub(in super::super) const SLICE: u64 = 2;
        pub(in super::super) const ID: u64 = 3;
        pub(in super::super) const RECEIVED_MS: u64 = 4;
    }

    pub(super) mod event {
        pub(in super::super) const KIND: u64 = 1;
        pub(in super::super) const TS_NS: u64 = 2;
        /// 0: none; 1: the next row of the lives; 2 and more: one of the rows whose life has not ended, from the newest.
        pub(in super::super) const LIFE: u64 = 3;
        /// Added to the kind.
        pub(in super::super) const SAMPLED: u64 = 128;
    }
}

/// The rows of lives that events of a block may go on to refer to: an exit takes its row out, and another row of the same
/// life takes the place of the one before. Reader and writer keep it alike.
#[derive(Debug, Default)]
struct OpenRows(Vec<u32>);

impl OpenRows {
    fn add(&mut self, row: u32, prior: u32) {
        if prior > 0 {
            self.remove(row - prior);
        }
        self.0.push(row);
    }

    fn remove(&mut self, row: u32) {
        if let Ok(index) = self.0.binary_search(&row) {
            self.0.remove(index);
        }
    }

    /// How many open rows are newer.
    fn rank(&self, row: u32) -> Option<usize> {
        let index = self.0.binary_search(&row).ok()?;
        Some(self.0.len() - 1 - index)
    }

    fn at(&self, rank: usize) -> Option<u32> {
        let index = self.0.len().checked_sub(rank.checked_add(1)?)?;
        self.0.get(index).copied()
    }
}

#[cfg(test)]
mod tests;
