use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::{BootId, ProcessId};
use proptest::prelude::*;

use super::*;
use crate::batch::{
    BUCKETS, Batch, BlockLatency, BlockSource, ColumnChanges, Credentials, Event, EventKind, Exit,
    Frame, Histogram, Image, Killer, Life, Loss, Oom, Operation, ShortLived, SlowIo, Totals,
};

fn life() -> impl Strategy<Value = Arc<Life>> {
    let id = proptest::option::of(prop_oneof![
        (any::<u32>(), any::<u64>(), any::<[u8; 16]>())
            .prop_map(|(pid, ticks, boot)| ProcessId::booted(pid, ticks, BootId(boot))),
        (any::<u32>(), any::<i64>()).prop_map(|(pid, ms)| ProcessId::upload(pid, ms)),
    ]);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12).prop_map(Vec::into_boxed_slice);
    let lengths = (0..5000_u64, any::<bool>());
    let image = (any::<u32>(), bytes(), bytes(), bytes(), lengths).prop_map(
        |(seq, name, exe, args, (args_bytes, args_cut))| Image {
            seq,
            name: name.into(),
            exe: exe.into(),
            args,
            args_bytes,
            args_cut,
        },
    );
    let text = || proptest::option::of("[a-z/é]{0,8}".prop_map(Arc::<str>::from));
    let credentials =
        (proptest::option::of(any::<u32>()), text()).prop_map(|(uid, username)| Credentials {
            uid,
            euid: uid,
            gid: Some(7),
            username,
        });
    let numbers = (
        proptest::option::of(any::<u32>()),
        proptest::option::of(any::<i64>()),
        any::<bool>(),
    );
    (
        id,
        numbers,
        proptest::option::of(image.prop_map(Arc::new)),
        proptest::option::of(credentials.prop_map(Arc::new)),
        text(),
        text(),
        text(),
    )
        .prop_map(
            |(id, numbers, image, credentials, cgroup, container_id, systemd_unit)| {
                let (ppid, started_ns, baseline) = numbers;
                Arc::new(Life {
                    id,
                    ppid,
                    started_ns,
                    image,
                    credentials,
                    cgroup,
                    container_id,
                    systemd_unit,
                    pid_namespace: ppid,
                    namespace_pid: ppid,
                    baseline,
                })
            },
        )
}

fn kind() -> impl Strategy<Value = EventKind> {
    let exit = (
        proptest::option::of(0..256_u32),
        proptest::option::of(0..u64::MAX - 1),
        any::<bool>(),
    )
        .prop_map(|(code, total, flag)| {
            EventKind::Exit(Box::new(Exit {
                code,
                cpu_time_ns: total,
                major_faults: total,
                core_dumped: flag,
                totals_final: !flag,
                oom_killed: code.map(|_| flag),
                killed_by: code.map(|code| {
                    Box::new(Killer {
                        id: ProcessId::booted(code, u64::from(code) << 20, BootId([7; 16])),
                        name: b"\xffkill".as_slice().into(),
                        uid: code,
                    })
                }),
                ..Exit::default()
            }))
        });
    let oom = (
        proptest::option::of(any::<i32>()),
        proptest::option::of(0..u64::MAX - 1),
    )
        .prop_map(|(oom_score_adj, rss_bytes)| {
            EventKind::Oom(Box::new(Oom {
                memory_cgroup: rss_bytes.map(|_| "/docker/é".into()),
                rss_bytes,
                oom_score_adj,
            }))
        });
    let io = (any::<u32>(), any::<u64>(), 0..5_u64).prop_map(|(major, bytes, operation)| {
        EventKind::SlowIo(Box::new(SlowIo {
            major,
            bytes,
            device: "vda".into(),
            operation: Operation::from_number(operation),
            latency_ns: bytes,
            ..SlowIo::default()
        }))
    });
    let loss = (any::<u64>(), any::<i64>()).prop_map(|(count, from_ns)| {
        EventKind::Loss(Box::new(Loss {
            kind: "exec".into(),
            reason: "ring_full".into(),
            count,
            from_ns,
            command: (count % 2 == 0).then(|| b"cc1".as_slice().into()),
            cgroup: (count % 3 == 0).then(|| "/build".into()),
        }))
    });
    prop_oneof![
        Just(EventKind::Fork),
        Just(EventKind::Exec),
        exit,
        io,
        loss,
        oom
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let changes = proptest::collection::btree_map(any::<u32>(), any::<i64>(), 0..6)
        .prop_map(|changes| changes.into_iter().collect());
    let column = (1..17_u32, changes).prop_map(|(id, changes)| ColumnChanges {
        column: Column::from_id(id).expect("a known column"),
        changes,
    });
    let ports = (any::<u32>(), proptest::collection::vec(any::<u16>(), 0..3));
    (
        any::<i64>(),
        proptest::collection::vec(column, 0..4),
        proptest::collection::vec(ports, 0..3),
        proptest::collection::vec(short_lived(), 0..3),
        proptest::collection::vec(block_latency(), 0..3),
    )
        .prop_map(
            |(ts_ns, columns, ports, short_lived, block_latency)| Frame {
                ts_ns,
                columns,
                ports,
                short_lived,
                block_latency,
            },
        )
}

fn short_lived() -> impl Strategy<Value = ShortLived> {
    (any::<u32>(), any::<u64>(), any::<bool>()).prop_map(|(lives, number, rest)| ShortLived {
        name: (!rest).then(|| b"cc1".as_slice().into()),
        uid: (!rest).then_some(lives),
        username: (!rest).then(|| "bob".into()),
        cgroup: (!rest).then(|| "/build".into()),
        container_id: None,
        lives,
        cpu_time_ns: number,
        read_bytes: number,
        write_bytes: 0,
        minor_faults: number,
        major_faults: 1,
    })
}

fn block_latency() -> impl Strategy<Value = BlockLatency> {
    let of = prop_oneof![
        any::<u32>().prop_map(BlockSource::Issuer),
        Just(BlockSource::Writeback),
        (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| BlockSource::Device {
            major,
            minor,
            name: "vda".into()
        }),
    ];
    (of, 0..5_u64, any::<u64>(), 0..BUCKETS).prop_map(|(of, operation, number, bucket)| {
        let mut histogram = Histogram {
            bytes: number,
            latency_sum_ns: number,
            ..Histogram::default()
        };
        histogram.buckets[bucket] = number;
        BlockLatency {
            of,
            operation: Operation::from_number(operation),
            histogram,
        }
    })
}

pub(in crate::store) fn batch() -> impl Strategy<Value = Batch> {
    let lives = proptest::collection::vec(life(), 1..6);
    let events =
        proptest::collection::vec((any::<i64>(), 0..8_usize, any::<bool>(), kind()), 0..12);
    let handles = proptest::collection::vec((any::<u32>(), 0..8_usize), 0..5);
    let rest = (
        any::<[bool; 3]>(),
        proptest::collection::vec(any::<u32>(), 0..4),
        proptest::option::of(frame()),
        any::<bool>(),
    );
    (lives, events, handles, rest).prop_map(
        |(lives, events, handles, ([key, more, continues], ended, frame, totals))| Batch {
            key,
            more,
            continues,
            ended,
            frame,
            totals: totals.then(|| Totals {
                cpus: 2,
                memory_total_bytes: 1 << 34,
                load_centi: [1, 2, 3],
                cpu_centipercent: Some(0),
                boot_ns: -5,
                ..Totals::default()
            }),
            events: events
                .into_iter()
                .map(|(ts_ns, index, sampled, kind)| Event {
                    ts_ns,
                    life: lives.get(index).cloned(),
                    sampled,
                    kind,
                })
                .collect(),
            lives: handles
                .into_iter()
                .map(|(handle, index)| (handle, Arc::clone(&lives[index % lives.len()])))
                .collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(batch in batch()) {
        let bytes = encode(&batch);
        prop_assert_eq!(&decode(&bytes).expect("just written"), &batch);
        prop_assert_eq!(decode_events(&bytes).expect("just written"), batch.events);
    }

    #[test]
    fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&tail);
        let _ = decode(&bytes);
        let _ = decode(&tail);
    }

    #[test]
    fn a_flipped_or_cut_batch_never_panics(batch in batch(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = encode(&batch);
        let index = at.index(bytes.len());
        let _ = decode(&bytes[..index]);
        bytes[index] ^= with;
        let _ = decode(&bytes);
    }
}

#[test]
fn unknown_sections_are_passed_over() {
    let batch = Batch {
        key: true,
        ..Batch::default()
    };
    let encoded = encode(&batch);
    let span = container::Sections::open(&encoded)
        .and_then(|sections| sections.read(section::SPAN))
        .expect("just written");
    let bytes = container::pack(&[(999, vec![1, 2, 3]), (section::SPAN, span.into_owned())]);
    assert_eq!(decode(&bytes).expect("readable"), batch);
}

#[test]
fn a_newer_version_is_named() {
    assert_eq!(decode(b"PMB1\x02\x00"), Err(FormatError::Version(2)));
    assert_eq!(decode(b"PMB2"), Err(FormatError::Magic));
}

/// Written by the first version, from an upload in which demo ended and demo2 began.
const FIRST_VERSION: &str = "504d423101060700050508002c2c02002929030018180400050501003232010001020180f99deefbd4b7ea31060104\
    0101a601020301010403040101ca010503010106070301010c1105010182ea30020801020e060204d309d4090307b8b989c6c0682a050202020802000409020101\
    0a0202050f0204040203010a80f99deefbd4b7ea31000204820181010302010201010101000604001004050e64656d6f2f7573722f62696e2f64656d6f202d78726f\
    6f7464656d6f322f7573722f62696e2f64656d6f32";

#[test]
fn what_the_first_version_stored_is_read() {
    let digits: Vec<u8> = FIRST_VERSION
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(text, 16).expect("a byte")
        })
        .collect();
    let batch = decode(&bytes).expect("readable");
    let [ended, began] = &batch.events[..] else {
        panic!("{batch:?}")
    };
    let EventKind::Exit(exit) = &ended.kind else {
        panic!("{ended:?}")
    };
    assert_eq!((&exit.killed_by, exit.oom_killed), (&None, None));
    let image = began.life.as_ref().and_then(|life| life.image.as_ref());
    let image = image.expect("an image");
    assert_eq!(
        (&*image.args, image.args_cut),
        (&b"/usr/bin/demo2"[..], false)
    );
    assert_eq!(
        encode(&batch),
        bytes,
        "what has nothing new to say is stored as before"
    );
}
