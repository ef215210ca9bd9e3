//! Batches one after the other, as live state applies them (`live/apply.rs`), but keeping what each sample said. Which
//! handle names whom is carried from one segment to the next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::sample::SampleBuilder;
use crate::batch::{Batch, BlockSource, Frame, Life};

/// Ended lives whose handle can still be named.
const DEPARTED: usize = 4096;
/// Of those, how many the next segment is told.
const DEPARTED_CARRIED: usize = 64;

type HandleMap = HashMap<u32, u32, foldhash::fast::RandomState>;

/// Where the batches of an agent have come to, and whom its handles name: numbers of processes of the builder.
#[derive(Debug, Default)]
pub struct Replay {
    epoch: u64,
    seq: u64,
    synced: bool,
    span_open: bool,
    await_key_frame: bool,
    running: HandleMap,
    previous: HashMap<ProcessId, u32, foldhash::fast::RandomState>,
    departed: HandleMap,
    departed_order: VecDeque<u32>,
}

/// What the segment after needs to go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Carry {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) synced: bool,
    pub(super) span_open: bool,
    pub(super) await_key_frame: bool,
    /// By what they are to the replay: running, departed (with their handles) and previous (with handle 0).
    pub(super) handles: Vec<(Standing, u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Running,
    Departed,
    Previous,
}

impl Replay {
    /// Goes on where another segment ended, with its processes already in the builder.
    pub(super) fn resume(carry: &Carry, builder: &SampleBuilder) -> Self {
        let mut replay = Self {
            epoch: carry.epoch,
            seq: carry.seq,
            synced: carry.synced,
            span_open: carry.span_open,
            await_key_frame: carry.await_key_frame,
            ..Self::default()
        };
        for (standing, handle, process) in &carry.handles {
            match standing {
                Standing::Running => {
                    replay.running.insert(*handle, *process);
                }
                Standing::Departed => replay.depart(*handle, *process),
                Standing::Previous => {
                    if let Some(id) = builder.id(*process) {
                        replay.previous.insert(id, *process);
                    }
                }
            }
        }
        replay
    }

    pub(super) fn carry(&self) -> Carry {
        let mut handles = Vec::with_capacity(self.running.len() + self.previous.len());
        let running = self.running.iter();
        handles.extend(running.map(|(handle, process)| (Standing::Running, *handle, *process)));
        let known = self.departed_order.iter().rev().take(DEPARTED_CARRIED);
        handles.extend(known.filter_map(|handle| {
            let process = self.departed.get(handle)?;
            Some((Standing::Departed, *handle, *process))
        }));
        let previous = self.previous.values();
        handles.extend(previous.map(|process| (Standing::Previous, 0, *process)));
        handles.sort_unstable_by_key(|(standing, handle, process)| {
            (*standing as u8, *handle, *process)
        });
        Carry {
            epoch: self.epoch,
            seq: self.seq,
            synced: self.synced,
            span_open: self.span_open,
            await_key_frame: self.await_key_frame,
            handles,
        }
    }

    fn follows(&self, epoch: u64, seq: u64) -> bool {
        epoch == self.epoch && seq == self.seq.wrapping_add(1)
    }

    /// Whether a batch goes on where the carried state ended, or begins anew.
    pub fn knows(&self, epoch: u64, seq: u64, key: bool) -> bool {
        key || self.follows(epoch, seq)
    }

    pub fn apply(&mut self, batch: &Batch, epoch: u64, seq: u64, builder: &mut SampleBuilder) {
        let begins = batch.key && !batch.continues;
        if begins || !self.follows(epoch, seq) {
            self.detach(builder);
        }
        self.epoch = epoch;
        self.seq = seq;
        if begins {
            self.synced = true;
            self.await_key_frame = true;
        }
        for (handle, life) in &batch.lives {
            self.upsert(*handle, life, builder);
        }
        for handle in &batch.ended {
            self.end(*handle, builder);
        }
        // Before its sample: whoever the span did not list is not in it.
        if batch.key || batch.continues {
            self.span_open = batch.more;
            if !batch.more {
                for (_, process) in self.previous.drain() {
                    builder.end(process);
                }
            }
        }
        if let Some(frame) = batch.frame.as_ref().filter(|_| self.synced) {
            self.frame(batch, frame, builder);
        }
    }

    fn detach(&mut self, builder: &mut SampleBuilder) {
        for (_, process) in self.running.drain() {
            match builder.id(process) {
                Some(id) => {
                    if let Some(same) = self.previous.insert(id, process) {
                        builder.end(same);
                    }
                }
                None => builder.end(process),
            }
        }
        self.departed.clear();
        self.departed_order.clear();
        self.synced = false;
        self.span_open = false;
    }

    fn upsert(&mut self, handle: u32, life: &Arc<Life>, builder: &mut SampleBuilder) {
        if let Some(process) = self.running.get(&handle) {
            builder.describe(*process, life);
            return;
        }
        let process = match life.id.and_then(|id| self.previous.remove(&id)) {
            Some(process) => {
                builder.describe(process, life);
                process
            }
            None => builder.begin(Arc::clone(life)),
        };
        self.running.insert(handle, process);
    }

    fn end(&mut self, handle: u32, builder: &mut SampleBuilder) {
        if let Some(process) = self.running.remove(&handle) {
            builder.end(process);
            self.depart(handle, process);
        }
    }

    fn depart(&mut self, handle: u32, process: u32) {
        if self.departed_order.len() == DEPARTED
            && let Some(oldest) = self.departed_order.pop_front()
        {
            self.departed.remove(&oldest);
        }
        self.departed_order.push_back(handle);
        self.departed.insert(handle, process);
    }

    fn frame(&mut self, batch: &Batch, frame: &Frame, builder: &mut SampleBuilder) {
        if std::mem::take(&mut self.await_key_frame) {
            for process in self.running.values() {
                builder.forget_values(*process);
            }
        }
        for changes in &frame.columns {
            for (handle, delta) in &changes.changes {
                if let Some(process) = self.running.get(handle) {
                    builder.change(*process, changes.column, *delta);
                }
            }
        }
        for (handle, ports) in &frame.ports {
            if let Some(process) = self.running.get(handle) {
                builder.set_ports(*process, ports);
            }
        }
        if !is_sample(batch, frame) {
            return;
        }
        builder.sample(frame.ts_ns.div_euclid(1_000_000), batch.totals.as_ref());
        for group in &frame.short_lived {
            builder.add_short_lived(group.clone());
        }
        for latency in &frame.block_latency {
            let issuer = match latency.of {
                BlockSource::Issuer(handle) => self.issuer(handle),
                _ => None,
            };
            builder.add_block_latency(latency.clone(), issuer);
        }
    }

    fn issuer(&self, handle: u32) -> Option<u32> {
        let named = self.running.get(&handle);
        named.or_else(|| self.departed.get(&handle)).copied()
    }
}

/// A frame that only names who is gone is none, and neither is one that only goes with new handles: its values show in the
/// next sample. The log is read by the same rule.
fn is_sample(batch: &Batch, frame: &Frame) -> bool {
    if batch.repeats_a_sample() {
        return false;
    }
    let between = !frame.short_lived.is_empty() || !frame.block_latency.is_empty();
    batch.totals.is_some() || batch.key || !frame.columns.is_empty() || between
}
