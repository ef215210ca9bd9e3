//! What one accepted upload says, in the server's own form: both ways in produce it, the store keeps it, and live state
//! is changed by nothing else. No wire type and no SQL lives here.

mod block_latency;
mod event;
mod life;
mod short_lived;

pub use block_latency::{BUCKETS, BlockLatency, BlockSource, Histogram};
pub use event::{
    Event, EventKind, Exit, KIND_NAMES, Killer, KindSet, Loss, Oom, Operation, SlowIo,
};
pub(crate) use life::lossy;
pub use life::{Credentials, Image, Life};
pub use short_lived::ShortLived;

use std::sync::Arc;

use procmon_common::columns::Column;

/// The changes that one upload makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The handles are given anew; whoever is not listed by the end of the span is gone.
    pub key: bool,
    /// The span goes on with the next batch.
    pub more: bool,
    /// Goes on with the span that the batch before began.
    pub continues: bool,
    pub events: Vec<Event>,
    /// Lives that are new or look different, as they are after `events`, and that did not end in this batch.
    pub lives: Vec<(u32, Arc<Life>)>,
    /// Handles of lives that ended.
    pub ended: Vec<u32>,
    pub frame: Option<Frame>,
    pub totals: Option<Totals>,
}

/// One sample of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The host's clock.
    pub ts_ns: i64,
    pub columns: Vec<ColumnChanges>,
    pub ports: Vec<(u32, Vec<u16>)>,
    pub short_lived: Vec<ShortLived>,
    pub block_latency: Vec<BlockLatency>,
}

/// The changes of one metric: handles ascend, and each value is the difference to the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnChanges {
    pub column: Column,
    pub changes: Vec<(u32, i64)>,
}

/// What the host as a whole has and uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    pub cpus: u32,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    pub swap_total_bytes: u64,
    pub swap_used_bytes: u64,
    pub load_centi: [u32; 3],
    pub cpu_centipercent: Option<u32>,
    pub boot_ns: i64,
}

impl Batch {
    /// Earliest and latest time of an event, in milliseconds by the host's clock.
    pub fn event_range_ms(&self) -> Option<(i64, i64)> {
        let first = self.events.iter().map(|event| event.ts_ns).min()?;
        let last = self.events.iter().map(|event| event.ts_ns).max()?;
        Some((first.div_euclid(1_000_000), last.div_euclid(1_000_000)))
    }

    /// Whether its frame says again what the last sample said: handles can be given anew at any time, and the values that go
    /// with them are no sample. Samples have the totals of the host; uploads, which are all of their own, have none.
    pub fn repeats_a_sample(&self) -> bool {
        let uploaded = self.lives.iter().all(|(_, life)| life.uploaded());
        let is_upload = self.key && !self.more && uploaded;
        (self.key || self.continues) && self.totals.is_none() && !is_upload
    }

    pub fn event_kinds(&self) -> KindSet {
        self.events
            .iter()
            .fold(KindSet::EMPTY, |set, event| set.with(&event.kind))
    }
}
