//! The state of one host.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::process::{LiveProcess, ProcessView};
use super::shared::Shared;
use super::table::ProcessTable;
use super::{Agent, BlockLatencies, Scan};
use crate::batch::{Life, ShortLived};

/// Removals remembered for clients that follow: those of so many batches, and at most so many. One that is further behind gets
/// everything anew.
const REMOVAL_VERSIONS: u64 = 32;
const REMOVALS: usize = 16_384;
/// Ended lives whose handle can still be named, by an I/O request that completes after its process for example: for so long,
/// or two intervals of the agent, and at most so many.
const DEPARTED_FOR_MS: i64 = 15_000;
const DEPARTED: usize = 4096;

/// Epochs remembered to tell two agents with one name from one that was restarted.
const SUPERSEDED: usize = 16;

type HandleMap<T> = HashMap<u32, T, foldhash::quality::RandomState>;
type IdMap<T> = HashMap<ProcessId, T, foldhash::quality::RandomState>;

#[derive(Debug)]
pub struct Host {
    pub agent_id: Arc<str>,
    pub agent: Agent,
    pub epoch: u64,
    /// Epochs that a later one replaced: an agent never goes back to one.
    pub(super) superseded: VecDeque<u64>,
    /// Highest stored number of the epoch.
    pub durable_seq: u64,
    /// The handles are those of the last key batch, and nothing was missed since.
    pub synced: bool,
    /// A key span began, and its end has not come.
    pub span_open: bool,
    /// When the last span began; 0 for never. Server time.
    pub key_ms: i64,
    /// Time of the newest sample by the host's clock.
    pub frame_ns: Option<i64>,
    /// Lives begun and ended since the server started.
    pub starts: u64,
    pub exits: u64,
    pub oom_kills: u64,
    /// Since its agent or this server started.
    pub block_latencies: BlockLatencies,
    /// Of the newest sample, and when that was taken by the host's clock.
    pub short_lived: Vec<ShortLived>,
    pub sampled_ns: Option<i64>,
    pub(super) version: u64,
    pub(super) processes: ProcessTable,
    /// What the texts of all processes take, as if nothing was shared.
    pub(super) text_bytes: usize,
    pub(super) shared: Arc<Shared>,
    /// Known from before the last span, not yet listed in it.
    pub(super) previous: IdMap<LiveProcess>,
    pub(super) departed: HandleMap<Arc<Life>>,
    /// With the time of receipt.
    pub(super) departed_order: VecDeque<(i64, u32)>,
    pub(super) removals: VecDeque<(u64, ProcessId)>,
    /// Removals up to this version are forgotten.
    pub(super) removals_from: u64,
    /// The next frame is a key frame: values start from unknown.
    pub(super) await_key_frame: bool,
    /// Handles whose rate of reading (or of writing) a sample without a change changes.
    pub(super) unsettled: Vec<(u32, bool)>,
}

/// What a follower has missed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything is to be read anew.
    pub all: bool,
    pub version: u64,
    pub removed: Vec<ProcessId>,
}

impl Host {
    pub(super) fn new(agent_id: Arc<str>, shared: Arc<Shared>) -> Self {
        Self {
            agent_id,
            agent: Agent::default(),
            epoch: 0,
            superseded: VecDeque::new(),
            durable_seq: 0,
            synced: false,
            span_open: false,
            key_ms: 0,
            frame_ns: None,
            starts: 0,
            exits: 0,
            oom_kills: 0,
            block_latencies: BlockLatencies::default(),
            short_lived: Vec::new(),
            sampled_ns: None,
            version: 1,
            processes: ProcessTable::default(),
            text_bytes: 0,
            shared,
            previous: IdMap::default(),
            departed: HandleMap::default(),
            departed_order: VecDeque::new(),
            removals: VecDeque::new(),
            removals_from: 1,
            await_key_frame: false,
            unsettled: Vec::new(),
        }
    }

    /// Whether an epoch was replaced by the current one, or by one before it.
    pub fn is_superseded(&self, epoch: u64) -> bool {
        self.superseded.contains(&epoch)
    }

    pub(super) fn enter_epoch(&mut self, epoch: u64) {
        if self.epoch != 0 && self.epoch != epoch {
            // It may be back: the other one that used its name has stopped.
            self.superseded.retain(|known| *known != epoch);
            if self.superseded.len() == SUPERSEDED {
                self.superseded.pop_front();
            }
            self.superseded.push_back(self.epoch);
            self.block_latencies = BlockLatencies::default();
        }
        self.epoch = epoch;
    }

    /// Processes that have a handle.
    pub fn named_count(&self) -> usize {
        self.processes.len()
    }

    /// What their texts take, as if nothing was shared.
    pub fn named_text_bytes(&self) -> usize {
        let previous = self.previous.values();
        let previous: usize = previous.map(|process| process.life.text_bytes()).sum();
        self.text_bytes.saturating_sub(previous)
    }

    /// Their different names.
    pub fn names(&self) -> HashSet<&[u8]> {
        let lives = self.processes.values();
        lives.filter_map(|process| process.life.name()).collect()
    }

    pub fn process_count(&self) -> usize {
        self.processes.len() + self.previous.len()
    }

    /// The life that a handle names now.
    pub fn life(&self, handle: u32) -> Option<&Arc<Life>> {
        match self.processes.get(handle) {
            Some(process) => Some(&process.life),
            None => self.departed.get(&handle),
        }
    }

    /// Those that ended a moment ago.
    pub fn departed_lives(&self) -> impl Iterator<Item = &Arc<Life>> {
        self.departed.values()
    }

    /// Whether a handle names a process that has not ended.
    pub fn is_running(&self, handle: u32) -> bool {
        self.processes.contains(handle)
    }

    /// Held by whoever compares marks of this host with those of others.
    pub fn scan(&self) -> Scan {
        self.shared.scan()
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// What changed after a version; rows that changed are told apart by [`ProcessView::changed_after`].
    pub fn changes_after(&self, version: u64) -> Changes {
        if version < self.removals_from {
            return Changes {
                all: true,
                version: self.version,
                removed: Vec::new(),
            };
        }
        let newer = self.removals.iter().rev();
        let removed = newer
            .take_while(|(at, _)| *at > version)
            .map(|(_, id)| *id)
            .collect();
        Changes {
            all: false,
            version: self.version,
            removed,
        }
    }

    pub(super) fn expired(&self, now_ms: i64) -> bool {
        self.process_count() > 0 && self.agent.gone(now_ms)
    }

    /// Forgets the processes; the agent stays known.
    pub(super) fn clear(&mut self) {
        self.version += 1;
        self.detach();
        for (id, _) in std::mem::take(&mut self.previous) {
            self.note_removed(id);
        }
        self.text_bytes = 0;
        self.processes.shrink();
    }

    /// The handles mean nothing any more. What they named stays listed until the end of the next span.
    pub(super) fn detach(&mut self) {
        for process in self.processes.drain() {
            match process.life.id {
                Some(id) => {
                    if let Some(twin) = self.previous.insert(id, process) {
                        self.text_bytes -= twin.life.text_bytes();
                    }
                }
                None => self.text_bytes -= process.life.text_bytes(),
            }
        }
        self.departed.clear();
        self.departed_order.clear();
        self.unsettled.clear();
        self.synced = false;
        self.span_open = false;
    }

    pub(super) fn note_removed(&mut self, id: ProcessId) {
        while let Some((version, _)) = self.removals.front()
            && (self.removals.len() >= REMOVALS || version + REMOVAL_VERSIONS < self.version)
        {
            self.removals_from = *version;
            self.removals.pop_front();
        }
        self.removals.push_back((self.version, id));
    }

    pub(super) fn note_departed(&mut self, handle: u32, life: Arc<Life>, received_ms: i64) {
        if self.departed_order.len() == DEPARTED
            && let Some((_, oldest)) = self.departed_order.pop_front()
        {
            self.departed.remove(&oldest);
        }
        self.departed_order.push_back((received_ms, handle));
        self.departed.insert(handle, life);
    }

    /// Forgets the ended lives that nothing can name any more.
    pub(super) fn forget_departed(&mut self, received_ms: i64) {
        let kept_ms = DEPARTED_FOR_MS.max(2 * i64::from(self.agent.interval_ms));
        while let Some((at_ms, handle)) = self.departed_order.front().copied()
            && received_ms.saturating_sub(at_ms) > kept_ms
        {
            self.departed_order.pop_front();
            self.departed.remove(&handle);
        }
    }
}

impl ProcessView<'_> {
    pub fn changed_after(&self, version: u64) -> bool {
        self.process.changed > version
    }
}
