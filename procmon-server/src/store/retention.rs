//! What is too old or too much: dropped whole, never deleted row by row. Samples go before events where they may; a slice of
//! the log has both, and stays for as long as either is wanted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::{Catalog, Segments};
use super::part::Part;
use super::sizes::Sizes;
use super::writer::SLICE_MS;
use super::{Store, StoreError};

/// The shortest slice, for those who keep little.
const MIN_SLICE_MS: i64 = 10_000;

/// How long, and how much of it, is kept. `None` is without limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub samples: Option<Duration>,
    pub events: Option<Duration>,
    /// Of samples, once they are compacted, and of the log.
    pub sample_bytes: Option<u64>,
    /// Of events, once they are compacted, and of the log.
    pub event_bytes: Option<u64>,
    /// Snapshots of each host; only for a store that ends with the server.
    pub snapshots: Option<u64>,
    /// Bytes of each argv, from its beginning, that events keep once their hour is compacted.
    pub argv_bytes: Option<usize>,
}

/// What [`Limits::argv_bytes`] is unless the operator says otherwise: the lives of a cold build then fit into their budget
/// (decision 11).
pub const ARGV_BYTES: usize = 256;

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub slices: usize,
    pub segments: usize,
    /// Segments of which the samples alone were dropped.
    pub samples: usize,
}

/// What is to be dropped: slices by their number, segments by their first slice.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) slices: BTreeSet<u32>,
    pub(super) segments: BTreeSet<u32>,
    /// The samples alone.
    pub(super) samples: BTreeSet<u32>,
}

impl Limits {
    /// Time that a slice covers: where little is kept it is dropped in smaller pieces.
    pub(super) fn slice_ms(&self) -> i64 {
        match (self.samples, self.events) {
            (Some(samples), Some(events)) => {
                (millis(samples.max(events)) / 6).clamp(MIN_SLICE_MS, SLICE_MS)
            }
            _ => SLICE_MS,
        }
    }
}

impl Store {
    /// Bytes of each argv that events keep once their hour is compacted.
    pub fn argv_bytes(&self) -> Option<usize> {
        self.limits.argv_bytes
    }

    /// Samples received before are not kept for longer than it takes to drop them.
    pub fn samples_since_ms(&self) -> i64 {
        let since_ms = self.since_ms(self.limits.samples);
        let snapshots = self.snapshots.as_ref();
        let counted_ms = snapshots.and_then(|kept| kept.received_since_ms(since_ms));
        counted_ms.map_or(since_ms, |counted_ms| counted_ms.max(since_ms))
    }

    /// Events received before are not shown any more, even where they are still kept.
    pub fn events_since_ms(&self) -> i64 {
        self.since_ms(self.limits.events)
    }

    fn since_ms(&self, kept: Option<Duration>) -> i64 {
        kept.map_or(i64::MIN, |kept| {
            self.clock.now_ms().saturating_sub(millis(kept))
        })
    }

    /// The host's time before which no snapshot of an agent is shown any more, because there are enough newer ones.
    pub fn first_snapshot_ms(&self, agent_id: &str) -> i64 {
        let snapshots = self.snapshots.as_ref();
        let first_ms = snapshots.and_then(|kept| kept.first_ms(agent_id));
        first_ms.unwrap_or(i64::MIN)
    }

    /// Counts a snapshot that was stored.
    pub fn note_snapshot(&self, agent_id: &Arc<str>, taken_ms: i64, received_ms: i64) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.note(agent_id, (taken_ms, received_ms));
        }
    }

    /// Drops what is beyond the limits.
    pub async fn expire(&self) -> Result<Expired, StoreError> {
        let (samples_ms, events_ms) = (self.samples_since_ms(), self.events_since_ms());
        let old = self.expire_before(samples_ms, events_ms).await?;
        let _order = self.publishing.lock().await;
        let sizes = Sizes::measure(&self.shelf.view()).await?;
        self.stats.note_sizes(&sizes);
        let many = self.cut(&sizes.beyond(&self.limits)).await?;
        Ok(Expired {
            slices: old.slices + many.slices,
            segments: old.segments + many.segments,
            samples: old.samples + many.samples,
        })
    }

    /// Drops what was received before. The last slice of the log stays, because its number must not be given again.
    pub async fn expire_before(
        &self,
        samples_ms: i64,
        events_ms: i64,
    ) -> Result<Expired, StoreError> {
        let _order = self.publishing.lock().await;
        let view = self.shelf.view();
        let mut old = Cut::default();
        let before_ms = samples_ms.min(events_ms);
        for (number, part) in view.slices.iter().rev().skip(1) {
            let newest = part.newest().await?;
            if newest.is_none_or(|(_, received_ms)| received_ms < before_ms) {
                old.slices.insert(*number);
            }
        }
        for (first_slice, file) in &view.segments {
            let received_ms = file.received_last_ms();
            let samples_are_old = received_ms < samples_ms;
            if received_ms < events_ms && (samples_are_old || file.samples.is_none()) {
                old.segments.insert(*first_slice);
            } else if samples_are_old && file.samples.is_some() {
                old.samples.insert(*first_slice);
            }
        }
        drop(view);
        let expired = self.cut(&old).await?;
        self.engine.forget_epochs(before_ms).await?;
        Ok(expired)
    }

    /// Drops parts; the caller holds the order of publications.
    async fn cut(&self, cut: &Cut) -> Result<Expired, StoreError> {
        // Written down first, so that a crash in between does not bring back half of it.
        let dropped = take(&mut Catalog::clone(&self.shelf.view()), cut);
        self.engine.retire(&dropped).await?;
        drop(dropped);
        let dropped = self.shelf.change(|catalog| take(catalog, cut));
        self.shelf.doom(dropped);
        self.shelf.sweep().await;
        let expired = Expired {
            slices: cut.slices.len(),
            segments: cut.segments.len(),
            samples: cut.samples.len(),
        };
        self.stats.note_expired(&expired);
        Ok(expired)
    }
}

/// Takes parts out of the catalogue.
fn take(catalog: &mut Catalog, cut: &Cut) -> Vec<Arc<Part>> {
    let mut taken = Vec::new();
    for slice in &cut.slices {
        taken.extend(catalog.slices.remove(slice));
    }
    for first_slice in &cut.segments {
        if let Some(file) = catalog.segments.remove(first_slice) {
            taken.push(Arc::clone(&file.events));
            taken.extend(file.samples.clone());
        }
    }
    for first_slice in &cut.samples {
        if let Some(file) = catalog.segments.get_mut(first_slice) {
            let mut without = Segments::clone(file);
            taken.extend(without.samples.take());
            *file = Arc::new(without);
        }
    }
    taken
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
