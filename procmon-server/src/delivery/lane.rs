//! The messages of one channel on their way. Channels have nothing in common here, so that a slow one delays no other.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::channel::{Channel, ChannelKind};
use super::directory::Directory;
use super::{resend, route, schedule};
use crate::store::{OutboxRow, StoreError};

/// Attempts of one channel under way at a time.
const PLACES: usize = 4;
/// Messages that are read at a time.
const CHUNK: i64 = 64;
/// Alerts in one message.
const GROUP: i64 = 200;
/// What failed is tried before its time when something new is behind it, but not more often than this.
const EARLY_MS: i64 = 60_000;
/// Between two looks at what is due and has to wait for others.
const BLOCKED_MS: i64 = 1_000;
/// After a failure of the store, in milliseconds.
const STORE_PAUSE_MS: i64 = 5_000;

/// What one channel is to be sent now.
#[derive(Debug)]
pub(super) enum Work {
    Message(Box<OutboxRow>),
    Reminder(Arc<[serde_json::Value]>),
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Due, and none of them waits for another.
    ready: VecDeque<OutboxRow>,
    /// Order keys of what is under way.
    busy: HashSet<String>,
    next_due_ms: Option<i64>,
    /// There may be something new.
    pub(super) dirty: bool,
    /// The receiver asked for so much patience, or the store failed.
    paused_until_ms: i64,
    reminded_ms: Option<i64>,
}

const REMINDER: &str = "reminder";

impl Lane {
    /// What is to be sent now; call it until there is nothing. An error says that another server sends from now on.
    pub(super) async fn next(
        &mut self,
        directory: &Directory,
        channel: &Channel,
    ) -> Result<Option<Work>, StoreError> {
        let now_ms = directory.clock.now_ms();
        // A pause that is longer than any was set by a clock that has been put right since.
        let paused = (1..=schedule::LONGEST_MS).contains(&(self.paused_until_ms - now_ms));
        if self.busy.len() >= places(channel.kind) || paused {
            return Ok(None);
        }
        let due = self.next_due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        if self.ready.is_empty() && (self.dirty || due) {
            self.dirty = false;
            if let Err(error) = self.look(directory, channel, now_ms).await {
                if matches!(error, StoreError::Taken) {
                    return Err(error);
                }
                tracing::warn!(%error, "what is to be delivered cannot be read");
                super::stats::add(&directory.stats.store_failures, 1);
                self.dirty = true;
                self.paused_until_ms = now_ms + STORE_PAUSE_MS;
                return Ok(None);
            }
        }
        while let Some(message) = self.ready.pop_front() {
            if self.busy.insert(message.order_key.clone()) {
                return Ok(Some(Work::Message(Box::new(message))));
            }
        }
        Ok(self.reminder(directory, channel, now_ms))
    }

    fn reminder(&mut self, directory: &Directory, channel: &Channel, now_ms: i64) -> Option<Work> {
        let due = self
            .reminded_ms
            .is_none_or(|last_ms| !(last_ms..last_ms + resend::EVERY_MS).contains(&now_ms));
        if channel.kind != ChannelKind::Alertmanager || !due {
            return None;
        }
        let firing = directory.firing(channel.id())?;
        self.reminded_ms = Some(now_ms);
        self.busy.insert(REMINDER.to_owned());
        Some(Work::Reminder(firing))
    }

    async fn look(
        &mut self,
        directory: &Directory,
        channel: &Channel,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let rows = directory.store.delivery();
        loop {
            let members = rows.due_group(channel.id(), now_ms, GROUP).await?;
            let Some(message) = route::join_group(channel, &members, now_ms) else {
                break;
            };
            rows.join_group(&members, &message).await?;
        }
        let due = rows.due(channel.id(), now_ms, now_ms - EARLY_MS, CHUNK);
        self.ready = due.await?.into();
        self.next_due_ms = rows.next_due(channel.id()).await?;
        if self.ready.is_empty() {
            let soon_ms = now_ms + BLOCKED_MS;
            self.next_due_ms = self.next_due_ms.map(|due_ms| due_ms.max(soon_ms));
        }
        Ok(())
    }

    /// Something that was under way has ended.
    pub(super) fn ended(&mut self, order_key: Option<&str>, paused_until_ms: Option<i64>) {
        self.busy.remove(order_key.unwrap_or(REMINDER));
        self.dirty = true;
        if let Some(until_ms) = paused_until_ms {
            self.paused_until_ms = until_ms;
            // They are read again then: some may have been given up meanwhile.
            self.ready.clear();
        }
    }

    /// The channel was changed or disabled: what was read of it is no longer true.
    pub(super) fn forget(&mut self) {
        self.ready.clear();
        self.dirty = true;
    }
}

/// Slack takes one message a second, and to an Alertmanager the order of alerts matters.
fn places(kind: ChannelKind) -> usize {
    match kind {
        ChannelKind::Webhook => PLACES,
        ChannelKind::Slack | ChannelKind::Alertmanager => 1,
    }
}
