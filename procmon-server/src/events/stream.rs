//! The stream of new events: a hint that something was committed, then a read of the log from where this client stands. A
//! client that reads slowly slows only itself: nothing is queued for it but the page it is at.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::sse::{Event as Message, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::EventBody;
use super::filter::Filter;
use crate::app::App;
use crate::error::Problem;
use crate::query::Meter;
use crate::store::{EventQuery, Position, StoredEvents};

/// Batches read at a time: bounds what a client that stopped reading holds in memory. Their events become messages one by
/// one, as the client takes them.
const CHUNK: u32 = 4;

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
    batches: std::vec::IntoIter<StoredEvents>,
    /// The batch at hand, and the next event of it.
    current: Option<(StoredEvents, u32)>,
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
            }
        }
    }

    /// Reads on, up to what was committed before; returns whether there was anything.
    async fn read(&mut self, end: Position) -> Option<bool> {
        if self.after >= end {
            return Some(false);
        }
        if !self.app.store.reaches(self.after) {
            self.after = end;
            self.waiting.push_back(reset());
            return Some(true);
        }
        let read = self
            .app
            .store
            .events_after(&self.query, self.after, CHUNK)
            .await;
        let batches = match read {
            Ok(batches) => batches,
            Err(error) => {
                // The client comes back to where it was.
                tracing::warn!(%error, "a stream of events ends because the store cannot be read");
                return None;
            }
        };
        if batches.is_empty() {
            self.after = end;
            return Some(false);
        }
        self.batches = batches.into_iter();
        Some(true)
    }

    /// The next event that matches, of those that were read.
    fn next_read(&mut self) -> Option<Message> {
        loop {
            let Some((stored, next)) = &mut self.current else {
                self.current = Some((self.batches.next()?, 0));
                continue;
            };
            let Some(event) = stored.events.get(*next as usize) else {
                self.after = self
                    .after
                    .max(Position::after_batch(stored.slice, stored.batch));
                self.current = None;
                continue;
            };
            let position = Position {
                slice: stored.slice,
                batch: stored.batch,
                index: *next,
            };
            *next += 1;
            if position > self.after && self.filter.matches(stored, event, &Meter::default()) {
                return Some(message(&EventBody::new(stored, position, event)));
            }
        }
    }
}

fn message(body: &EventBody) -> Message {
    let data = serde_json::to_string(body).unwrap_or_default();
    Message::default().id(&body.cursor).data(data)
}
