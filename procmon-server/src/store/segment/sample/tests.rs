//! What segments say against what live state showed when the samples were taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column, Row};
use procmon_common::ids::{BootId, ProcessId};
use proptest::prelude::*;

use super::{decode_samples, decode_totals, join_parts, merge_samples, resume};
use crate::batch::{
    Batch, BlockLatency, BlockSource, ColumnChanges, Frame, Histogram, Image, Life, Operation,
    ShortLived, Totals,
};
use crate::clock::Clock;
use crate::live::Live;
use crate::live::apply::Place;
use crate::store::history::{HostSamples, LifeFilter, SampleQuery};
use crate::store::segment::{Replay, SampleBuilder};

/// What one batch does.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn for itself")]
struct Step {
    key: bool,
    missed: bool,
    sample: bool,
    ends_part: bool,
    ends_segment: bool,
    starts: u8,
    ends: Vec<prop::sample::Index>,
    execs: Vec<prop::sample::Index>,
    changes: Vec<(prop::sample::Index, usize, i64)>,
    ports: Vec<(prop::sample::Index, Vec<u16>)>,
    later_ms: i64,
}

fn step() -> impl Strategy<Value = Step> {
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
struct Agent {
    epoch: u64,
    seq: u64,
    synced: bool,
    now_ms: i64,
    next_handle: u32,
    next_pid: u32,
    running: BTreeMap<u32, (Arc<Life>, Row, Vec<u16>)>,
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
        image: Some(Image {
            seq: image,
            name: format!("p{}", pid % 4).into_bytes().into(),
            args: format!("/bin/p\0{pid}\0{image}\0").into_bytes().into(),
            args_bytes: 5,
            ..Image::default()
        }),
        cgroup: Some("/a".into()),
        ..Life::default()
    })
}

impl Agent {
    fn pick(&self, index: prop::sample::Index) -> Option<u32> {
        let handles: Vec<_> = self.running.keys().copied().collect();
        (!handles.is_empty()).then(|| *index.get(&handles))
    }

    fn batch(&mut self, step: &Step) -> Batch {
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

/// A process as a sample shows it.
type Seen = (Life, BTreeMap<Column, i64>, Vec<u16>);
type Values = (ProcessId, BTreeMap<Column, i64>, Vec<u16>);
/// A sample: when, and who was there.
type Snapshot = (i64, BTreeMap<ProcessId, Seen>);

#[derive(Default)]
struct Recorded {
    snapshots: Vec<Snapshot>,
    short_lived: Vec<(u32, ShortLived)>,
    totals: Vec<(i64, Totals)>,
    segments: Vec<Vec<u8>>,
}

fn record(steps: &[Step]) -> Recorded {
    let live = Live::new(Clock::System);
    let entry = live.entry("a").expect("room for one");
    let mut recorded = Recorded::default();
    let mut agent = Agent {
        now_ms: 10_000,
        ..Agent::default()
    };
    let (mut replay, mut builder) = (Replay::default(), SampleBuilder::default());
    let mut parts = Vec::new();
    for step in steps {
        let batch = agent.batch(step);
        replay.apply(&batch, agent.epoch, agent.seq, &mut builder);
        let place = Place {
            epoch: agent.epoch,
            seq: agent.seq,
            received_ms: 1,
        };
        let mut host = entry.write();
        host.apply(&batch, place, Vec::new());
        if let Some(frame) = &batch.frame {
            let views = host.views(1).map(|view| {
                let values = COLUMNS.iter().filter_map(|column| {
                    let value = view.metric(*column)?;
                    Some((*column, value as i64))
                });
                let listening = view.process.ports.as_deref().unwrap_or_default();
                let seen = Life::clone(&view.process.life);
                (view.id, (seen, values.collect(), listening.to_vec()))
            });
            let index = recorded.snapshots.len() as u32;
            let ms = frame.ts_ns.div_euclid(1_000_000);
            recorded.snapshots.push((ms, views.collect()));
            recorded
                .totals
                .extend(batch.totals.map(|totals| (ms, totals)));
            let groups = frame.short_lived.iter().cloned();
            recorded
                .short_lived
                .extend(groups.map(|group| (index, group)));
        }
        if step.ends_part || step.ends_segment {
            parts.push(std::mem::take(&mut builder).finish(&replay));
            if step.ends_segment {
                recorded.segments.push(join_parts(&parts));
                parts.clear();
            }
            let last = parts.last().or(recorded.segments.last());
            let last = last.expect("just pushed").clone();
            let whole = if step.ends_segment {
                last
            } else {
                join_parts(&[last])
            };
            (replay, builder) = resume(&whole).expect("just written");
        }
    }
    parts.push(builder.finish(&replay));
    recorded.segments.push(join_parts(&parts));
    recorded
}

fn everything() -> SampleQuery {
    SampleQuery {
        agent_id: "a".into(),
        from_ms: i64::MIN,
        to_ms: i64::MAX,
        clock_offset_ms: 0,
        lives: LifeFilter::All,
        columns: COLUMNS.to_vec(),
        ports: true,
        short_lived: true,
    }
}

fn read(segments: &[Vec<u8>], query: &SampleQuery) -> HostSamples {
    let mut all = HostSamples::default();
    for segment in segments {
        all.append(decode_samples(segment, query).expect("just written"));
    }
    all
}

/// What was read, sample by sample. A life is shown as it was in the end, so the last sample alone has it for sure.
fn shown(samples: &HostSamples, columns: &[Column]) -> Vec<Snapshot> {
    let at = |index: usize| {
        let present = samples
            .lives
            .iter()
            .filter(|life| (life.first..=life.last).contains(&index));
        let each = present.filter_map(|life| {
            let values = columns.iter().enumerate().filter_map(|(number, column)| {
                let value = life.value_at(number, index)?;
                Some((*column, value))
            });
            let ports = life.ports_at(index).unwrap_or_default().to_vec();
            let seen = (Life::clone(&life.life), values.collect(), ports);
            Some((life.life.id?, seen))
        });
        (samples.sample_ms[index], each.collect())
    };
    (0..samples.sample_ms.len()).map(at).collect()
}

fn without_lives(snapshots: &[Snapshot]) -> Vec<(i64, Vec<Values>)> {
    let seen = |(id, (_, values, ports)): (&ProcessId, &Seen)| (*id, values.clone(), ports.clone());
    snapshots
        .iter()
        .map(|(ms, all)| (*ms, all.iter().map(seen).collect()))
        .collect()
}

proptest! {
    #[test]
    fn segments_say_what_was_shown(steps in proptest::collection::vec(step(), 1..60)) {
        let recorded = record(&steps);
        let query = everything();
        let merged = [merge_samples(&recorded.segments).expect("just written")];
        for segments in [&recorded.segments[..], &merged[..]] {
            let read = read(segments, &query);
            let shown = shown(&read, &COLUMNS);
            prop_assert_eq!(without_lives(&shown), without_lives(&recorded.snapshots));
            prop_assert_eq!(&read.short_lived, &recorded.short_lived);
            if let (Some((_, last)), Some((_, expected))) = (shown.last(), recorded.snapshots.last()) {
                let lives = |all: &BTreeMap<ProcessId, Seen>| all.values().map(|seen| seen.0.clone()).collect::<Vec<_>>();
                prop_assert_eq!(lives(last), lives(expected));
            }
            let totals: Vec<_> = segments.iter().flat_map(|segment| {
                decode_totals(segment, i64::MIN, i64::MAX).expect("just written")
            }).collect();
            prop_assert_eq!(&totals, &recorded.totals);
        }
    }

    #[test]
    fn a_query_of_a_part_is_a_part_of_the_whole(
        steps in proptest::collection::vec(step(), 1..40), from in 0..20_000_i64, length in 0..20_000_i64, pid in 1..20_u32, column in 0..COLUMNS.len()
    ) {
        let recorded = record(&steps);
        let merged = [merge_samples(&recorded.segments).expect("just written")];
        let query = SampleQuery {
            from_ms: from,
            to_ms: from + length,
            lives: LifeFilter::Pid(pid),
            columns: vec![COLUMNS[column]],
            ..everything()
        };
        let expected: Vec<Snapshot> = recorded.snapshots.iter().filter(|(ms, _)| (from..from + length).contains(ms)).map(|(ms, all)| {
            let own = all.iter().filter(|(id, _)| id.pid == pid).map(|(id, (life, values, ports))| {
                let values = values.iter().filter(|(known, _)| **known == COLUMNS[column]).map(|(known, value)| (*known, *value)).collect();
                (*id, (life.clone(), values, ports.clone()))
            });
            (*ms, own.collect())
        }).collect();
        for segments in [&recorded.segments[..], &merged[..]] {
            let shown = shown(&read(segments, &query), &query.columns);
            prop_assert_eq!(without_lives(&shown), without_lives(&expected));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(steps in proptest::collection::vec(step(), 1..20), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let recorded = record(&steps);
        let mut bytes = merge_samples(&recorded.segments).expect("just written");
        let index = at.index(bytes.len());
        let _ = decode_samples(&bytes[..index], &everything());
        bytes[index] ^= with;
        let _ = decode_samples(&bytes, &everything());
        let _ = resume(&bytes);
        let _ = merge_samples(&[bytes]);
    }
}
