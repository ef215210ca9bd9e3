//! How a stored batch changes a host. It cannot fail: everything was checked before it was stored.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::Host;
use super::process::LiveProcess;
use crate::batch::{Batch, BlockSource, EventKind, Frame, Life};

/// Where a batch stands among those of its agent.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
}

impl Host {
    /// Whether a batch goes on where the last one ended.
    pub fn follows(&self, epoch: u64, seq: u64) -> bool {
        epoch == self.epoch && seq == self.durable_seq.wrapping_add(1)
    }

    /// `departed`: lives that began and ended within the batch.
    pub fn apply(&mut self, batch: &Batch, place: Place, departed: Vec<(u32, Arc<Life>)>) {
        self.version += 1;
        let begins = batch.key && !batch.continues;
        if begins || !self.follows(place.epoch, place.seq) {
            self.detach();
        }
        self.enter_epoch(place.epoch);
        self.durable_seq = place.seq;
        if begins {
            self.synced = true;
            self.await_key_frame = true;
            self.key_ms = place.received_ms;
        }
        for (handle, life) in &batch.lives {
            self.upsert(*handle, life);
        }
        for handle in &batch.ended {
            self.end(*handle);
        }
        for (handle, life) in departed {
            let known = life.id.is_some_and(|id| self.previous.contains_key(&id));
            if !life.baseline && !known {
                self.starts += 1;
            }
            self.note_departed(handle, life);
        }
        if batch.totals.is_some() {
            self.agent.totals = batch.totals;
        }
        if self.synced
            && let Some(frame) = &batch.frame
        {
            self.apply_frame(frame);
            // A frame without totals only names who is gone: it is no sample.
            if batch.totals.is_some() {
                self.short_lived.clone_from(&frame.short_lived);
                self.sampled_ns = Some(frame.ts_ns);
            }
            self.add_block_latencies(frame);
        }
        if batch.key || batch.continues {
            self.span_open = batch.more;
            if !batch.more {
                self.finish_span();
            }
        }
        for event in &batch.events {
            match &event.kind {
                EventKind::Exit(_) => self.exits += 1,
                EventKind::Loss(loss) => self.agent.note_loss(loss, event.ts_ns),
                _ => {}
            }
        }
    }

    fn upsert(&mut self, handle: u32, life: &Arc<Life>) {
        let version = self.version;
        if let Some(process) = self.processes.get_mut(&handle) {
            process.life = Arc::clone(life).into();
            process.changed = version;
            return;
        }
        let known = life.id.and_then(|id| self.previous.remove(&id));
        let is_new = known.is_none();
        let mut process = known.unwrap_or_else(|| LiveProcess::new(Arc::clone(life), version));
        if is_new && !life.baseline {
            self.starts += 1;
        }
        if is_new || *process.life != *life {
            process.life = Arc::clone(life).into();
            process.changed = version;
        }
        self.processes.insert(handle, process);
    }

    fn end(&mut self, handle: u32) {
        if let Some(process) = self.processes.remove(&handle) {
            if let Some(id) = process.life.id {
                self.note_removed(id);
            }
            self.note_departed(handle, Arc::clone(&process.life));
        }
    }

    /// Whoever was not listed is gone.
    fn finish_span(&mut self) {
        let gone: Vec<_> = self.previous.drain().map(|(id, _)| id).collect();
        for id in gone {
            self.note_removed(id);
        }
    }

    fn apply_frame(&mut self, frame: &Frame) {
        let version = self.version;
        let elapsed_s = self
            .frame_ns
            .map(|before| frame.ts_ns.saturating_sub(before))
            .filter(|elapsed_ns| *elapsed_ns > 0)
            .map(|elapsed_ns| elapsed_ns as f64 / 1e9);
        self.frame_ns = Some(frame.ts_ns);
        let key_frame = std::mem::take(&mut self.await_key_frame);
        if key_frame {
            for process in self.processes.values_mut() {
                process.row = procmon_common::columns::Row::default();
                process.ports = None;
                process.changed = version;
            }
        }
        let mut touched = std::mem::take(&mut self.unsettled);
        for changes in &frame.columns {
            let is_rate = matches!(changes.column, Column::ReadBytes | Column::WriteBytes);
            for (handle, delta) in &changes.changes {
                if let Some(process) = self.processes.get_mut(handle) {
                    process.row.apply(changes.column, *delta);
                    process.changed = version;
                    if is_rate {
                        touched.push(*handle);
                    }
                }
            }
        }
        for (handle, ports) in &frame.ports {
            if let Some(process) = self.processes.get_mut(handle) {
                process.ports = Some(ports.as_slice().into());
                process.changed = version;
            }
        }
        if key_frame {
            touched = self.processes.keys().copied().collect();
        }
        self.update_rates(touched, elapsed_s);
    }

    fn add_block_latencies(&mut self, frame: &Frame) {
        let mut latencies = std::mem::take(&mut self.block_latencies);
        for latency in &frame.block_latency {
            let issuer = match latency.of {
                BlockSource::Issuer(handle) => self.life(handle).map(Arc::as_ref),
                _ => None,
            };
            latencies.add(latency, issuer);
        }
        self.block_latencies = latencies;
    }

    fn update_rates(&mut self, mut touched: Vec<u32>, elapsed_s: Option<f64>) {
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|handle| {
            let Some(process) = self.processes.get_mut(handle) else {
                return false;
            };
            let (read, write) = (
                process.row.get(Column::ReadBytes),
                process.row.get(Column::WriteBytes),
            );
            let read_changed = process.read.update(read, elapsed_s);
            let write_changed = process.write.update(write, elapsed_s);
            if read_changed || write_changed {
                process.changed = self.version;
            }
            process.read.unsettled() || process.write.unsettled()
        });
        self.unsettled = touched;
    }
}
