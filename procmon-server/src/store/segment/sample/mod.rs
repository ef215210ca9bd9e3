//! Sample segments. A segment is one or more *parts*, each self-contained, of samples that follow each other.
//!
//! Of a part, the processes are sorted by their start and cut into groups of some 4 000 changed rows. A group is one
//! stream of gaps (which samples of which process changed at all), shared by all columns, and for each column the
//! differences in those rows: one compressed frame each. What did not change is nowhere.

mod build;
mod carried;
mod carry;
mod interval;
mod merge;
mod query;
mod read;
mod resume;
mod rows;
mod share;
mod totals;
mod write;

pub use build::SampleBuilder;
pub use carried::{Carried, CarriedLife, carried};
pub use merge::merge_samples;
pub use query::{SegmentLatency, decode_block_latencies, decode_samples, decode_totals};
pub use resume::resume;

use std::cmp::Ordering;

use procmon_common::ids::{ProcessId, Start};

use super::SegmentError;
use super::container::Magic;
use crate::batch::{BlockLatency, ShortLived};
use crate::store::format::bytes::{Reader, put};

const MAGIC: Magic = *b"PMS1";
/// 2: columns of numbers may be packed.
const VERSION: u8 = 2;

/// Numbers of sections, for ever.
mod section {
    pub(super) const TIMES: u64 = 1;
    pub(super) const PROCESSES: u64 = 2;
    pub(super) const LIVES: u64 = 3;
    pub(super) const WORDS: u64 = 4;
    pub(super) const ARGUMENTS: u64 = 5;
    pub(super) const ARGUMENT_CHUNKS: u64 = 6;
    pub(super) const GROUPS: u64 = 7;
    pub(super) const FRAMES: u64 = 8;
    pub(super) const PORTS: u64 = 9;
    pub(super) const SHORT_LIVED: u64 = 10;
    pub(super) const BLOCK_LATENCY: u64 = 11;
    pub(super) const CARRY: u64 = 12;
    pub(super) const RANGES: u64 = 13;
}

/// Numbers of columns, by section, for ever. Those of [`super::format::column`] hold for short-lived processes and
/// block latencies.
mod column {
    pub(super) mod times {
        /// How much later than the one before, less how much later that was.
        pub(in super::super) const SAMPLE_MS: u64 = 1;
        /// Whether the host's totals are known; they follow in `totals.rs`.
        pub(in super::super) const TOTALS: u64 = 2;
        pub(in super::super) const FIRST_TOTAL: u64 = 3;
    }

    pub(super) mod process {
        /// Lives after the first.
        pub(in super::super) const MORE_LIVES: u64 = 1;
        pub(in super::super) const FIRST: u64 = 2;
        /// Samples after it ended.
        pub(in super::super) const AFTER: u64 = 3;
        /// Changed rows.
        pub(in super::super) const ROWS: u64 = 4;
        /// Of each life after the first: samples since the one before.
        pub(in super::super) const SINCE: u64 = 5;
    }

    pub(super) mod group {
        pub(in super::super) const PROCESSES: u64 = 1;
        pub(in super::super) const ROWS: u64 = 2;
        /// Bytes of the gaps.
        pub(in super::super) const GAPS: u64 = 3;
        /// Bytes of the gaps and of all frames.
        pub(in super::super) const BYTES: u64 = 4;
        /// + the number of a sampled column: bytes of its frame, 0 for none.
        pub(in super::super) const FIRST_SIZE: u64 = 1 << 8;
        /// + the number of a sampled column: the highest value, + 1.
        pub(in super::super) const FIRST_MAX: u64 = 1 << 9;
    }

    pub(super) mod ports {
        pub(in super::super) const PROCESS: u64 = 1;
        pub(in super::super) const SAMPLE: u64 = 2;
        /// 0 for unknown, or the number of ports + 1.
        pub(in super::super) const COUNT: u64 = 3;
        pub(in super::super) const PORT: u64 = 4;
    }

    pub(super) mod ranges {
        pub(in super::super) const COLUMN: u64 = 1;
        pub(in super::super) const LOWEST: u64 = 2;
        pub(in super::super) const HIGHEST: u64 = 3;
    }
}

/// What a sample says of the time since the one before, beyond the processes; a process by its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Interval {
    ShortLived(u32, ShortLived),
    BlockLatency(u32, BlockLatency, Option<u32>),
}

/// Processes are sorted by start within a boot, so that alike ones lie together and merging is a walk.
type Order = (u8, u32, i64, u32);

fn order_of(id: Option<ProcessId>) -> Order {
    match id.map(|id| (id.pid, id.start)) {
        Some((pid, Start::Booted { ticks, boot })) => (0, boot, ticks as i64, pid),
        Some((pid, Start::Upload { first_seen_ms })) => (1, 0, first_seen_ms, pid),
        None => (2, 0, 0, 0),
    }
}

/// Parts as one segment.
pub fn join_parts(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 5).sum());
    put(&mut out, parts.len() as u64);
    for part in parts {
        put(&mut out, part.len() as u64);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The parts of a segment, in order of time.
fn split_parts(bytes: &[u8]) -> Result<Vec<&[u8]>, SegmentError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let count = reader.count()?;
    let mut lengths = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        lengths.push(usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?);
    }
    let parts = lengths.into_iter().map(|length| Ok(reader.take(length)?));
    parts.collect()
}

/// Stored values (value + 1, 0 unknown) by height.
fn higher(left: u64, right: u64) -> u64 {
    match left.cmp(&right) {
        Ordering::Less => right,
        _ => left,
    }
}

#[cfg(test)]
pub(super) mod tests;
