//! The present: what runs on each host, kept in memory and rebuilt from the store after a restart. It changes only by
//! batches that are already stored. No SQL and no request handling lives here, but for the stream of changes.

mod agent;
pub mod apply;
mod block_latency;
mod follow;
mod host;
mod kept;
mod marks;
mod past;
mod process;
mod restore;
pub mod routes;
mod row;
mod scan;
mod shared;
mod steps;
mod stream;
mod table;

pub use agent::{Agent, AgentStatus, Gap, Health};
pub use block_latency::{BlockLatencies, Histograms};
pub use host::{Changes, Host};
pub use marks::{ABSENT, Common, Marks, UNMARKED};
pub use process::{KeptLife, LiveProcess, ProcessView};
pub use row::CompactRow;
pub use shared::{Scan, Shared};
pub use steps::{PastRows, PastStep};

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::ingest::limits::{Gate, IngestLimits};

/// An agent was heard again: its times and its health are others.
pub const CHANGED: u8 = 1;
/// It is new, began anew, or has another machine, boot or way in: what the log alone would not tell after a restart.
pub const NEWS: u8 = 2;

/// All hosts.
#[derive(Debug)]
pub struct Live {
    hosts: RwLock<Hosts>,
    changed: watch::Sender<u64>,
    clock: Clock,
    limits: IngestLimits,
    shared: Arc<Shared>,
}

/// The same twice: each upload looks for one, and lists go through them in order.
#[derive(Debug, Default)]
struct Hosts {
    by_id: HashMap<Arc<str>, Arc<HostEntry>, foldhash::fast::RandomState>,
    in_order: BTreeMap<Arc<str>, Arc<HostEntry>>,
}

/// One host: its state, and the order of its batches.
#[derive(Debug)]
pub struct HostEntry {
    pub agent_id: Arc<str>,
    /// Held from the check of a batch until its application: one batch of an agent at a time. The value says whether the
    /// state was restored from the store.
    pub order: Mutex<bool>,
    /// What is to be written to the table of agents: nothing, [`CHANGED`] or [`NEWS`].
    pub unsaved: AtomicU8,
    /// How much of its limits it has used.
    pub gate: Arc<Gate>,
    state: RwLock<Host>,
}

impl HostEntry {
    pub fn read(&self) -> RwLockReadGuard<'_, Host> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Host> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    pub fn new(clock: Clock, limits: IngestLimits) -> Self {
        Self {
            hosts: RwLock::default(),
            changed: watch::channel(0).0,
            clock,
            limits,
            shared: Arc::default(),
        }
    }

    /// What lives of all hosts have in common.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    pub fn limits(&self) -> &IngestLimits {
        &self.limits
    }

    /// The way in of an agent that is known; others have none yet.
    pub(crate) fn gate(&self, agent_id: &str) -> Option<Arc<Gate>> {
        let hosts = self.map();
        hosts
            .by_id
            .get(agent_id)
            .map(|entry| Arc::clone(&entry.gate))
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The host of an agent that was heard, in the end or from the table of agents.
    pub fn get(&self, agent_id: &str) -> Option<Arc<HostEntry>> {
        let entry = self.map().by_id.get(agent_id).cloned()?;
        let heard = entry.read().agent.heard();
        heard.then_some(entry)
    }

    /// The host of an agent, which may be new. `None` when there are too many.
    pub fn entry(&self, agent_id: &str) -> Option<Arc<HostEntry>> {
        if let Some(entry) = self.map().by_id.get(agent_id) {
            return Some(Arc::clone(entry));
        }
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if hosts.by_id.len() as u64 >= self.limits.agents {
            return None;
        }
        let agent_id: Arc<str> = agent_id.into();
        let entry = hosts.by_id.entry(Arc::clone(&agent_id)).or_insert_with(|| {
            Arc::new(HostEntry {
                agent_id: Arc::clone(&agent_id),
                order: Mutex::new(false),
                unsaved: AtomicU8::new(0),
                gate: Arc::new(Gate::new(self.limits, self.clock.now_ms())),
                state: RwLock::new(Host::new(Arc::clone(&agent_id), Arc::clone(&self.shared))),
            })
        });
        let entry = Arc::clone(entry);
        hosts
            .in_order
            .insert(Arc::clone(&entry.agent_id), Arc::clone(&entry));
        Some(entry)
    }

    /// The hosts heard of, by name; or the one of `agent_id`.
    pub fn hosts(&self, agent_id: Option<&str>) -> Vec<Arc<HostEntry>> {
        if let Some(agent_id) = agent_id {
            return self.get(agent_id).into_iter().collect();
        }
        let mut hosts: Vec<_> = self.map().in_order.values().cloned().collect();
        hosts.retain(|entry| entry.read().agent.heard());
        hosts
    }

    fn map(&self) -> RwLockReadGuard<'_, Hosts> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever watches that something changed.
    pub fn notify(&self) {
        self.changed
            .send_modify(|version| *version = version.wrapping_add(1));
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Drops the processes of hosts that were silent for long, and the names of agents whose batches were all refused.
    pub fn sweep(&self) {
        let now_ms = self.clock.now_ms();
        let mut dropped = false;
        {
            let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
            let Hosts { by_id, in_order } = &mut *hosts;
            // Two of its owners are these maps.
            in_order.retain(|agent_id, entry| {
                let stays = Arc::strong_count(entry) > 2 || entry.read().agent.heard();
                if !stays {
                    by_id.remove(agent_id);
                }
                stays
            });
        }
        for entry in self.hosts(None) {
            if entry.read().expired(now_ms) {
                entry.write().clear();
                dropped = true;
            }
        }
        if dropped {
            self.notify();
        }
        self.shared.sweep();
    }

    /// What to write to the table of agents: what is news, and what changed where it has its turn. That it is to be written is
    /// forgotten.
    fn take_unsaved(&self, has_turn: impl Fn(usize) -> bool) -> Vec<Arc<HostEntry>> {
        let hosts = self.hosts(None).into_iter().enumerate();
        let taken = hosts.filter(|(index, entry)| {
            let unsaved = entry.unsaved.load(Ordering::Acquire);
            (unsaved == NEWS || has_turn(*index)) && entry.unsaved.swap(0, Ordering::AcqRel) != 0
        });
        taken.map(|(_, entry)| entry).collect()
    }
}
