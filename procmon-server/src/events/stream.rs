//! The stream of new events: a hint that something was committed, then a read of the log from where this client stands. A
//! client that reads slowly slows only itself: nothing is queued for it but the page it is at, and when the log no longer
//! reaches back to where it stands, it is told so.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as Message, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::filter::Filter;
use super::recent::SharedBatch;
use crate::app::App;
use crate::error::Problem;
use crate::metrics::Stream as StreamKind;
use crate::query::Meter;
use crate::store::{EventQuery, Position, StoreError};

/// Batches read at a time: bounds what a client that stopped reading holds in memory. Their events become messages one by
/// one, as the client takes them.
const CHUNK: u32 = 4;
/// Between two looks at the log: what is committed meanwhile is read at once.
const PACE: Duration = Duration::from_millis(20);

pub(super) enum Resume {
    Now,
    After(String),
}

pub(super) fn open(
    app: App,
    filter: Filter,
    resume: &Resume,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>> + use<>>, Problem> {
    let permit = app.admit_stream()?;
    let newest = app.store.newest();
    let now = *newest.borrow();
    let mut waiting = VecDeque::new();
    let after = match resume {
        Resume::Now => now,
        Resume::After(cursor) => match Position::from_cursor(cursor) {
            Some(position) if app.store.reaches(position) => position,
            _ => {
                app.metrics.stream_resync(StreamKind::Events);
                waiting.push_back(reset());
                now
            }
        },
    };
    // An id without data: a client that is cut off before its first event still knows where to go on.
    waiting.push_back(Message::default().comment("open").id(after.to_cursor()));
    let tail = Tail {
        query: filter.query(),
        filter,
        newest,
        after,
        waiting,
        batches: Vec::new().into_iter(),
        reached: after,
        current: None,
        app,
        _permit: permit,
    };
    let messages = stream::unfold(tail, |mut tail| async move {
        let message = tail.next().await?;
        Some((Ok(message), tail))
    });
    Ok(Sse::new(messages).keep_alive(crate::app::keep_alive()))
}

fn reset() -> Message {
    Message::default().event("reset").data(
        r#"{"reason":"the events after this cursor are no longer kept; read GET /events anew"}"#,
    )
}

struct Tail {
    app: App,
    query: EventQuery,
    filter: Filter,
    newest: watch::Receiver<Position>,
    after: Position,
    waiting: VecDeque<Message>,
    batches: std::vec::IntoIter<Arc<SharedBatch>>,
    /// Where `batches` end.
    reached: Position,
    /// The batch at hand, and the next event of it.
    current: Option<(Arc<SharedBatch>, u32)>,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    /// The next message; `None` when the server shuts down.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            if self.app.shutdown.is_cancelled() {
                return None;
            }
            if let Some(message) = self.next_read() {
                return Some(message);
            }
            let end = *self.newest.borrow_and_update();
            if !self.read(end).await? {
                tokio::select! {
                    changed = self.newest.changed() => changed.ok()?,
                    () = self.app.shutdown.cancelled() => return None,
                }
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// Reads on, up to what was committed before; returns whether there was anything.
    async fn read(&mut self, end: Position) -> Option<bool> {
        if self.after >= end {
            return Some(false);
        }
        if !self.app.store.reaches(self.after) {
            self.app.metrics.stream_resync(StreamKind::Events);
            self.after = end;
            self.waiting.push_back(reset());
            return Some(true);
        }
        let (batches, reached) = match self.batches_after(end).await {
            Ok(read) => read,
            Err(error) => {
                // The client comes back to where it was.
                tracing::warn!(%error, "a stream of events ends because the store cannot be read");
                return None;
            }
        };
        self.reached = reached;
        if batches.is_empty() {
            self.after = self.after.max(reached);
            return Some(self.after < end);
        }
        self.batches = batches.into_iter();
        Some(true)
    }

    /// Most clients are at the end of the log, which is read for all of them together.
    async fn batches_after(
        &self,
        end: Position,
    ) -> Result<(Vec<Arc<SharedBatch>>, Position), StoreError> {
        let store = &self.app.store;
        let recent = &self.app.recent_events;
        let shared = recent.after(store, self.after, end, CHUNK as usize).await?;
        if let Some(shared) = shared {
            return Ok(shared);
        }
        let read = store.events_after(&self.query, self.after, CHUNK).await?;
        let last = read
            .last()
            .map(|last| Position::after_batch(last.slice, last.batch));
        let batches = read.into_iter().map(SharedBatch::new).map(Arc::new);
        Ok((batches.collect(), last.unwrap_or(end)))
    }

    /// The next event that matches, of those that were read.
    fn next_read(&mut self) -> Option<Message> {
        loop {
            let Some((batch, next)) = &mut self.current else {
                let Some(batch) = self.batches.next() else {
                    self.after = self.after.max(self.reached);
                    return None;
                };
                self.current = Some((batch, 0));
                continue;
            };
            let index = *next;
            let Some(event) = batch.stored.events.get(index as usize) else {
                let end = Position::after_batch(batch.stored.slice, batch.stored.batch);
                self.after = self.after.max(end);
                self.current = None;
                continue;
            };
            *next += 1;
            let position = batch.position(index);
            let wanted = position > self.after
                && self.filter.matches(&batch.stored, event, &Meter::default());
            if wanted && let Some(json) = batch.json(index) {
                return Some(Message::default().id(position.to_cursor()).data(json));
            }
        }
    }
}
