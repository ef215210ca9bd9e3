//! How a stored batch changes a host. It cannot fail: everything was checked before it was stored.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::Host;
use super::process::{LiveProcess, Rate};
use super::row::CompactRow;
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
            self.end(*handle, place.received_ms);
        }
        for (handle, life) in departed {
            let known = life.id.is_some_and(|id| self.previous.contains_key(&id));
            if !life.baseline && !known {
                self.starts += 1;
            }
            self.note_departed(handle, life, place.received_ms);
        }
        self.forget_departed(place.received_ms);
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
                EventKind::Oom(_) => self.oom_kills += 1,
                EventKind::Loss(loss) => self.agent.note_loss(loss, event.ts_ns),
                _ => {}
            }
        }
    }

    fn upsert(&mut self, handle: u32, life: &Arc<Life>) {
        let version = self.version;
        if let Some(process) = self.processes.get_mut(handle) {
            if *process.life != *life {
                self.text_bytes -= process.life.text_bytes();
                self.text_bytes += life.text_bytes();
                process.life = self.shared.share(life);
            }
            process.changed = version;
            return;
        }
        let known = life.id.and_then(|id| self.previous.remove(&id));
        let process = if let Some(mut process) = known {
            if *process.life != *life {
                self.text_bytes -= process.life.text_bytes();
                self.text_bytes += life.text_bytes();
                process.life = self.shared.share(life);
                process.changed = version;
            }
            process
        } else {
            if !life.baseline {
                self.starts += 1;
            }
            self.text_bytes += life.text_bytes();
            LiveProcess::new(self.shared.share(life), version)
        };
        self.processes.insert(handle, process);
    }

    fn end(&mut self, handle: u32, received_ms: i64) {
        if let Some(process) = self.processes.remove(handle) {
            self.text_bytes -= process.life.text_bytes();
            if let Some(id) = process.life.id {
                self.note_removed(id);
            }
            self.note_departed(handle, Arc::clone(&process.life), received_ms);
        }
    }

    /// Whoever was not listed is gone.
    fn finish_span(&mut self) {
        for (id, process) in std::mem::take(&mut self.previous) {
            self.text_bytes -= process.life.text_bytes();
            self.note_removed(id);
        }
    }

    fn apply_frame(&mut self, frame: &Frame) {
        let elapsed_s = self
            .frame_ns
            .map(|before| frame.ts_ns.saturating_sub(before))
            .filter(|elapsed_ns| *elapsed_ns > 0)
            .map(|elapsed_ns| elapsed_ns as f64 / 1e9);
        self.frame_ns = Some(frame.ts_ns);
        if std::mem::take(&mut self.await_key_frame) {
            self.apply_key_columns(frame, elapsed_s);
        } else {
            self.apply_columns(frame, elapsed_s);
        }
        for (handle, ports) in &frame.ports {
            if let Some(process) = self.processes.get_mut(*handle) {
                process.ports = Some(ports.as_slice().into());
                process.changed = self.version;
            }
        }
    }

    fn apply_columns(&mut self, frame: &Frame, elapsed_s: Option<f64>) {
        let version = self.version;
        let mut unsettled = Vec::new();
        for changes in &frame.columns {
            let column = changes.column;
            for (handle, delta) in &changes.changes {
                let Some(process) = self.processes.get_mut(*handle) else {
                    continue;
                };
                process.changed = version;
                if !matches!(column, Column::ReadBytes | Column::WriteBytes) {
                    process.row.apply(column, *delta);
                    continue;
                }
                let before = process.row.get(column);
                process.row.apply(column, *delta);
                let rate = Rate::between(before, process.row.get(column), elapsed_s);
                let is_read = column == Column::ReadBytes;
                let of = if is_read {
                    &mut process.read
                } else {
                    &mut process.write
                };
                of.set(rate);
                unsettled.push((*handle, is_read));
            }
        }
        // A counter that stayed has stopped, unless it is unknown.
        unsettled.sort_unstable();
        for (handle, is_read) in std::mem::take(&mut self.unsettled) {
            if unsettled.binary_search(&(handle, is_read)).is_ok() {
                continue;
            }
            let Some(process) = self.processes.get_mut(handle) else {
                continue;
            };
            let (column, of) = if is_read {
                (Column::ReadBytes, &mut process.read)
            } else {
                (Column::WriteBytes, &mut process.write)
            };
            let value = process.row.get(column);
            if of.set(Rate::between(value, value, elapsed_s)) {
                process.changed = version;
            }
        }
        unsettled.retain(|(handle, is_read)| {
            self.processes.get(*handle).is_some_and(|process| {
                let rate = if *is_read {
                    process.read
                } else {
                    process.write
                };
                rate.unsettled()
            })
        });
        self.unsettled = unsettled;
    }

    /// Values start from unknown; how fast they grew is known all the same.
    fn apply_key_columns(&mut self, frame: &Frame, elapsed_s: Option<f64>) {
        let version = self.version;
        let mut before = Vec::with_capacity(self.processes.len());
        for (handle, process) in self.processes.iter_mut() {
            let counters =
                [Column::ReadBytes, Column::WriteBytes].map(|column| process.row.get(column));
            before.push((handle, counters));
            process.row = CompactRow::default();
            process.ports = None;
            process.changed = version;
        }
        for changes in &frame.columns {
            for (handle, delta) in &changes.changes {
                if let Some(process) = self.processes.get_mut(*handle) {
                    process.row.apply(changes.column, *delta);
                }
            }
        }
        self.unsettled.clear();
        for (handle, [read, write]) in before {
            let Some(process) = self.processes.get_mut(handle) else {
                continue;
            };
            let now = [Column::ReadBytes, Column::WriteBytes].map(|column| process.row.get(column));
            process.read = Rate::between(read, now[0], elapsed_s);
            process.write = Rate::between(write, now[1], elapsed_s);
            for (is_read, rate, value) in
                [(true, process.read, now[0]), (false, process.write, now[1])]
            {
                if value.is_some() && rate.unsettled() {
                    self.unsettled.push((handle, is_read));
                }
            }
        }
        self.processes.shrink();
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
}
