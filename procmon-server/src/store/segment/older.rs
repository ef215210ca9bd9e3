//! What earlier versions wrote reads as what this one writes. `tests/store/data/segment-version-1` was written by version 1
//! from the batches that are made here.

use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column};
use procmon_common::ids::{ProcessId, Start};

use super::sample::tests::everything;
use super::{
    EventSegment, EventWriter, Replay, SampleBuilder, carried, decode_samples, join_parts,
    merge_samples,
};
use crate::batch::{
    Batch, ColumnChanges, Credentials, Event, EventKind, Exit, Frame, Image, Killer, Life, Loss,
    Oom, SlowIo, Totals,
};
use crate::store::history::LifeFilter;

const EVENTS: &[u8] = include_bytes!("../../../tests/store/data/segment-version-1/events");
const SAMPLES: &[u8] = include_bytes!("../../../tests/store/data/segment-version-1/samples");

const RUNNING: u32 = 6;
const BEGAN_NS: i64 = 1_769_860_800_123_456_789;

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn id(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start: Start::Booted {
            ticks: 1_000 + u64::from(pid) * 3,
            boot: 7,
        },
    }
}

fn life(pid: u32, parent: u32) -> Arc<Life> {
    let mut args = format!("/usr/bin/made-up\0--number={pid}\0").into_bytes();
    for number in 0..pid % 40 {
        args.extend_from_slice(format!("--file=/srv/{number}/{}.o\0", pid + number).as_bytes());
    }
    let in_container = pid.is_multiple_of(3);
    Arc::new(Life {
        id: Some(id(pid)),
        ppid: Some(parent),
        started_ns: Some(BEGAN_NS + i64::from(pid) * 30_000_001),
        image: Some(Arc::new(Image {
            seq: 1,
            name: Arc::from(format!("made-up-{}", pid % 4).as_bytes()),
            exe: Arc::from(&b"/usr/bin/made-up"[..]),
            args_bytes: args.len() as u64,
            args: args.into(),
            args_cut: false,
        })),
        credentials: Some(Arc::new(Credentials {
            uid: Some(1_000),
            euid: Some(1_000),
            gid: Some(100),
            username: Some("somebody".into()),
        })),
        cgroup: Some("/made-up.slice".into()),
        container_id: in_container.then(|| "0123456789ab".into()),
        systemd_unit: None,
        pid_namespace: Some(if in_container {
            4_026_532_000
        } else {
            4_026_531_836
        }),
        namespace_pid: Some(if in_container { pid - 90 } else { pid }),
        baseline: false,
    })
}

fn exit(numbers: &mut Numbers) -> Exit {
    let cpu_time_ns = numbers.next(4_000_000_000);
    let user_time_ns = numbers.next(cpu_time_ns + 1);
    Exit {
        code: (!cpu_time_ns.is_multiple_of(9)).then_some(numbers.next(3) as u32),
        signal: cpu_time_ns.is_multiple_of(9).then_some(9),
        totals_final: true,
        cpu_time_ns: Some(cpu_time_ns),
        user_time_ns: Some(user_time_ns),
        system_time_ns: Some(cpu_time_ns - user_time_ns),
        max_rss_bytes: Some(numbers.next(90_000) * 4_096),
        read_chars: Some(numbers.next(9_000_000)),
        write_chars: Some(numbers.next(70)),
        minor_faults: Some(numbers.next(50_000)),
        killed_by: cpu_time_ns.is_multiple_of(9).then(|| {
            Box::new(Killer {
                id: id(101),
                name: b"made-up-1"[..].into(),
                uid: 0,
            })
        }),
        ..Exit::default()
    }
}

fn events(number: u32, numbers: &mut Numbers) -> Vec<Event> {
    let mut ts_ns = BEGAN_NS + i64::from(number) * 1_000_000_007;
    let mut all = Vec::new();
    let mut add = |life: Option<Arc<Life>>, kind, after_ns: u64| {
        ts_ns += after_ns as i64;
        all.push(Event {
            ts_ns,
            life,
            sampled: false,
            kind,
        });
    };
    for child in 0..4 {
        let short = life(200 + number * 4 + child, 100 + number % RUNNING);
        add(
            Some(Arc::clone(&short)),
            EventKind::Exec,
            numbers.next(90_000_000),
        );
        let ended = EventKind::Exit(Box::new(exit(numbers)));
        add(Some(short), ended, numbers.next(90_000_000));
    }
    let io = SlowIo {
        major: 8,
        device: "sda".into(),
        latency_ns: 2_000_000,
        ..SlowIo::default()
    };
    add(Some(life(103, 100)), EventKind::SlowIo(Box::new(io)), 5);
    let loss = Loss {
        kind: "exec".into(),
        reason: "ring_full".into(),
        count: 3,
        from_ns: BEGAN_NS,
        ..Loss::default()
    };
    add(None, EventKind::Loss(Box::new(loss)), 5);
    let oom = Oom {
        rss_bytes: Some(1 << 30),
        ..Oom::default()
    };
    add(Some(life(104, 100)), EventKind::Oom(Box::new(oom)), 5);
    all
}

fn frame(number: u32, numbers: &mut Numbers) -> Frame {
    let changing = [
        Column::CpuCentipercent,
        Column::CpuTimeMs,
        Column::RssKib,
        Column::MinorFaults,
    ];
    let columns = changing.map(|column| ColumnChanges {
        column,
        changes: (0..RUNNING)
            .filter(|handle| number.is_multiple_of(handle + 1))
            .map(|handle| (handle, numbers.next(1_000) as i64 + 1))
            .collect(),
    });
    Frame {
        ts_ns: BEGAN_NS + i64::from(number) * 1_000_000_000,
        columns: columns.into(),
        ports: vec![(number % RUNNING, vec![80, 8_000 + number as u16])],
        ..Frame::default()
    }
}

pub(in crate::store) fn batches() -> Vec<Batch> {
    let mut numbers = Numbers(1);
    let mut all = Vec::new();
    for number in 0..80 {
        let lives = (0..RUNNING).map(|handle| (handle, life(100 + handle, 1 + handle / 2)));
        all.push(Batch {
            key: number == 0,
            events: events(number, &mut numbers),
            lives: if number == 0 {
                lives.collect()
            } else {
                Vec::new()
            },
            frame: Some(frame(number, &mut numbers)),
            totals: Some(Totals {
                cpus: 2,
                memory_total_bytes: 1 << 33,
                load_centi: [number, 2, 3],
                ..Totals::default()
            }),
            ..Batch::default()
        });
    }
    all
}

/// Samples and events, as this version writes them.
pub(in crate::store) fn written(batches: &[Batch]) -> (Vec<u8>, Vec<u8>) {
    let (mut replay, mut builder) = (Replay::default(), SampleBuilder::default());
    let mut writer = EventWriter::default();
    for (seq, batch) in (1..).zip(batches) {
        replay.apply(batch, 5, seq, &mut builder);
        writer.push(3, seq as i64, seq as i64 * 1_000, &batch.events);
    }
    let samples = join_parts(&[builder.finish(&replay)]);
    (samples, writer.finish().0)
}

#[test]
fn events_of_version_1_are_read() {
    assert_eq!(EVENTS[4], 1);
    let (_, newer) = written(&batches());
    let read = |bytes: &[u8]| {
        let segment = EventSegment::open(bytes).expect("a segment");
        let blocks: Result<Vec<_>, _> = segment.batches().collect();
        blocks.expect("a segment").concat()
    };
    let events: Vec<_> = batches().into_iter().map(|batch| batch.events).collect();
    let found: Vec<_> = read(EVENTS).into_iter().map(|batch| batch.events).collect();
    assert_eq!(found, events);
    assert_eq!(read(EVENTS), read(&newer));
    assert!(newer.len() < EVENTS.len(), "{} bytes", newer.len());
}

#[test]
fn samples_of_version_1_are_read_and_merged() {
    let (newer, _) = written(&batches());
    let query = everything();
    let read = |bytes: &[u8]| decode_samples(bytes, &query).expect("a segment");
    let older = read(SAMPLES);
    assert_eq!(
        (older.sample_ms.len(), older.lives.len()),
        (80, RUNNING as usize)
    );
    assert!(older == read(&newer));
    let merged = merge_samples(&[SAMPLES.to_vec()]).expect("a segment");
    assert!(older == read(&merged));
    let last = |bytes: &[u8]| format!("{:?}", carried(bytes, LifeFilter::All, &COLUMNS));
    assert_eq!(last(SAMPLES), last(&newer));
}
