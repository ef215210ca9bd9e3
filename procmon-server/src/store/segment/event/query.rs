//! A page of events: blocks that cannot have what a query asks for stay compressed.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::read::{BatchEvents, BlockHead, EventSegment};
use crate::store::segment::SegmentError;
use crate::store::{EventQuery, StoredEvents};

/// Which batches of a segment.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub query: &'a EventQuery,
    /// Slice and row of the first and last one.
    pub range: RangeInclusive<(u32, i64)>,
    pub newest_first: bool,
    /// Batches at most.
    pub limit: usize,
    /// What was received before is no longer shown.
    pub kept_since_ms: i64,
    pub exits: ExitBounds,
}

/// What exits must have, for blocks that have none such to be passed over; batches are not looked at for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitBounds {
    pub code: Option<u32>,
    pub signal: Option<u32>,
    pub min_lived_ms: Option<u64>,
}

impl ExitBounds {
    fn may_be_in(&self, head: &BlockHead) -> bool {
        let within = |(lowest, highest): (u64, u64), wanted: Option<u32>| {
            wanted.is_none_or(|wanted| (lowest..=highest).contains(&(u64::from(wanted) + 1)))
        };
        within(head.code, self.code)
            && within(head.signal, self.signal)
            && self
                .min_lived_ms
                .is_none_or(|wanted| head.longest_ms >= wanted)
    }
}

/// Batches with an event of a wanted kind in the wanted time; all events of such a batch, as the log gives them.
pub fn decode_events(
    segment: &[u8],
    agent_id: &Arc<str>,
    wanted: &Wanted<'_>,
) -> Result<Vec<StoredEvents>, SegmentError> {
    let segment = EventSegment::open(segment)?;
    let mut found = Vec::new();
    let mut take = |head: &BlockHead| -> Result<bool, SegmentError> {
        if !may_have(head, wanted) {
            return Ok(false);
        }
        let mut batches = segment.block(head)?;
        if wanted.newest_first {
            batches.reverse();
        }
        let batches = batches.into_iter();
        found.extend(
            batches
                .filter(|batch| is_wanted(batch, wanted))
                .map(|batch| StoredEvents {
                    slice: batch.slice,
                    batch: batch.batch,
                    agent_id: Arc::clone(agent_id),
                    received_ms: batch.received_ms,
                    events: batch.events,
                }),
        );
        found.truncate(wanted.limit);
        Ok(found.len() == wanted.limit)
    };
    let mut forward = segment.blocks.iter();
    let mut backward = segment.blocks.iter().rev();
    let heads: &mut dyn Iterator<Item = &BlockHead> = if wanted.newest_first {
        &mut backward
    } else {
        &mut forward
    };
    for head in heads {
        if take(head)? {
            break;
        }
    }
    Ok(found)
}

/// Whether a segment may have anything for a query, by its index alone.
pub fn has_events(segment: &[u8], wanted: &Wanted<'_>) -> Result<bool, SegmentError> {
    let segment = EventSegment::open(segment)?;
    Ok(segment.blocks.iter().any(|head| may_have(head, wanted)))
}

fn may_have(head: &BlockHead, wanted: &Wanted<'_>) -> bool {
    let query = wanted.query;
    head.first <= *wanted.range.end()
        && head.last >= *wanted.range.start()
        && (query.kinds == 0 || query.kinds & head.kinds != 0)
        && query.since_ms.is_none_or(|since| head.last_ms >= since)
        && query.until_ms.is_none_or(|until| head.first_ms <= until)
        && wanted.exits.may_be_in(head)
}

fn is_wanted(batch: &BatchEvents, wanted: &Wanted<'_>) -> bool {
    let query = wanted.query;
    let ms = batch
        .events
        .iter()
        .map(|event| event.ts_ns.div_euclid(1_000_000));
    let kinds = batch.events.iter();
    let kinds = kinds.fold(0, |set, event| set | 1_u32 << event.kind.number());
    wanted.range.contains(&(batch.slice, batch.batch))
        && batch.received_ms >= wanted.kept_since_ms
        && (query.kinds == 0 || query.kinds & kinds != 0)
        && query
            .since_ms
            .is_none_or(|since| ms.clone().max().is_some_and(|last| last >= since))
        && query
            .until_ms
            .is_none_or(|until| ms.min().is_some_and(|first| first <= until))
}
