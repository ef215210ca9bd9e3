//! The newest part of the log, read once for all streams: with hundreds of clients at its end, each commit would otherwise be
//! read and decoded hundreds of times. It is read from the store like everything else, so that nobody sees what is not
//! committed.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::EventBody;
use crate::store::{EventQuery, Position, Store, StoreError, StoredEvents};

/// Batches read at a time.
const CHUNK: u32 = 64;
/// Events and batches kept, but at least those of the last chunk. A client that is further behind reads for itself.
const MAX_EVENTS: usize = 20_000;
const MAX_BATCHES: usize = 4_096;

/// The events of a batch, and how clients see them, made when the first of them wants it.
#[derive(Debug)]
pub(super) struct SharedBatch {
    pub(super) stored: StoredEvents,
    shown: Vec<OnceLock<Box<str>>>,
}

/// A run of the log without a hole.
#[derive(Debug)]
pub struct RecentEvents(Mutex<Run>);

#[derive(Debug)]
struct Run {
    /// Everything after this, up to `to`, is in `batches`.
    from: Position,
    to: Position,
    batches: VecDeque<Arc<SharedBatch>>,
    events: usize,
}

impl SharedBatch {
    pub(super) fn new(stored: StoredEvents) -> Self {
        let mut shown = Vec::new();
        shown.resize_with(stored.events.len(), OnceLock::new);
        Self { stored, shown }
    }

    pub(super) fn position(&self, index: u32) -> Position {
        Position {
            slice: self.stored.slice,
            batch: self.stored.batch,
            index,
        }
    }

    /// An event as JSON.
    pub(super) fn json(&self, index: u32) -> Option<&str> {
        let event = self.stored.events.get(index as usize)?;
        let json = self.shown.get(index as usize)?.get_or_init(|| {
            let body = EventBody::new(&self.stored, self.position(index), event);
            serde_json::to_string(&body).unwrap_or_default().into()
        });
        Some(json)
    }

    fn end(&self) -> Position {
        Position::after_batch(self.stored.slice, self.stored.batch)
    }
}

impl Default for RecentEvents {
    fn default() -> Self {
        Self(Mutex::new(Run {
            from: Position::START,
            to: Position::START,
            batches: VecDeque::new(),
            events: 0,
        }))
    }
}

impl RecentEvents {
    /// At most `limit` batches after a position, and where they end; `None` when the position is before what is kept. Who comes
    /// while another reads waits for the same reading.
    pub(super) async fn after(
        &self,
        store: &Store,
        after: Position,
        end: Position,
        limit: usize,
    ) -> Result<Option<(Vec<Arc<SharedBatch>>, Position)>, StoreError> {
        let mut run = self.0.lock().await;
        if after > run.to {
            // Nobody followed for a while.
            *run = Run {
                from: after,
                to: after,
                batches: VecDeque::new(),
                events: 0,
            };
        }
        if after < run.from {
            return Ok(None);
        }
        if after == run.to && run.to < end {
            run.read_on(store, end).await?;
        }
        let begins = run.batches.partition_point(|batch| batch.end() <= after);
        let found: Vec<_> = run
            .batches
            .iter()
            .skip(begins)
            .take(limit)
            .cloned()
            .collect();
        let reached = if begins + found.len() == run.batches.len() {
            run.to
        } else {
            found.last().map_or(run.to, |last| last.end())
        };
        Ok(Some((found, reached)))
    }
}

impl Run {
    async fn read_on(&mut self, store: &Store, end: Position) -> Result<(), StoreError> {
        let read = store
            .events_after(&EventQuery::default(), self.to, CHUNK)
            .await?;
        let before = self.to;
        for stored in read {
            let batch = SharedBatch::new(stored);
            if batch.end() <= self.to {
                continue;
            }
            self.to = batch.end();
            self.events += batch.stored.events.len();
            self.batches.push_back(Arc::new(batch));
        }
        if self.to == before {
            self.to = self.to.max(end);
        }
        while self.batches.len() > CHUNK as usize
            && (self.events > MAX_EVENTS || self.batches.len() > MAX_BATCHES)
            && let Some(oldest) = self.batches.pop_front()
        {
            self.events -= oldest.stored.events.len();
            self.from = oldest.end();
        }
        Ok(())
    }
}
