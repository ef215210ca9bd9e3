//! What is too old or too much: dropped whole, never deleted row by row. Samples go before events where they may; a slice of
//! the log has both, and stays for as long as either is wanted.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::{Catalog, Segments};
use super::part::Part;
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
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub slices: usize,
    pub segments: usize,
    /// Segments of which the samples alone were dropped.
    pub samples: usize,
}

impl Limits {
    /// Time that a slice covers: where little is kept it is dropped in smaller pieces.
    pub(super) fn slice_ms(&self) -> i64 {
        let longest = match (self.samples, self.events) {
            (Some(samples), Some(events)) => samples.max(events),
            _ => return SLICE_MS,
        };
        (millis(longest) / 6).clamp(MIN_SLICE_MS, SLICE_MS)
    }
}

impl Store {
    /// Samples received before are not shown any more, even where they are still kept.
    pub fn samples_since_ms(&self) -> i64 {
        self.since_ms(self.limits.samples)
    }

    /// As [`Store::samples_since_ms`], for events.
    pub fn events_since_ms(&self) -> i64 {
        self.since_ms(self.limits.events)
    }

    fn since_ms(&self, kept: Option<Duration>) -> i64 {
        kept.map_or(i64::MIN, |kept| {
            self.clock.now_ms().saturating_sub(millis(kept))
        })
    }

    /// Drops what is beyond the limits.
    pub async fn expire(&self) -> Result<Expired, StoreError> {
        let (samples_ms, events_ms) = (self.samples_since_ms(), self.events_since_ms());
        self.expire_before(samples_ms, events_ms).await
    }

    /// Drops what was received before. The last slice of the log stays, because its number must not be given again.
    pub async fn expire_before(
        &self,
        samples_ms: i64,
        events_ms: i64,
    ) -> Result<Expired, StoreError> {
        let _order = self.publishing.lock().await;
        let slices = self.old_slices(samples_ms.min(events_ms)).await?;
        let (expired, dropped) = self.shelf.change(|catalog| {
            let mut expired = Expired::default();
            let mut dropped = Vec::new();
            for slice in slices {
                expired.slices += 1;
                dropped.extend(catalog.slices.remove(&slice));
            }
            expire_segments(catalog, (samples_ms, events_ms), &mut expired, &mut dropped);
            (expired, dropped)
        });
        self.shelf.doom(dropped);
        self.shelf.sweep().await;
        self.engine.forget_epochs(samples_ms.min(events_ms)).await?;
        Ok(expired)
    }

    async fn old_slices(&self, before_ms: i64) -> Result<Vec<u32>, StoreError> {
        let view = self.shelf.view();
        let mut old = Vec::new();
        for (number, part) in view.slices.iter().rev().skip(1) {
            let newest = part.newest().await?;
            if newest.is_none_or(|(_, received_ms)| received_ms < before_ms) {
                old.push(*number);
            }
        }
        Ok(old)
    }
}

fn expire_segments(
    catalog: &mut Catalog,
    (samples_ms, events_ms): (i64, i64),
    expired: &mut Expired,
    dropped: &mut Vec<Arc<Part>>,
) {
    catalog.segments.retain(|_, file| {
        let received_ms = file.received_last_ms();
        if received_ms < events_ms && (received_ms < samples_ms || file.samples.is_none()) {
            expired.segments += 1;
            dropped.push(Arc::clone(&file.events));
            dropped.extend(file.samples.clone());
            return false;
        }
        if received_ms < samples_ms && file.samples.is_some() {
            expired.samples += 1;
            let mut without = Segments::clone(file);
            dropped.extend(without.samples.take());
            *file = Arc::new(without);
        }
        true
    });
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
