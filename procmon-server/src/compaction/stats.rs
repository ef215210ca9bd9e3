//! Totals since start, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What compaction has done. What waits for it, the store knows.
#[derive(Debug, Default)]
pub struct CompactionStats {
    /// Segments written, by level.
    pub segments: [AtomicU64; 2],
    /// Their bytes, by level.
    pub bytes: [AtomicU64; 2],
    /// Time spent, by level.
    pub nanos: [AtomicU64; 2],
    pub failures: AtomicU64,
    pub unreadable_batches: AtomicU64,
    pub unreadable_segments: AtomicU64,
}

impl CompactionStats {
    pub(super) fn wrote(&self, level: u8, bytes: usize) {
        let index = usize::from(level.clamp(1, 2) - 1);
        self.segments[index].fetch_add(1, Ordering::Relaxed);
        self.bytes[index].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn took(&self, level: u8, time: Duration) {
        let index = usize::from(level.clamp(1, 2) - 1);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos[index].fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}
