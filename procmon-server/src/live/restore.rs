//! The present after a restart, from the agents' table and the last batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::apply::Place;
use super::{Agent, HostEntry, Live, NEWS, kept};
use crate::store::{Door, Store, StoreError};

/// Ticks until everything that changed was written.
const SAVE_TURNS: u64 = 10;

impl Live {
    /// Brings back the agents, and the processes of those heard lately. The others follow when they are heard.
    pub async fn restore(&self, store: &Store) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        for row in store.agents().await? {
            let Some(entry) = self.entry(&row.agent_id) else {
                break;
            };
            entry.write().agent = Agent::from_row(&row);
            let listed = !entry.read().agent.gone(now_ms);
            if listed {
                let mut restored = entry.order.lock().await;
                entry.restore(&mut restored, store).await?;
            }
        }
        self.notify();
        Ok(())
    }

    /// Writes all agents that changed to their table.
    pub async fn save(&self, store: &Store) -> Result<(), StoreError> {
        self.write(store, self.take_unsaved(|_| true)).await
    }

    /// Writes the agents of which there is news to their table, and of the others that changed those whose turn it is: each
    /// says that it is there every few seconds, and the log says so too.
    pub async fn save_by_turns(&self, store: &Store, tick: u64) -> Result<(), StoreError> {
        let turn = |index: usize| (index as u64).wrapping_add(tick).is_multiple_of(SAVE_TURNS);
        self.write(store, self.take_unsaved(turn)).await
    }

    async fn write(&self, store: &Store, dirty: Vec<Arc<HostEntry>>) -> Result<(), StoreError> {
        if dirty.is_empty() {
            return Ok(());
        }
        let row = |entry: &Arc<HostEntry>| entry.read().agent.to_row(&entry.agent_id);
        let saved = store
            .save_agents(&dirty.iter().map(row).collect::<Vec<_>>())
            .await;
        if saved.is_err() {
            for entry in dirty {
                entry.unsaved.fetch_max(NEWS, Ordering::Release);
            }
        }
        saved
    }
}

impl HostEntry {
    /// Rebuilds the state from the agent's last span of batches, once.
    pub async fn restore(&self, restored: &mut bool, store: &Store) -> Result<(), StoreError> {
        if *restored {
            return Ok(());
        }
        if let Some(span) = store.last_span(&self.agent_id).await? {
            let mut host = self.write();
            let mut newest_ns = 0;
            for stored in &span.batches {
                let place = Place {
                    epoch: span.epoch,
                    seq: stored.seq,
                    received_ms: stored.received_ms,
                };
                // Replaying counts nothing twice: the counters are since the start of this process.
                let counters = (host.starts, host.exits);
                let frame = stored.batch.frame.iter().map(|frame| frame.ts_ns);
                let events = stored.batch.events.iter().map(|event| event.ts_ns);
                newest_ns = frame.chain(events).fold(newest_ns, i64::max);
                host.apply(&stored.batch, place, Vec::new());
                (host.starts, host.exits) = counters;
            }
            kept::replayed(&mut host.agent, span.epoch, newest_ns);
            host.epoch = span.epoch;
            host.durable_seq = span.seq;
            if span.batches.is_empty() {
                host.synced = false;
            }
            host.agent.last_seen_ms = host.agent.last_seen_ms.max(span.received_ms);
            if host.agent.first_seen_ms == 0 {
                host.agent.first_seen_ms = span.received_ms;
                // Killed before its row was written: what it sent says which way it came.
                let is_uploaded = host
                    .processes
                    .values()
                    .any(|process| process.life.is_uploaded());
                if is_uploaded {
                    host.agent.door = Door::Upload;
                }
            }
        }
        *restored = true;
        Ok(())
    }
}
