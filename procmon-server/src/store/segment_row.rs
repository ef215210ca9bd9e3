//! What compaction puts into the store, and what it gets back: one row per agent and stretch of the log.

use std::sync::Arc;

use super::StoreError;
use super::catalog::Segments;

/// An agent's samples and events of some slices of the log, as `segment` encodes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentRow {
    pub agent_id: Arc<str>,
    /// 1: one slice of the log; 2: an hour.
    pub level: u8,
    pub first_slice: u32,
    pub last_slice: u32,
    /// Host time of the samples and events inside, in milliseconds.
    pub first_ms: i64,
    pub last_ms: i64,
    pub received_first_ms: i64,
    pub received_last_ms: i64,
    /// Each epoch and its highest number: a batch that comes again is known after its slice is gone.
    pub epochs: Vec<(u64, u64)>,
    pub event_count: u32,
    /// Bits of [`crate::batch::KindSet`].
    pub event_kinds: u32,
    pub first_event_ms: Option<i64>,
    pub last_event_ms: Option<i64>,
    /// Slice and row of the first and the last batch with events.
    pub event_places: Option<((u32, i64), (u32, i64))>,
    /// Empty when there are none.
    pub samples: Vec<u8>,
    /// Empty when there are none.
    pub events: Vec<u8>,
}

/// A segment without its bodies. While it is held, its bodies can be read, even when it was replaced meanwhile.
#[derive(Clone, Debug)]
pub struct SegmentHead {
    pub agent_id: Arc<str>,
    pub level: u8,
    pub first_slice: u32,
    pub last_slice: u32,
    pub first_ms: i64,
    pub last_ms: i64,
    pub received_first_ms: i64,
    pub received_last_ms: i64,
    pub epochs: Vec<(u64, u64)>,
    pub event_count: u32,
    pub event_kinds: u32,
    pub first_event_ms: Option<i64>,
    pub last_event_ms: Option<i64>,
    /// 0 when there are none, or when they are no longer kept.
    pub samples_bytes: u64,
    pub events_bytes: u64,
    pub(super) file: Arc<Segments>,
}

/// The columns of a segment as they are stored.
#[derive(Debug)]
pub(super) struct SegmentColumns {
    pub(super) agent_id: Arc<str>,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) received_first_ms: i64,
    pub(super) received_last_ms: i64,
    pub(super) epochs: Vec<(u64, u64)>,
    pub(super) event_count: u32,
    pub(super) event_kinds: u32,
    pub(super) first_event_ms: Option<i64>,
    pub(super) last_event_ms: Option<i64>,
    pub(super) samples_bytes: u64,
    pub(super) events_bytes: u64,
    /// Not known of segments that were written before it was noted.
    pub(super) event_places: Option<((u32, i64), (u32, i64))>,
}

impl SegmentColumns {
    pub(super) fn into_head(self, file: &Arc<Segments>) -> SegmentHead {
        SegmentHead {
            agent_id: self.agent_id,
            level: file.level,
            first_slice: file.first_slice,
            last_slice: file.last_slice,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            received_first_ms: self.received_first_ms,
            received_last_ms: self.received_last_ms,
            epochs: self.epochs,
            event_count: self.event_count,
            event_kinds: self.event_kinds,
            first_event_ms: self.first_event_ms,
            last_event_ms: self.last_event_ms,
            samples_bytes: file.samples.as_ref().map_or(0, |_| self.samples_bytes),
            events_bytes: self.events_bytes,
            file: Arc::clone(file),
        }
    }
}

pub(super) fn write_epochs(epochs: &[(u64, u64)]) -> Vec<u8> {
    epochs
        .iter()
        .flat_map(|(epoch, seq)| [epoch.to_be_bytes(), seq.to_be_bytes()])
        .flatten()
        .collect()
}

pub(super) fn read_epochs(bytes: &[u8]) -> Result<Vec<(u64, u64)>, StoreError> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let (pairs, odd) = numbers.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() {
        return Err(StoreError::Failed(
            "the epochs of a segment cannot be read".to_owned(),
        ));
    }
    let number = |bytes: [u8; 8]| u64::from_be_bytes(bytes);
    Ok(pairs
        .iter()
        .map(|[epoch, seq]| (number(*epoch), number(*seq)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_round_trip_and_odd_bytes_are_refused() {
        let epochs = vec![(1, 2), (u64::MAX, 0)];
        let bytes = write_epochs(&epochs);
        assert_eq!(read_epochs(&bytes).expect("readable"), epochs);
        assert!(read_epochs(&bytes[..24]).is_err());
        assert!(read_epochs(&bytes[..31]).is_err());
    }
}
