//! What the parts take on the disk, and which of them are beyond a cap: the oldest.

use super::StoreError;
use super::catalog::Catalog;
use super::retention::{Cut, Limits};

/// Bytes of every part, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// By number; the last one is never dropped.
    slices: Vec<(u32, u64)>,
    /// By first slice: events with heads, and samples.
    segments: Vec<(u32, u64, u64)>,
}

impl Sizes {
    pub(super) async fn measure(catalog: &Catalog) -> Result<Self, StoreError> {
        let mut sizes = Self::default();
        for (number, part) in &catalog.slices {
            sizes.slices.push((*number, part.bytes().await?));
        }
        for (first_slice, file) in &catalog.segments {
            let samples = match &file.samples {
                Some(samples) => samples.bytes().await?,
                None => 0,
            };
            let events = file.events.bytes().await?;
            sizes.segments.push((*first_slice, events, samples));
        }
        Ok(sizes)
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.slices.iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn event_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, events, _)| events).sum()
    }

    pub(super) fn sample_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, _, samples)| samples).sum()
    }

    /// What must go for each kind to fit under its cap with the log. Only when segments are not enough the log itself goes.
    pub(super) fn beyond(&self, limits: &Limits) -> Cut {
        let mut cut = Cut::default();
        let log_bytes = self.log_bytes();
        let mut samples_over = over(log_bytes + self.sample_bytes(), limits.sample_bytes);
        let mut events_over = over(log_bytes + self.event_bytes(), limits.event_bytes);
        for (first_slice, events, samples) in &self.segments {
            if events_over > 0 {
                events_over = events_over.saturating_sub(*events);
                samples_over = samples_over.saturating_sub(*samples);
                cut.segments.insert(*first_slice);
            } else if samples_over > 0 && *samples > 0 {
                samples_over = samples_over.saturating_sub(*samples);
                cut.samples.insert(*first_slice);
            }
        }
        let mut log_over = samples_over.max(events_over);
        let closed = self.slices.len().saturating_sub(1);
        for (number, bytes) in &self.slices[..closed] {
            if log_over > 0 {
                log_over = log_over.saturating_sub(*bytes);
                cut.slices.insert(*number);
            }
        }
        cut
    }
}

fn over(bytes: u64, cap: Option<u64>) -> u64 {
    cap.map_or(0, |cap| bytes.saturating_sub(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        Sizes {
            slices: vec![(5, 10), (6, 10), (7, 10)],
            segments: vec![(1, 20, 100), (3, 20, 100)],
        }
    }

    fn cut(sample_bytes: Option<u64>, event_bytes: Option<u64>) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let cut = sizes().beyond(&Limits {
            sample_bytes,
            event_bytes,
            ..Limits::default()
        });
        let list = |set: std::collections::BTreeSet<u32>| set.into_iter().collect();
        (list(cut.slices), list(cut.segments), list(cut.samples))
    }

    #[test]
    fn the_oldest_go_first_and_samples_before_events() {
        assert_eq!(cut(None, None), (vec![], vec![], vec![]));
        assert_eq!(cut(Some(230), Some(70)), (vec![], vec![], vec![]));
        assert_eq!(cut(Some(229), None), (vec![], vec![], vec![1]));
        assert_eq!(cut(Some(100), None), (vec![], vec![], vec![1, 3]));
        assert_eq!(cut(None, Some(69)), (vec![], vec![1], vec![]));
        // Its samples went with the events: no more have to.
        assert_eq!(cut(Some(130), Some(69)), (vec![], vec![1], vec![]));
        assert_eq!(cut(Some(25), None), (vec![5], vec![], vec![1, 3]));
        assert_eq!(cut(Some(0), None), (vec![5, 6], vec![], vec![1, 3]));
    }
}
