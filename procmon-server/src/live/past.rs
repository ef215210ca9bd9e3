//! A host as it was, in the form of a host as it is: whatever shows the present shows the past, too.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;
use tokio::sync::Mutex;

use super::process::{LiveProcess, Rate};
use super::{Agent, CompactRow, Host, HostEntry};
use crate::batch::Life;
use crate::ingest::limits::{Gate, IngestLimits};
use crate::store::history::{HostSamples, LifeSamples};

impl Host {
    /// The host at its last sample in `samples`, with `columns`. What the agent is, is what it is now; only when it was last
    /// heard is of then. Handles are made up.
    pub fn past(
        agent_id: Arc<str>,
        agent: &Agent,
        samples: &HostSamples,
        columns: &[Column],
    ) -> Self {
        let mut host = Self::new(agent_id, Arc::default());
        host.agent = agent.clone();
        let Some(newest) = samples.sample_ms.len().checked_sub(1) else {
            return host;
        };
        let sampled_ms = samples.sample_ms[newest];
        let ns = |ms: i64| ms.saturating_mul(1_000_000);
        host.frame_ns = Some(ns(sampled_ms));
        host.sampled_ns = host.frame_ns;
        host.agent.last_seen_ms = host.agent.server_time_ns(ns(sampled_ms)) / 1_000_000;
        let before = newest.checked_sub(1);
        let elapsed_s = before
            .map(|before| sampled_ms.saturating_sub(samples.sample_ms[before]))
            .filter(|elapsed_ms| *elapsed_ms > 0)
            .map(|elapsed_ms| elapsed_ms as f64 / 1e3);
        for (handle, life) in (1..).zip(samples.lives.iter().filter(|life| life.last == newest)) {
            let mut process = LiveProcess::new(Arc::clone(&life.life), 0);
            process.row = row(life, columns, newest);
            process.ports = life.ports_at(newest).map(Box::from);
            let earlier = before.map(|before| row(life, columns, before));
            for (column, rate) in [
                (Column::ReadBytes, &mut process.read),
                (Column::WriteBytes, &mut process.write),
            ] {
                let before = earlier.as_ref().and_then(|row| row.get(column));
                *rate = Rate::between(before, process.row.get(column), elapsed_s);
            }
            host.processes.insert(handle, process);
        }
        host
    }

    /// A host with these lives and nothing else known of them.
    pub fn of_lives(agent_id: Arc<str>, agent: &Agent, lives: &[Arc<Life>]) -> Self {
        let mut host = Self::new(agent_id, Arc::default());
        host.agent = agent.clone();
        for (handle, life) in (1..).zip(lives) {
            let process = LiveProcess::new(Arc::clone(life), 0);
            host.processes.insert(handle, process);
        }
        host
    }

    /// What happened to a past host after its last sample: a process began, or runs something else now.
    pub fn note_past_life(&mut self, life: &Arc<Life>) {
        let Some(id) = life.id else { return };
        let known = self
            .processes
            .values_mut()
            .find(|process| process.life.id == Some(id));
        if let Some(process) = known {
            process.life = Arc::clone(life).into();
            return;
        }
        let handle = self
            .processes
            .handles()
            .max()
            .map_or(1, |handle| handle + 1);
        let process = LiveProcess::new(Arc::clone(life), 0);
        self.processes.insert(handle, process);
    }

    /// As [`Host::note_past_life`]: a process ended.
    pub fn note_past_end(&mut self, id: ProcessId) {
        let of_it = |process: &LiveProcess| process.life.id == Some(id);
        let handles: Vec<u32> = self.processes.handles().collect();
        let ended = handles
            .into_iter()
            .find(|handle| self.processes.get(*handle).is_some_and(of_it));
        if let Some(handle) = ended {
            self.processes.remove(handle);
        }
    }
}

fn row(life: &LifeSamples, columns: &[Column], sample: usize) -> CompactRow {
    let mut row = CompactRow::default();
    for (place, column) in columns.iter().enumerate() {
        if let Some(value) = life.value_at(place, sample) {
            // 0 is unknown.
            row.apply(*column, value.wrapping_add(1));
        }
    }
    row
}

impl HostEntry {
    /// A host that no batch will ever change.
    pub fn past(host: Host) -> Arc<Self> {
        Arc::new(Self {
            agent_id: Arc::clone(&host.agent_id),
            order: Mutex::new(true),
            unsaved: AtomicU8::new(0),
            gate: Arc::new(Gate::new(IngestLimits::default(), 0)),
            state: std::sync::RwLock::new(host),
        })
    }
}
