//! Events, in both directions of the log.

use std::sync::Arc;

use super::part::Part;
use super::{Position, Store, StoreError, format};
use crate::batch::Event;

/// What the columns beside a body can tell about it.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub agent_id: Option<String>,
    /// Kinds wanted, as the bits of [`crate::batch::KindSet`]; 0 for all.
    pub kinds: u32,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// The events of one stored batch.
#[derive(Clone, Debug)]
pub struct StoredEvents {
    pub slice: u32,
    pub batch: i64,
    pub agent_id: Arc<str>,
    pub received_ms: i64,
    pub events: Vec<Event>,
}

/// Which rows of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventPage {
    /// The first row in the direction of reading.
    pub(super) edge: i64,
    pub(super) newest_first: bool,
    pub(super) limit: u32,
    /// What was received before is no longer shown, even where it is still kept.
    pub(super) kept_since_ms: i64,
}

/// A batch with events, not yet decoded.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) id: i64,
    pub(super) agent_id: Arc<str>,
    pub(super) received_ms: i64,
    pub(super) body: Vec<u8>,
}

impl Store {
    /// Batches with matching events at or before a position, newest first: at most `limit`, all of one slice, and where to
    /// go on. None when the log has no more.
    pub async fn events_before(
        &self,
        query: &EventQuery,
        before: Position,
        limit: u32,
    ) -> Result<(Vec<StoredEvents>, Option<Position>), StoreError> {
        let catalog = self.shelf.view();
        for (number, part) in catalog.slices.range(..=before.slice).rev() {
            let edge = if *number == before.slice {
                // Nothing of a batch is before its first event.
                before.batch - i64::from(before.index == 0)
            } else {
                i64::MAX
            };
            let page = EventPage {
                edge,
                newest_first: true,
                limit,
                kept_since_ms: self.events_since_ms(),
            };
            let found = select(*number, part, query, page).await?;
            if let Some(oldest) = found.last() {
                let next = Position::before_batch(*number, oldest.batch);
                return Ok((found, Some(next)));
            }
        }
        Ok((Vec::new(), None))
    }

    /// Batches with matching events at or after a position, oldest first: at most `limit`, all of one slice. The first may
    /// also have events before the position.
    pub async fn events_after(
        &self,
        query: &EventQuery,
        after: Position,
        limit: u32,
    ) -> Result<Vec<StoredEvents>, StoreError> {
        let catalog = self.shelf.view();
        for (number, part) in catalog.slices.range(after.slice..) {
            let edge = if *number == after.slice {
                // Of a batch that was read to its end there is nothing after.
                after.batch + i64::from(after.index == u32::MAX)
            } else {
                0
            };
            let page = EventPage {
                edge,
                newest_first: false,
                limit,
                kept_since_ms: self.events_since_ms(),
            };
            let found = select(*number, part, query, page).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Whether the log still goes back to a position, so that reading on from it misses nothing.
    pub fn reaches(&self, position: Position) -> bool {
        let catalog = self.shelf.view();
        if position.slice == Position::START.slice {
            return catalog.oldest().is_none_or(|oldest| oldest == 1);
        }
        catalog.contains(position.slice) && position <= *self.newest.borrow()
    }
}

async fn select(
    slice: u32,
    part: &Part,
    query: &EventQuery,
    page: EventPage,
) -> Result<Vec<StoredEvents>, StoreError> {
    let rows = part.events(query, page).await?;
    Ok(rows.into_iter().map(|row| decode(slice, row)).collect())
}

fn decode(slice: u32, row: EventRow) -> StoredEvents {
    let events = format::decode_events(&row.body).unwrap_or_else(|error| {
        let batch = row.id;
        tracing::error!(slice, batch, %error, "a stored batch cannot be read; its events are left out");
        Vec::new()
    });
    StoredEvents {
        slice,
        batch: row.id,
        agent_id: row.agent_id,
        received_ms: row.received_ms,
        events,
    }
}
