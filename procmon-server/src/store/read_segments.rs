//! Events in segments: the rows of agents that may have them, decoded, in the order of the log.

use std::sync::Arc;

use super::catalog::{Catalog, Segments};
use super::part::Part;
use super::segment::{self, ExitBounds, Wanted};
use super::{EventQuery, StoreError, StoredEvents};

/// Batches of a page at least: each page costs a look into the segment of every agent that may have some.
const PAGE: u32 = 256;

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

/// Batches with matching events in segments, in the direction of reading.
pub(super) async fn select(
    file: &Arc<Segments>,
    query: &EventQuery,
    range: (Edge, Edge),
    newest_first: bool,
    limit: u32,
    kept_since_ms: i64,
) -> Result<Vec<StoredEvents>, StoreError> {
    let limit = limit.max(PAGE) as usize;
    let mut range = range;
    let mut found: Vec<StoredEvents> = Vec::new();
    for columns in file.events.event_heads(query, kept_since_ms).await? {
        let agent_id = columns.agent_id;
        let body = file.events.segment_events(&agent_id).await?;
        let (query, name) = (query.clone(), Arc::clone(&agent_id));
        let decoded = tokio::task::spawn_blocking(move || {
            let wanted = Wanted {
                query: &query,
                range: range.0..=range.1,
                newest_first,
                limit,
                kept_since_ms,
                exits: ExitBounds::default(),
            };
            segment::decode_events(&body, &name, &wanted)
        });
        match decoded.await {
            Ok(Ok(batches)) => found.extend(batches),
            Ok(Err(error)) => {
                let slice = file.first_slice;
                tracing::error!(slice, %agent_id, %error, "a segment cannot be read; its events are left out");
            }
            Err(error) => return Err(StoreError::Failed(error.to_string())),
        }
        if found.len() > limit.saturating_mul(2) {
            keep_first(&mut found, newest_first, limit);
            // What is behind a full page is not wanted of the others either.
            if let Some(last) = found.last() {
                let edge = (last.slice, last.batch);
                if newest_first {
                    range.0 = range.0.max(edge);
                } else {
                    range.1 = range.1.min(edge);
                }
            }
        }
    }
    keep_first(&mut found, newest_first, limit);
    Ok(found)
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
