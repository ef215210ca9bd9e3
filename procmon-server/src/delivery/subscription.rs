//! Subscriptions to events: the log is read on from where each channel is, and what its filter selects is put into the outbox,
//! together with how far that was. The log is the buffer: a channel whose receiver is away is read for later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::directory::Directory;
use super::{body, stats};
use crate::events::{EventBody, EventFilter};
use crate::query::Meter;
use crate::store::{
    AttemptResult, EventQuery, MessageState, OutboxRow, Position, StoreError, StoredEvents,
};

/// What happens within it is told in one message.
const PACE: Duration = Duration::from_secs(1);
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Batches of the log read at a time.
const CHUNK: u32 = 64;
/// Events in one message, and bytes after which it is full.
const MESSAGE_EVENTS: usize = 100;
const MESSAGE_BYTES: usize = 128 << 10;
/// With so many messages waiting a channel is read no further for now.
const MAX_WAITING: i64 = 200;

/// Runs until the shutdown.
pub async fn run(directory: Arc<Directory>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut newest = directory.store.newest();
    newest.mark_changed();
    loop {
        tokio::select! {
            changed = newest.changed() => if changed.is_err() {
                // The writer has ended, and with it everything that could happen.
                shutdown.cancelled().await;
                return Ok(());
            },
            () = shutdown.cancelled() => return Ok(()),
        }
        let end = *newest.borrow_and_update();
        let pause = match read_all(&directory, end).await {
            Ok(true) => PACE,
            // Somebody is behind, or waits for its receiver.
            Ok(false) => {
                newest.mark_changed();
                PACE
            }
            Err(error @ StoreError::Taken) => {
                return Err(error).context("events are no longer told from here");
            }
            Err(error) => {
                tracing::warn!(%error, "events for subscriptions cannot be read");
                stats::add(&directory.stats.store_failures, 1);
                newest.mark_changed();
                STORE_PAUSE
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Reads on for each subscription; whether all of them are at the end.
async fn read_all(directory: &Directory, end: Position) -> Result<bool, StoreError> {
    let channels = directory.channels();
    let subscribed = channels.iter().filter(|channel| channel.row.enabled);
    let subscribed: Vec<_> = subscribed
        .filter_map(|channel| Some((channel, channel.filter.as_ref()?)))
        .collect();
    if subscribed.is_empty() {
        return Ok(true);
    }
    let waiting: HashMap<_, _> = directory
        .store
        .delivery()
        .waiting()
        .await?
        .into_iter()
        .collect();
    // Where they are is written with the messages: the list of channels does not follow it.
    let cursors = directory.store.delivery().channels().await?;
    let mut all = true;
    for (channel, filter) in subscribed {
        if waiting
            .get(channel.id())
            .is_some_and(|count| *count >= MAX_WAITING)
        {
            all = false;
            continue;
        }
        let row = cursors.iter().find(|row| row.channel_id == channel.id());
        let Some(row) = row else { continue };
        let cursor = row.event_cursor.as_deref().and_then(Position::from_cursor);
        let after = cursor.unwrap_or(end);
        all &= read_on(directory, channel, filter, after, end).await?;
    }
    Ok(all)
}

/// One step for one subscription; whether it is at the end.
async fn read_on(
    directory: &Directory,
    channel: &Channel,
    filter: &EventFilter,
    after: Position,
    end: Position,
) -> Result<bool, StoreError> {
    let store = &directory.store;
    if after >= end {
        return Ok(true);
    }
    let mut messages = Vec::new();
    let reached = if store.reaches(after) {
        let read = store
            .events_after(&EventQuery::default(), after, CHUNK)
            .await?;
        let meter = Meter::default();
        let mut batches = Batches::new(channel, directory.clock.now_ms());
        for stored in &read {
            batches.put(stored, after, filter, &meter);
        }
        if meter.exhausted() {
            let reason = "its filter takes too many steps for each event: make it simpler";
            directory.disable(channel.id(), reason).await?;
            return Ok(true);
        }
        messages = batches.finish();
        let last = read.last();
        last.map_or(end, |last| Position::after_batch(last.slice, last.batch))
    } else {
        stats::add(&directory.stats.lost_events, 1);
        messages.push(gap(channel, after, end, directory.clock.now_ms()));
        end
    };
    let rows = store.delivery();
    rows.advance_events(channel.id(), &reached.to_cursor(), &messages)
        .await?;
    if !messages.is_empty() {
        directory.wake(std::iter::once(channel.id()));
    }
    Ok(reached >= end)
}

/// Says that events in between are no longer kept: the receiver was away for longer than they are.
fn gap(channel: &Channel, after: Position, end: Position, now_ms: i64) -> OutboxRow {
    let data = json!({
        "reason": "the events in between were no longer kept when this channel could be told of them",
        "after": after.to_cursor(),
        "before": end.to_cursor(),
    });
    let about = [channel.id(), "gap", &end.to_cursor()];
    message(channel, &about, "process.gap", "gap", &data, now_ms)
}

fn message(
    channel: &Channel,
    about: &[&str],
    kind: &str,
    order_key: &str,
    data: &Value,
    now_ms: i64,
) -> OutboxRow {
    OutboxRow {
        number: 0,
        message_id: body::message_id(about),
        channel_id: channel.id().to_owned(),
        kind: kind.to_owned(),
        order_key: order_key.to_owned(),
        body: body::webhook(kind, now_ms, data),
        created_ms: now_ms,
        state: MessageState::Pending,
        next_attempt_ms: now_ms,
        attempts: 0,
        step: 0,
        result: AttemptResult::default(),
        finished_ms: None,
    }
}

/// Events by host, in the order in which they arrived.
struct Batches<'a> {
    channel: &'a Channel,
    now_ms: i64,
    hosts: HashMap<Arc<str>, Batch>,
    messages: Vec<OutboxRow>,
}

#[derive(Default)]
struct Batch {
    events: Vec<Value>,
    bytes: usize,
    /// The kind of all of them, if it is one.
    kind: Option<&'static str>,
    mixed: bool,
    last: String,
}

impl<'a> Batches<'a> {
    fn new(channel: &'a Channel, now_ms: i64) -> Self {
        Self {
            channel,
            now_ms,
            hosts: HashMap::new(),
            messages: Vec::new(),
        }
    }

    fn put(&mut self, stored: &StoredEvents, after: Position, filter: &EventFilter, meter: &Meter) {
        for (index, event) in stored.events.iter().enumerate() {
            let position = Position {
                slice: stored.slice,
                batch: stored.batch,
                index: index as u32,
            };
            if position <= after || !filter.matches(stored, event, meter) {
                continue;
            }
            let body = EventBody::new(stored, position, event);
            let kind = event.kind.name();
            let json = serde_json::to_value(&body).unwrap_or_default();
            let batch = self.hosts.entry(Arc::clone(&stored.agent_id)).or_default();
            batch.mixed |= batch.kind.is_some_and(|other| other != kind);
            batch.kind = Some(kind);
            batch.bytes += body.cmdline.as_ref().map_or(0, |text| 2 * text.len()) + 1024;
            batch.events.push(json);
            batch.last = body.cursor;
            if batch.events.len() >= MESSAGE_EVENTS || batch.bytes >= MESSAGE_BYTES {
                let batch = std::mem::take(batch);
                self.close(&stored.agent_id, &batch);
            }
        }
    }

    fn close(&mut self, agent_id: &str, batch: &Batch) {
        let kind = batch.kind.filter(|_| !batch.mixed);
        let kind = kind.map_or_else(
            || "process.events".to_owned(),
            |kind| format!("process.{kind}"),
        );
        let about = [self.channel.id(), "events", agent_id, &batch.last];
        let order_key = format!("host:{agent_id}");
        let data = json!({"agent_id": agent_id, "events": batch.events});
        self.messages.push(message(
            self.channel,
            &about,
            &kind,
            &order_key,
            &data,
            self.now_ms,
        ));
    }

    fn finish(mut self) -> Vec<OutboxRow> {
        let mut hosts: Vec<_> = self.hosts.drain().collect();
        hosts.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (agent_id, batch) in hosts {
            if !batch.events.is_empty() {
                self.close(&agent_id, &batch);
            }
        }
        self.messages
    }
}
