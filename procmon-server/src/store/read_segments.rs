//! Events in segments: the rows of agents that may have them, decoded, in the order of the log.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};

use super::catalog::{Catalog, Segments};
use super::part::Part;
use super::read::EventPage;
use super::segment::{self, FoundEvents, Wanted};
use super::segment_row::SegmentColumns;
use super::{EventQuery, StoreError, StoreStats, StoredEvents};

/// Batches of a page at least: each page opens the segments of the agents that have some of them.
const PAGE: u32 = 256;
/// Segments that are read at a time once the first ones have not filled a page; this bounds memory.
const MOST_AT_A_TIME: usize = 8;

/// Something with events, by its first slice.
#[derive(Clone, Debug)]
pub(super) enum EventSource {
    Slice(u32, Arc<Part>),
    Segments(Arc<Segments>),
}

impl EventSource {
    fn first_slice(&self) -> u32 {
        match self {
            Self::Slice(number, _) => *number,
            Self::Segments(file) => file.first_slice,
        }
    }

    pub(super) fn last_slice(&self) -> u32 {
        match self {
            Self::Slice(number, _) => *number,
            Self::Segments(file) => file.last_slice,
        }
    }

    pub(super) fn begins_by(&self, slice: u32) -> bool {
        self.first_slice() <= slice
    }
}

/// All there is, oldest first.
pub(super) fn sources(catalog: &Catalog) -> Vec<EventSource> {
    let slices = catalog.slices.iter();
    let slices = slices.map(|(number, part)| EventSource::Slice(*number, Arc::clone(part)));
    let segments = catalog.segments.values().cloned();
    let mut all: Vec<_> = slices.chain(segments.map(EventSource::Segments)).collect();
    all.sort_by_key(EventSource::first_slice);
    all
}

/// Batches with matching events in segments, in the direction of reading. Segments are opened in the order in which their
/// events come, and only as long as those that follow may have something before the end of the page.
pub(super) async fn select(
    file: &Arc<Segments>,
    query: &EventQuery,
    range: (Edge, Edge),
    page: EventPage,
    stats: &StoreStats,
) -> Result<Vec<StoredEvents>, StoreError> {
    let limit = page.limit.max(PAGE) as usize;
    let mut reading = Reading {
        file: Arc::clone(file),
        query: Arc::new(query.clone()),
        range,
        page: EventPage {
            limit: limit as u32,
            ..page
        },
    };
    let mut heads = heads_in_order(file, query, range, page)
        .await?
        .into_iter()
        .peekable();
    let mut found: Vec<StoredEvents> = Vec::new();
    let mut at_a_time = 1;
    while let Some(next) = heads.peek() {
        if found.len() >= limit {
            keep_first(&mut found, page.newest_first, limit);
            if !reading.goes_on_with(next, found.last()) {
                break;
            }
        }
        let opening: Vec<_> = heads.by_ref().take(at_a_time).collect();
        let count = opening.len() as u64;
        stats
            .event_segments_opened
            .fetch_add(count, Ordering::Relaxed);
        let opening = opening.into_iter().map(|head| reading.clone().open(head));
        let mut opened = stream::iter(opening).buffered(at_a_time);
        while let Some(of_agent) = opened.next().await {
            let of_agent = of_agent?;
            stats.note_event_blocks(of_agent.scanned, of_agent.decoded);
            found.extend(of_agent.batches);
        }
        at_a_time = (at_a_time * 2).min(MOST_AT_A_TIME);
    }
    keep_first(&mut found, page.newest_first, limit);
    Ok(found)
}

/// The segments that may have something of a range, in the direction of reading.
async fn heads_in_order(
    file: &Segments,
    query: &EventQuery,
    range: (Edge, Edge),
    page: EventPage,
) -> Result<Vec<SegmentColumns>, StoreError> {
    let mut heads = file.events.event_heads(query, page.kept_since_ms).await?;
    heads.retain(|head| {
        let (first, last) = places(head);
        last >= range.0 && first <= range.1
    });
    if page.newest_first {
        heads.sort_by_key(|head| Reverse(places(head).1));
    } else {
        heads.sort_by_key(|head| places(head).0);
    }
    Ok(heads)
}

/// One that does not say where its events lie may have some anywhere.
fn places(head: &SegmentColumns) -> (Edge, Edge) {
    head.event_places
        .unwrap_or(((0, i64::MIN), (u32::MAX, i64::MAX)))
}

/// What is read of each segment.
#[derive(Clone)]
struct Reading {
    file: Arc<Segments>,
    query: Arc<EventQuery>,
    range: (Edge, Edge),
    page: EventPage,
}

impl Reading {
    /// Whether a segment may have something before the end of a full page; what is behind that is wanted of none any more.
    fn goes_on_with(&mut self, next: &SegmentColumns, page_end: Option<&StoredEvents>) -> bool {
        let Some(end) = page_end.map(|end| (end.slice, end.batch)) else {
            return true;
        };
        let (nearest, farthest) = places(next);
        if self.page.newest_first {
            self.range.0 = self.range.0.max(end);
            farthest >= end
        } else {
            self.range.1 = self.range.1.min(end);
            nearest <= end
        }
    }

    async fn open(self, head: SegmentColumns) -> Result<FoundEvents, StoreError> {
        let agent_id = head.agent_id;
        let body = self.file.events.segment_events(&agent_id).await?;
        let slice = self.file.first_slice;
        let decoded = tokio::task::spawn_blocking(move || {
            let wanted = Wanted {
                query: &self.query,
                range: self.range.0..=self.range.1,
                newest_first: self.page.newest_first,
                limit: self.page.limit as usize,
                kept_since_ms: self.page.kept_since_ms,
            };
            segment::decode_events(&body, &agent_id, &wanted).unwrap_or_else(|error| {
                tracing::error!(slice, %agent_id, %error, "a segment cannot be read; its events are left out");
                FoundEvents::default()
            })
        });
        decoded
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))
    }
}

/// Slice and row.
pub(super) type Edge = (u32, i64);

/// Agents' batches in the one order of the log.
fn keep_first(found: &mut Vec<StoredEvents>, newest_first: bool, limit: usize) {
    found.sort_by_key(|stored| (stored.slice, stored.batch));
    if newest_first {
        found.reverse();
    }
    found.truncate(limit);
}
