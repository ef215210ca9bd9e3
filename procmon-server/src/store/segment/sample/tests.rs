//! What segments say against what live state showed when the samples were taken.

mod agent;

use std::collections::BTreeMap;

use procmon_common::columns::{COLUMNS, Column};
use procmon_common::ids::ProcessId;
use proptest::prelude::*;

use self::agent::{Agent, Step, step};
use super::{decode_samples, decode_totals, join_parts, merge_samples, resume};
use crate::batch::{Life, ShortLived, Totals};
use crate::clock::Clock;
use crate::live::Live;
use crate::live::apply::Place;
use crate::store::history::{HostSamples, LifeFilter, SampleQuery};
use crate::store::segment::{Replay, SampleBuilder};

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
    let live = Live::new(
        Clock::System,
        crate::ingest::limits::IngestLimits::default(),
    );
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
        if let Some(frame) = &batch.frame
            && !batch.repeats_a_sample()
        {
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

pub(in crate::store::segment) fn everything() -> SampleQuery {
    SampleQuery {
        agent_id: "a".into(),
        from_ms: i64::MIN,
        to_ms: i64::MAX,
        clock_offset_ms: 0,
        lives: LifeFilter::All,
        columns: COLUMNS.to_vec(),
        ports: true,
        short_lived: true,
        reaching: Vec::new(),
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
