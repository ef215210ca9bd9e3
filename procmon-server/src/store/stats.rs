//! What the store counts and measures, for the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Store;
use super::retention::Expired;
use super::sizes::Sizes;

/// Totals since start, and what was measured last.
#[derive(Debug, Default)]
pub struct StoreStats {
    pub commits: AtomicU64,
    pub commit_nanos: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub failures: AtomicU64,
    pub published: AtomicU64,
    pub publish_nanos: AtomicU64,
    pub expired_slices: AtomicU64,
    pub expired_segments: AtomicU64,
    pub expired_samples: AtomicU64,
    /// On the disk, measured every minute.
    pub log_bytes: AtomicU64,
    pub event_bytes: AtomicU64,
    pub sample_bytes: AtomicU64,
    /// Segments of events that were opened for a question, and blocks of theirs: looked at, and decoded.
    pub event_segments_opened: AtomicU64,
    pub event_blocks_scanned: AtomicU64,
    pub event_blocks_decoded: AtomicU64,
    pub(super) stopped: AtomicBool,
}

/// How many parts there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Of the log.
    pub slices: usize,
    /// Of those, complete ones that wait to be compacted.
    pub closed_slices: usize,
    /// Level, and how many segments cover that much.
    pub segments: Vec<(u8, usize)>,
    /// Parts that are no longer shown, and wait for their last reader.
    pub leaving: usize,
}

impl StoreStats {
    pub(super) fn note_sizes(&self, sizes: &Sizes) {
        for (gauge, bytes) in [
            (&self.log_bytes, sizes.log_bytes()),
            (&self.event_bytes, sizes.event_bytes()),
            (&self.sample_bytes, sizes.sample_bytes()),
        ] {
            gauge.store(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn note_event_blocks(&self, scanned: u64, decoded: u64) {
        self.event_blocks_scanned
            .fetch_add(scanned, Ordering::Relaxed);
        self.event_blocks_decoded
            .fetch_add(decoded, Ordering::Relaxed);
    }

    pub(super) fn note_expired(&self, expired: &Expired) {
        for (counter, count) in [
            (&self.expired_slices, expired.slices),
            (&self.expired_segments, expired.segments),
            (&self.expired_samples, expired.samples),
        ] {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

impl Store {
    pub fn contents(&self) -> Contents {
        let catalog = self.shelf.view();
        let mut segments = std::collections::BTreeMap::new();
        for file in catalog.segments.values() {
            *segments.entry(file.level).or_default() += 1;
        }
        Contents {
            slices: catalog.slices.len(),
            closed_slices: catalog.closed_slices().len(),
            segments: segments.into_iter().collect(),
            leaving: self.shelf.doomed_count(),
        }
    }
}
