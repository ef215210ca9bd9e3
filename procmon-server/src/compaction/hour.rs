//! One agent's segments of an hour, as one.

use std::sync::Arc;

use crate::store::segment::{EventSegment, EventWriter, SegmentError, merge_samples};
use crate::store::{SegmentHead, SegmentRow};

const HOUR_MS: i64 = 3_600_000;

/// A segment with its bodies.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) head: SegmentHead,
    pub(super) samples: Vec<u8>,
    pub(super) events: Vec<u8>,
}

/// Files of level 1 that become one of level 2, oldest first: those of one hour of received time, as soon as there is one
/// after them. The next slice goes on from the samples of the last one, and so always finds them in a small segment.
pub(super) fn due(files: &[(u32, u32, i64)]) -> Vec<(u32, u32)> {
    let hour = |file: &(u32, u32, i64)| file.2.div_euclid(HOUR_MS);
    let hours = files.chunk_by(|left, right| hour(left) == hour(right));
    let mut all: Vec<_> = hours.collect();
    // The last one may go on.
    all.pop();
    let names = all.into_iter().filter_map(|files| match files {
        [first, .., last] => Some((first.0, last.1)),
        _ => None,
    });
    names.collect()
}

/// The segments, oldest first, as one; and how many of their bodies could not be read. Events keep so many bytes of each argv.
pub(super) fn merge(
    lower: Vec<Lower>,
    name: (u32, u32),
    argv_bytes: Option<usize>,
) -> Option<(SegmentRow, u64)> {
    let heads: Vec<SegmentHead> = lower.iter().map(|lower| lower.head.clone()).collect();
    let (samples, events): (Vec<_>, Vec<_>) = lower
        .into_iter()
        .map(|lower| (lower.samples, lower.events))
        .unzip();
    let (samples, samples_lost) = merge_readable(samples);
    let (events, summary, events_lost) = merge_events(&heads, &events, argv_bytes);
    let ms = |pick: fn(&SegmentHead) -> i64| heads.iter().map(pick);
    let row = SegmentRow {
        agent_id: Arc::clone(&heads.first()?.agent_id),
        level: 2,
        first_slice: name.0,
        last_slice: name.1,
        first_ms: ms(|head| head.first_ms).min()?,
        last_ms: ms(|head| head.last_ms).max()?,
        received_first_ms: ms(|head| head.received_first_ms).min()?,
        received_last_ms: ms(|head| head.received_last_ms).max()?,
        epochs: epochs(&heads),
        event_count: summary.count,
        event_kinds: summary.kinds,
        first_event_ms: summary.range_ms.map(|range| range.0),
        last_event_ms: summary.range_ms.map(|range| range.1),
        event_places: summary.places,
        samples,
        events,
    };
    Some((row, samples_lost + events_lost))
}

fn epochs(heads: &[SegmentHead]) -> Vec<(u64, u64)> {
    let mut highest = std::collections::BTreeMap::new();
    for (epoch, seq) in heads.iter().flat_map(|head| &head.epochs) {
        let known = highest.entry(*epoch).or_insert(*seq);
        *known = (*known).max(*seq);
    }
    highest.into_iter().collect()
}

/// One that cannot be read is left out, so that the others are kept.
fn merge_readable(samples: Vec<Vec<u8>>) -> (Vec<u8>, u64) {
    if let Ok(merged) = merge_samples(&samples) {
        return (merged, 0);
    }
    let count = samples.len();
    let readable: Vec<_> = samples
        .into_iter()
        .filter(|one| merge_samples(std::slice::from_ref(one)).is_ok())
        .collect();
    let lost = (count - readable.len()) as u64;
    // Each can be read alone, so all can be read together.
    (merge_samples(&readable).unwrap_or_default(), lost.max(1))
}

fn merge_events(
    heads: &[SegmentHead],
    segments: &[Vec<u8>],
    argv_bytes: Option<usize>,
) -> (Vec<u8>, crate::store::segment::EventSummary, u64) {
    let mut writer = EventWriter::of_an_hour(argv_bytes);
    let mut lost = 0;
    for (head, segment) in heads.iter().zip(segments) {
        if let Err(error) = copy_events(segment, &mut writer) {
            lost += 1;
            tracing::error!(
                agent_id = %head.agent_id, slice = head.first_slice, %error,
                "a segment of events cannot be read; what follows in it is lost"
            );
        }
    }
    let (bytes, summary) = writer.finish();
    (bytes, summary, lost)
}

fn copy_events(segment: &[u8], writer: &mut EventWriter) -> Result<(), SegmentError> {
    writer.copy(&EventSegment::open(segment)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_merged_when_it_has_ended_and_has_more_than_one() {
        let file = |slice: u32, minutes: i64| (slice, slice, minutes * 60_000);
        assert!(due(&[]).is_empty());
        assert!(due(&[file(1, 50), file(2, 59)]).is_empty());
        assert_eq!(due(&[file(1, 50), file(2, 59), file(3, 61)]), [(1, 2)]);
        assert!(due(&[file(1, 59), file(2, 61), file(3, 62)]).is_empty());
        let files = [file(1, 59), file(2, 61), file(3, 62), file(9, 300)];
        assert_eq!(due(&files), [(2, 3)]);
    }
}
