//! One agent's batches of one slice, on their way to a segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::segment::{EventWriter, Replay, SampleBuilder, join_parts, resume};
use crate::store::{LogBatch, SegmentRow, format};

/// What was read of them so far: samples and events, already as columns.
#[derive(Debug, Default)]
pub(super) struct AgentSlice {
    slice: u32,
    replay: Replay,
    builder: SampleBuilder,
    parts: Vec<Vec<u8>>,
    events: EventWriter,
    epochs: BTreeMap<u64, u64>,
    host_ms: Option<(i64, i64)>,
    received_ms: Option<(i64, i64)>,
    pub(super) unreadable: u64,
    has_samples: bool,
}

fn widen(range: &mut Option<(i64, i64)>, value: i64) {
    *range = Some(range.map_or((value, value), |(low, high)| {
        (low.min(value), high.max(value))
    }));
}

impl AgentSlice {
    /// Goes on where the samples of the segment before ended. An error when those cannot be read: what handles name is then
    /// known from the next key batch on.
    pub(super) fn begin(slice: u32, before: &[u8]) -> (Self, Result<(), String>) {
        let (resumed, outcome) = match resume(before) {
            Ok(resumed) => (resumed, Ok(())),
            Err(error) => (Default::default(), Err(error.to_string())),
        };
        let (replay, builder) = resumed;
        let state = Self {
            slice,
            replay,
            builder,
            ..Self::default()
        };
        (state, outcome)
    }

    pub(super) fn add(&mut self, agent_id: &str, rows: &[LogBatch]) {
        for row in rows {
            let seq = self.epochs.entry(row.epoch).or_default();
            *seq = row.seq.max(*seq);
            widen(&mut self.received_ms, row.received_ms);
            match format::decode(&row.body) {
                Ok(batch) => self.take(row, &batch),
                Err(error) => {
                    self.unreadable += 1;
                    tracing::error!(
                        agent_id, slice = self.slice, batch = row.id, %error,
                        "a stored batch cannot be read; what it says is lost with its slice"
                    );
                }
            }
        }
    }

    fn take(&mut self, row: &LogBatch, batch: &crate::batch::Batch) {
        if let Some(frame) = &batch.frame {
            widen(&mut self.host_ms, frame.ts_ns.div_euclid(1_000_000));
        }
        self.replay
            .apply(batch, row.epoch, row.seq, &mut self.builder);
        self.events
            .push(self.slice, row.id, row.received_ms, &batch.events);
        self.has_samples |= batch.frame.is_some() || !batch.lives.is_empty();
        if self.builder.is_full() {
            self.end_part();
        }
    }

    fn end_part(&mut self) {
        let part = std::mem::take(&mut self.builder).finish(&self.replay);
        // What was just written is readable, or nothing would be.
        let resumed = resume(&join_parts(std::slice::from_ref(&part)));
        (self.replay, self.builder) = resumed.unwrap_or_default();
        self.parts.push(part);
    }

    pub(super) fn finish(mut self, agent_id: Arc<str>) -> SegmentRow {
        if self.has_samples && !self.builder.is_empty() || self.parts.is_empty() {
            self.parts.push(self.builder.finish(&self.replay));
        }
        let (events, summary) = self.events.finish();
        if let Some((first_ms, last_ms)) = summary.range_ms {
            widen(&mut self.host_ms, first_ms);
            widen(&mut self.host_ms, last_ms);
        }
        let received_ms = self.received_ms.unwrap_or((0, 0));
        let host_ms = self.host_ms.unwrap_or(received_ms);
        SegmentRow {
            agent_id,
            level: 1,
            first_slice: self.slice,
            last_slice: self.slice,
            first_ms: host_ms.0,
            last_ms: host_ms.1,
            received_first_ms: received_ms.0,
            received_last_ms: received_ms.1,
            epochs: self.epochs.into_iter().collect(),
            event_count: summary.count,
            event_kinds: summary.kinds,
            first_event_ms: summary.range_ms.map(|range| range.0),
            last_event_ms: summary.range_ms.map(|range| range.1),
            event_places: summary.places,
            samples: join_parts(&self.parts),
            events,
        }
    }
}
