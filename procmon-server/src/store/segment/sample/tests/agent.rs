//! An agent whose batches are drawn at random.

use std::collections::BTreeMap;
use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Row};
use procmon_common::ids::{BootId, ProcessId};
use proptest::prelude::*;

use crate::batch::{
    Batch, BlockLatency, BlockSource, ColumnChanges, Frame, Histogram, Image, Life, Operation,
    ShortLived, Totals,
};

/// What one batch does.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn for itself")]
pub(super) struct Step {
    pub(super) key: bool,
    missed: bool,
    sample: bool,
    pub(super) ends_part: bool,
    pub(super) ends_segment: bool,
    starts: u8,
    ends: Vec<prop::sample::Index>,
    execs: Vec<prop::sample::Index>,
    changes: Vec<(prop::sample::Index, usize, i64)>,
    ports: Vec<(prop::sample::Index, Vec<u16>)>,
    later_ms: i64,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let flags = (0..8_u8, 0..12_u8, 0..4_u8, 0..9_u8, 0..9_u8);
    let changes = proptest::collection::vec((index(), 0..COLUMNS.len(), -3..400_i64), 0..8);
    (
        flags,
        0..3_u8,
        proptest::collection::vec(index(), 0..2),
        proptest::collection::vec(index(), 0..2),
        changes,
        proptest::collection::vec(
            (index(), proptest::collection::vec(any::<u16>(), 0..3)),
            0..2,
        ),
        -100..3000_i64,
    )
        .prop_map(
            |((key, missed, sample, part, segment), starts, ends, execs, changes, ports, later)| {
                Step {
                    key: key == 0,
                    missed: missed == 0,
                    sample: sample > 0,
                    ends_part: part == 0,
                    ends_segment: segment == 0,
                    starts,
                    ends,
                    execs,
                    changes,
                    ports,
                    later_ms: later,
                }
            },
        )
}

/// An agent in numbers: whose handle is whose, and the values it last sent.
#[derive(Default)]
pub(super) struct Agent {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) synced: bool,
    pub(super) now_ms: i64,
    pub(super) next_handle: u32,
    pub(super) next_pid: u32,
    pub(super) running: BTreeMap<u32, (Arc<Life>, Row, Vec<u16>)>,
}

fn life(pid: u32, image: u32) -> Arc<Life> {
    Arc::new(Life {
        id: Some(ProcessId::booted(
            pid,
            u64::from(pid / 3) * 100,
            BootId([9; 16]),
        )),
        ppid: (pid > 2).then_some(pid / 2),
        started_ns: Some(i64::from(pid / 3) * 1_000_000_000 + 17),
        image: Some(Arc::new(Image {
            seq: image,
            name: format!("p{}", pid % 4).into_bytes().into(),
            args: format!("/bin/p\0{pid}\0{image}\0").into_bytes().into(),
            args_bytes: 5,
            ..Image::default()
        })),
        cgroup: Some("/a".into()),
        ..Life::default()
    })
}

impl Agent {
    fn pick(&self, index: prop::sample::Index) -> Option<u32> {
        let handles: Vec<_> = self.running.keys().copied().collect();
        (!handles.is_empty()).then(|| *index.get(&handles))
    }

    pub(super) fn batch(&mut self, step: &Step) -> Batch {
        self.seq += 1 + u64::from(step.missed);
        self.synced &= !step.missed;
        self.now_ms += step.later_ms;
        let mut batch = Batch {
            key: step.key || self.epoch == 0,
            ..Batch::default()
        };
        self.epoch = 7;
        for index in &step.ends {
            if let Some(handle) = self.pick(*index) {
                self.running.remove(&handle);
                batch.ended.push(handle);
            }
        }
        for index in &step.execs {
            if let Some(handle) = self.pick(*index)
                && let Some((known, ..)) = self.running.get_mut(&handle)
                && let (Some(id), Some(image)) = (known.id, &known.image)
            {
                *known = life(id.pid, image.seq + 1);
                batch.lives.push((handle, Arc::clone(known)));
            }
        }
        for _ in 0..step.starts {
            self.next_pid += 1;
            self.next_handle += 1;
            let life = life(self.next_pid, 0);
            batch.lives.push((self.next_handle, Arc::clone(&life)));
            let process = (life, Row::default(), Vec::new());
            self.running.insert(self.next_handle, process);
        }
        if batch.key {
            self.renumber(&mut batch);
        }
        self.synced |= batch.key;
        if self.synced && (step.sample || batch.key) {
            batch.frame = Some(self.frame(step, batch.key));
            batch.totals = step.sample.then(|| Totals {
                cpus: 2,
                memory_available_bytes: self.now_ms as u64 * 4096,
                cpu_centipercent: (step.later_ms > 0).then_some(step.later_ms as u32),
                ..Totals::default()
            });
        }
        batch
    }

    /// All handles anew.
    fn renumber(&mut self, batch: &mut Batch) {
        batch.ended.clear();
        let all = std::mem::take(&mut self.running);
        let first = self.next_handle + 1;
        self.running = (first..).zip(all.into_values().rev()).collect();
        self.next_handle += self.running.len() as u32;
        batch.lives = self
            .running
            .iter()
            .map(|(handle, (life, ..))| (*handle, Arc::clone(life)))
            .collect();
    }

    fn frame(&mut self, step: &Step, key: bool) -> Frame {
        let before: BTreeMap<u32, Row> = self
            .running
            .iter()
            .map(|(handle, (_, row, _))| (*handle, if key { Row::default() } else { *row }))
            .collect();
        for (index, column, by) in &step.changes {
            if let Some(handle) = self.pick(*index)
                && let Some((_, row, _)) = self.running.get_mut(&handle)
            {
                let column = COLUMNS[*column];
                let value = row.get(column).unwrap_or(0).saturating_add_signed(*by);
                row.set(column, (*by != 0).then_some(value));
            }
        }
        let mut frame = Frame {
            ts_ns: self.now_ms * 1_000_000 + 4321,
            ..Frame::default()
        };
        for (index, ports) in &step.ports {
            if let Some(handle) = self.pick(*index)
                && let Some((.., known)) = self.running.get_mut(&handle)
            {
                known.clone_from(ports);
                frame.ports.push((handle, ports.clone()));
            }
        }
        if key {
            let all = self
                .running
                .iter()
                .filter(|(_, (.., ports))| !ports.is_empty());
            frame.ports = all
                .map(|(handle, (.., ports))| (*handle, ports.clone()))
                .collect();
        }
        for column in COLUMNS {
            let stored = |row: &Row| row.get(column).map_or(0, |value| value + 1);
            let changes: Vec<_> = self
                .running
                .iter()
                .map(|(handle, (_, row, _))| {
                    let delta = stored(row).wrapping_sub(stored(&before[handle]));
                    (*handle, delta as i64)
                })
                .filter(|(_, delta)| *delta != 0)
                .collect();
            if !changes.is_empty() {
                frame.columns.push(ColumnChanges { column, changes });
            }
        }
        if step.sample {
            self.add_intervals(step, &mut frame);
        }
        frame
    }

    fn add_intervals(&self, step: &Step, frame: &mut Frame) {
        if step.starts > 1 {
            frame.short_lived.push(ShortLived {
                name: Some(b"cc1".as_slice().into()),
                lives: u32::from(step.starts),
                cpu_time_ns: self.now_ms as u64,
                ..ShortLived::default()
            });
        }
        if let Some(handle) = step.ends.first().and_then(|index| self.pick(*index)) {
            let mut histogram = Histogram::default();
            histogram.buckets[5] = 3;
            frame.block_latency.push(BlockLatency {
                of: BlockSource::Issuer(handle),
                operation: Operation::Read,
                histogram,
            });
        }
    }
}
