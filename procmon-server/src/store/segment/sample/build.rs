//! What the samples of a stretch of time said, collected as they come, and kept as changes from the first moment: memory
//! grows with what changes, not with what is sampled.

use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column, Row};
use procmon_common::ids::ProcessId;

use super::rows::RowBuffer;
use super::write::{PartWriter, ProcessEntry};
use super::{Interval, carry};
use crate::batch::{BlockLatency, Life, ShortLived, Totals};
use crate::store::segment::container::Effort;
use crate::store::segment::replay::{Carry, Replay};

/// About as many bytes as a part may take in memory; then it is written, and another begins.
const PART_BYTES: usize = 48 << 20;
/// What a process takes without its strings and rows.
const PROCESS_BYTES: usize = 600;

/// Collects samples; a replay of the batches drives it.
#[derive(Debug, Default)]
pub struct SampleBuilder {
    sample_ms: Vec<i64>,
    totals: Vec<Option<Totals>>,
    processes: Vec<Process>,
    touched: Vec<u32>,
    intervals: Vec<Interval>,
    bytes: usize,
}

#[derive(Debug)]
struct Process {
    /// What it was in the samples so far, each from a sample on.
    lives: Vec<(u32, Arc<Life>)>,
    /// Samples that it was in: from this one to before `end`.
    first: u32,
    end: Option<u32>,
    now: Row,
    /// As of the last sample.
    written: Row,
    ports: Option<Arc<[u16]>>,
    written_ports: Option<Arc<[u16]>>,
    rows: RowBuffer,
    port_changes: Vec<(u32, Option<Arc<[u16]>>)>,
    is_touched: bool,
    /// A block request names it.
    is_named: bool,
}

impl SampleBuilder {
    /// Where the samples of another segment ended: each process with its values.
    pub(super) fn restore(
        &mut self,
        life: Arc<Life>,
        values: Row,
        ports: Option<Arc<[u16]>>,
    ) -> u32 {
        let process = self.begin(life);
        let restored = &mut self.processes[process as usize];
        restored.now = values;
        restored.ports = ports;
        self.touch(process);
        process
    }

    fn next_sample(&self) -> u32 {
        self.sample_ms.len() as u32
    }

    pub(in super::super) fn id(&self, process: u32) -> Option<ProcessId> {
        let (_, life) = self.processes.get(process as usize)?.lives.last()?;
        life.id
    }

    pub(in super::super) fn begin(&mut self, life: Arc<Life>) -> u32 {
        self.bytes += PROCESS_BYTES + life.image.as_ref().map_or(0, |image| image.args.len());
        let first = self.next_sample();
        self.processes.push(Process {
            lives: vec![(first, life)],
            first,
            end: None,
            now: Row::default(),
            written: Row::default(),
            ports: None,
            written_ports: None,
            rows: RowBuffer::default(),
            port_changes: Vec::new(),
            is_touched: false,
            is_named: false,
        });
        self.processes.len() as u32 - 1
    }

    /// It is another from the next sample on.
    pub(in super::super) fn describe(&mut self, process: u32, life: &Arc<Life>) {
        let next = self.next_sample();
        let process = &mut self.processes[process as usize];
        let Some((since, known)) = process.lives.last_mut() else {
            return;
        };
        if *known == *life {
            return;
        }
        if *since == next {
            *known = Arc::clone(life);
        } else {
            process.lives.push((next, Arc::clone(life)));
        }
    }

    pub(in super::super) fn end(&mut self, process: u32) {
        let next = self.next_sample();
        let process = &mut self.processes[process as usize];
        process.end.get_or_insert(next);
    }

    fn touch(&mut self, number: u32) {
        let process = &mut self.processes[number as usize];
        if !std::mem::replace(&mut process.is_touched, true) {
            self.touched.push(number);
        }
    }

    pub(in super::super) fn forget_values(&mut self, process: u32) {
        self.touch(process);
        let process = &mut self.processes[process as usize];
        process.now = Row::default();
        // A new list that does not name it says that it has none.
        process.ports = process.ports.take().map(|_| Arc::from([]));
    }

    pub(in super::super) fn change(&mut self, process: u32, column: Column, delta: i64) {
        self.touch(process);
        self.processes[process as usize].now.apply(column, delta);
    }

    pub(in super::super) fn set_ports(&mut self, process: u32, ports: &[u16]) {
        self.touch(process);
        self.processes[process as usize].ports = Some(ports.into());
    }

    /// The values as they are now are those of a sample.
    pub(in super::super) fn sample(&mut self, sample_ms: i64, totals: Option<&Totals>) {
        let index = self.next_sample();
        for number in std::mem::take(&mut self.touched) {
            let process = &mut self.processes[number as usize];
            process.is_touched = false;
            if process.end.is_some() {
                continue;
            }
            let before = process.rows.bytes();
            process.rows.push(index, &process.written, &process.now);
            process.written = process.now;
            if process.ports != process.written_ports {
                process.port_changes.push((index, process.ports.clone()));
                process.written_ports.clone_from(&process.ports);
                self.bytes += 64;
            }
            self.bytes += process.rows.bytes() - before;
        }
        self.sample_ms.push(sample_ms);
        self.totals.push(totals.copied());
        self.bytes += 128;
    }

    pub(in super::super) fn add_short_lived(&mut self, group: ShortLived) {
        self.bytes += 256;
        let sample = self.next_sample().saturating_sub(1);
        self.intervals.push(Interval::ShortLived(sample, group));
    }

    pub(in super::super) fn add_block_latency(
        &mut self,
        latency: BlockLatency,
        issuer: Option<u32>,
    ) {
        self.bytes += 384;
        let sample = self.next_sample().saturating_sub(1);
        if let Some(issuer) = issuer {
            self.processes[issuer as usize].is_named = true;
        }
        self.intervals
            .push(Interval::BlockLatency(sample, latency, issuer));
    }

    /// Whether it is time to write what there is.
    pub fn is_full(&self) -> bool {
        self.bytes > PART_BYTES
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.sample_ms.is_empty() && self.processes.is_empty()
    }

    /// The part as bytes. What the replay still names is in it, so that the next part or segment can go on.
    pub fn finish(self, replay: &Replay) -> Vec<u8> {
        let mut carried = replay.carry();
        let order = self.order(&carried);
        let mut numbers = vec![u32::MAX; self.processes.len()];
        for (number, index) in order.iter().enumerate() {
            numbers[*index] = number as u32;
        }
        for (.., process) in &mut carried.handles {
            *process = numbers[*process as usize];
        }
        let unwritten = self.unwritten(&order);
        let mut writer = PartWriter::new(&self.sample_ms, &self.totals, Effort::Light);
        let samples = self.next_sample();
        for index in order {
            let process = &self.processes[index];
            writer.process(&ProcessEntry {
                lives: &process.lives,
                first: process.first,
                end: process.end.unwrap_or(samples),
                rows: &process.rows,
                ports: &process.port_changes,
            });
        }
        writer.intervals(self.intervals.into_iter().map(|interval| match interval {
            Interval::BlockLatency(sample, latency, issuer) => {
                let issuer = issuer.map(|process| numbers[process as usize]);
                Interval::BlockLatency(sample, latency, issuer)
            }
            other @ Interval::ShortLived(..) => other,
        }));
        writer.finish(Some(&carry::encode(&carried, &unwritten)))
    }

    /// Indices of the processes that are written, by start: those that were in a sample, or that are still named.
    fn order(&self, carried: &Carry) -> Vec<usize> {
        let mut named = vec![false; self.processes.len()];
        for (.., process) in &carried.handles {
            named[*process as usize] = true;
        }
        let samples = self.next_sample();
        let mut order: Vec<usize> = (0..self.processes.len())
            .filter(|index| {
                let process = &self.processes[*index];
                let was_there = process.first < process.end.unwrap_or(samples);
                was_there || process.is_named || named[*index]
            })
            .collect();
        order.sort_by_cached_key(|index| {
            let process = &self.processes[*index];
            let id = process.lives.last().and_then(|(_, life)| life.id);
            (super::order_of(id), process.first, *index)
        });
        order
    }

    /// Values that changed after the last sample.
    fn unwritten(&self, order: &[usize]) -> Vec<carry::Unwritten> {
        let mut all = Vec::new();
        for (number, index) in order.iter().enumerate() {
            let process = &self.processes[*index];
            let ports = process.ports != process.written_ports;
            if process.end.is_some() || (process.now == process.written && !ports) {
                continue;
            }
            let values = COLUMNS
                .iter()
                .map(|column| (*column, process.now.get(*column)))
                .collect();
            all.push(carry::Unwritten {
                process: number as u32,
                values,
                ports: process.ports.clone(),
            });
        }
        all
    }
}
