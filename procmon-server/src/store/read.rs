//! Events, in both directions of the log.

use std::sync::Arc;

use super::history::LifeFilter;
use super::read_segments::{self, Edge, EventSource};
use super::segment::ExitBounds;
use super::{Position, Store, StoreError, StoreStats, format};
use crate::batch::{Event, Life};

/// What batches are asked for: those with an event that has all of this, by what stands beside their bodies and in the indexes
/// of segments. A time is that of a batch: of its first until its last event.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub agent_id: Option<String>,
    /// Kinds wanted, as the bits of [`crate::batch::KindSet`]; 0 for all.
    pub kinds: u32,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    pub exits: ExitBounds,
    /// Part of the name of the process, in any case.
    pub name_part: Option<String>,
    /// Whose events; those that are about no process, too, where it is none.
    pub lives: Option<LifeFilter>,
}

impl EventQuery {
    /// Whether an event has all that is asked for but the time.
    pub(super) fn takes(&self, event: &Event) -> bool {
        let life = event.life.as_deref();
        (self.kinds == 0 || self.kinds & 1 << event.kind.number() != 0)
            && self.exits.take(event)
            && self.lives.is_none_or(|lives| {
                let id = life.and_then(|life| life.id);
                id.is_some_and(|id| lives.takes(id))
            })
            && self.name_part.as_deref().is_none_or(|part| {
                let name = life.and_then(Life::name);
                name.is_some_and(|name| has_part(name, &part.to_lowercase()))
            })
    }

    /// Whether it asks for more than the columns beside a body can tell.
    fn needs_events(&self) -> bool {
        self.lives.is_some() || self.name_part.is_some() || self.exits.any()
    }
}

/// Whether a name has a part that is given in lower case, as it is shown and in any case.
pub(super) fn has_part(name: &[u8], part: &str) -> bool {
    let shown = String::from_utf8_lossy(name).replace('\0', " ");
    shown.to_lowercase().contains(part)
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
    /// Batches with matching events at or before a position, newest first: at most `limit`, and where to
    /// go on. None when the log has no more.
    pub async fn events_before(
        &self,
        query: &EventQuery,
        before: Position,
        limit: u32,
    ) -> Result<(Vec<StoredEvents>, Option<Position>), StoreError> {
        let kept_since_ms = self.events_since_ms();
        let sources = read_segments::sources(&self.shelf.view());
        for source in sources.iter().rev() {
            if !source.begins_by(before.slice) {
                continue;
            }
            let edge = if before.slice <= source.last_slice() {
                // Nothing of a batch is before its first event.
                (before.slice, before.batch - i64::from(before.index == 0))
            } else {
                (source.last_slice(), i64::MAX)
            };
            let page = EventPage {
                edge: edge.1,
                newest_first: true,
                limit,
                kept_since_ms,
            };
            let range = ((0, i64::MIN), edge);
            let found = select(source, query, range, page, &self.stats).await?;
            if let Some(oldest) = found.last() {
                let next = Position::before_batch(oldest.slice, oldest.batch);
                return Ok((found, Some(next)));
            }
        }
        Ok((Vec::new(), None))
    }

    /// Batches with matching events at or after a position, oldest first: at most `limit`. The first may
    /// also have events before the position.
    pub async fn events_after(
        &self,
        query: &EventQuery,
        after: Position,
        limit: u32,
    ) -> Result<Vec<StoredEvents>, StoreError> {
        let kept_since_ms = self.events_since_ms();
        for source in read_segments::sources(&self.shelf.view()) {
            if source.last_slice() < after.slice {
                continue;
            }
            let edge = if source.begins_by(after.slice) {
                // Of a batch that was read to its end there is nothing after.
                let passed = i64::from(after.index == u32::MAX);
                (after.slice, after.batch.saturating_add(passed))
            } else {
                (0, 0)
            };
            let page = EventPage {
                edge: edge.1,
                newest_first: false,
                limit,
                kept_since_ms,
            };
            let range = (edge, (u32::MAX, i64::MAX));
            let found = select(&source, query, range, page, &self.stats).await?;
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
    source: &EventSource,
    query: &EventQuery,
    range: (Edge, Edge),
    page: EventPage,
    stats: &StoreStats,
) -> Result<Vec<StoredEvents>, StoreError> {
    match source {
        EventSource::Slice(number, part) => {
            let mut page = page;
            // Rows without anything that is asked for are no end of the slice.
            loop {
                let rows = part.events(query, page).await?;
                let Some(last) = rows.last().map(|row| row.id) else {
                    return Ok(Vec::new());
                };
                page.edge = if page.newest_first {
                    last - 1
                } else {
                    last + 1
                };
                let rows = rows.into_iter().filter(|row| may_name(row, query));
                let mut found: Vec<_> = rows.map(|row| decode(*number, row)).collect();
                if query.needs_events() {
                    found.retain(|stored| stored.events.iter().any(|event| query.takes(event)));
                }
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        EventSource::Segments(file) => {
            if !file.may_have_events(query).await? {
                return Ok(Vec::new());
            }
            read_segments::select(file, query, range, page, stats).await
        }
    }
}

/// Whether a batch may have an event of the process that is asked for, by the pids in it alone. What cannot be read says so
/// when it is decoded.
fn may_name(row: &EventRow, query: &EventQuery) -> bool {
    let pid = query.lives.and_then(LifeFilter::pid);
    pid.is_none_or(|pid| format::names_pid(&row.body, pid).unwrap_or(true))
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
