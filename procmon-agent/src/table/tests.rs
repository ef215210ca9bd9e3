//! The table against records as the kernel would send them. The pids are beyond the kernel's limit, so that nothing of
//! this host is looked up.

use bytemuck::Zeroable;
use procmon_common::kernel::{
    ABI_VERSION, ExecRecord, ExitRecord, ForkRecord, FreeRecord, Header, Totals,
};
use procmon_common::wire::event::Kind;

use super::*;
use crate::decode::Record;
use crate::sample::{Sample, Sampled};

mod asleep;
mod order;

const PARENT: u32 = 5_000_000;
const CHILD: u32 = 5_000_001;

fn header(pid: u32, start_ticks: u64) -> Header {
    Header {
        abi: ABI_VERSION,
        pid,
        ppid: PARENT,
        ts_boot_ns: 20_000_000_000,
        start_boot_ns: start_ticks * 10_000_000,
        ..Header::zeroed()
    }
}

fn fork(table: &mut Table, pid: u32, start_ticks: u64) {
    let comm = *b"parent\0\0\0\0\0\0\0\0\0\0";
    table.apply(&Record::Fork(ForkRecord {
        header: header(pid, start_ticks),
        comm,
        ..ForkRecord::zeroed()
    }));
}

fn exec(table: &mut Table, pid: u32, start_ticks: u64, args: &[u8]) {
    let record = ExecRecord {
        header: header(pid, start_ticks),
        args_bytes: args.len() as u64,
        max_rss_pages_before: 9000,
        ..ExecRecord::zeroed()
    };
    table.apply(&Record::Exec {
        record,
        exe: b"/bin/child",
        args,
    });
}

fn exit(table: &mut Table, pid: u32, start_ticks: u64) {
    let header = header(pid, start_ticks);
    table.apply(&Record::Exit(ExitRecord {
        header,
        wait_status: 3 << 8,
        ..ExitRecord::zeroed()
    }));
}

fn free(table: &mut Table, pid: u32, start_ticks: u64) {
    let totals = Totals {
        cpu_time_ns: 4711,
        ..Totals::default()
    };
    table.apply(&Record::Free(FreeRecord {
        header: header(pid, start_ticks),
        totals,
    }));
}

fn exits(changes: &Changes) -> Vec<(u32, wire::Exit)> {
    let exits = changes.events.iter().filter_map(|event| match &event.kind {
        Some(Kind::Exit(exit)) => Some((event.handle, exit.clone())),
        _ => None,
    });
    exits.collect()
}

#[test]
fn a_life_is_told_once_and_whole() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    exec(&mut table, CHILD, 100, b"child\0-x\0");
    exit(&mut table, CHILD, 100);
    assert!(
        exits(&table.take_key()).is_empty(),
        "an exit waits for its totals"
    );
    free(&mut table, CHILD, 100);
    let changes = table.take_changes();
    let [(_, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (exit.code, exit.cpu_time_ns, exit.totals_final),
        (Some(3), Some(4711), true)
    );
    assert!(table.is_empty() && changes.gone.is_empty());
}

#[test]
fn a_second_exit_record_of_one_life_is_ignored() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    table.expire(u64::MAX, |_| true);
    exit(&mut table, CHILD, 100);
    table.expire(u64::MAX, |_| true);
    assert_eq!(exits(&table.take_changes()).len(), 1);
}

#[test]
fn a_zombie_is_told_then_kept_until_it_is_reaped() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    table.expire(20_139_999_999, |_| true);
    assert!(exits(&table.take_changes()).is_empty());
    table.expire(20_140_000_000, |_| true);
    let changes = table.take_changes();
    assert!(!exits(&changes)[0].1.totals_final);
    assert_eq!(table.len(), 1);
    free(&mut table, CHILD, 100);
    let reaped = table.take_changes();
    assert!(exits(&reaped).is_empty(), "reaping is no second end");
    assert_eq!(reaped.gone, [exits(&changes)[0].0]);
}

#[test]
fn a_reaped_process_goes_even_when_the_kernel_never_says_that_it_is_freed() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    table.expire(u64::MAX, |_| false);
    let changes = table.take_changes();
    assert_eq!((exits(&changes).len(), changes.gone.len()), (1, 1));
    assert!(table.is_empty());
    free(&mut table, CHILD, 100);
    assert!(!table.has_changes(), "the late word changes nothing");
}

#[test]
fn a_zombie_whose_end_was_not_told_goes_with_the_next_sample() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    table.expire(u64::MAX, |_| true);
    table.take_changes();
    table.merge(sample(&[]), None, std::time::Duration::ZERO);
    let changes = table.take_changes();
    assert_eq!((exits(&changes).len(), changes.gone.len()), (0, 1));
}

#[test]
fn a_reused_pid_is_another_life_and_the_lost_end_is_told() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    fork(&mut table, CHILD, 200);
    let changes = table.take_changes();
    let [first, second] = &changes.processes[..] else {
        panic!("{changes:?}")
    };
    assert_ne!(first.handle, second.handle);
    let [(handle, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (*handle, exit.code, exit.signal),
        (first.handle, None, None)
    );
    assert!(changes.events[0].sampled, "it was deduced");
    // A late record of the first life changes nothing of the second.
    free(&mut table, CHILD, 100);
    assert!(!table.has_changes());
}

#[test]
fn records_without_a_fork_still_make_a_life() {
    let mut table = Table::new(false, true);
    exec(&mut table, CHILD, 100, b"child\0");
    exit(&mut table, CHILD + 1, 101);
    free(&mut table, CHILD + 1, 101);
    let changes = table.take_changes();
    assert_eq!(changes.processes.len(), 2);
    assert_eq!((changes.events.len(), exits(&changes).len()), (2, 1));
}

#[test]
fn children_begin_with_the_image_of_their_parent() {
    let mut table = Table::new(true, true);
    exec(&mut table, PARENT, 50, b"parent\0--flag\0");
    fork(&mut table, CHILD, 100);
    exec(&mut table, CHILD, 100, b"child\0");
    let changes = table.take_changes();
    let born = changes.processes[1].image.clone().expect("an image");
    assert_eq!((born.seq, &born.args[..]), (0, &b"parent\0--flag\0"[..]));
    assert!(matches!(changes.events[1].kind, Some(Kind::Fork(_))));
    let Some(Kind::Exec(wire::Exec {
        image: Some(image), ..
    })) = &changes.events[2].kind
    else {
        panic!("{changes:?}")
    };
    assert_eq!((image.seq, &image.args[..]), (1, &b"child\0"[..]));
}

#[test]
fn a_key_names_all_that_live_and_all_that_its_events_name() {
    let mut table = Table::new(false, true);
    fork(&mut table, PARENT, 50);
    table.take_changes();
    fork(&mut table, CHILD, 100);
    exit(&mut table, CHILD, 100);
    free(&mut table, CHILD, 100);
    let key = table.take_key();
    let handles: Vec<u32> = key.processes.iter().map(|process| process.handle).collect();
    assert_eq!(handles.len(), 2);
    assert!(
        key.events
            .iter()
            .all(|event| handles.contains(&event.handle))
    );
}

fn sample(pids: &[u32]) -> Sample {
    let processes = pids.iter().map(|pid| Sampled {
        pid: *pid,
        status: b'S',
        ..Sampled::default()
    });
    Sample {
        taken: std::time::Instant::now(),
        ts_unix_ns: 0,
        ts_boot_ns: 30_000_000_000,
        processes: processes.collect(),
        ports: Vec::new(),
        host: wire::HostTotals::default(),
    }
}

#[test]
fn a_sample_finds_the_end_that_was_missed() {
    let mut table = Table::new(false, true);
    fork(&mut table, PARENT, 50);
    fork(&mut table, CHILD, 100);
    table.merge(sample(&[PARENT, CHILD]), None, std::time::Duration::ZERO);
    table.take_changes();
    assert!(!table.take_frame().0.is_empty());
    assert!(table.take_frame().0.is_empty(), "nothing changed since");
    table.merge(sample(&[PARENT]), None, std::time::Duration::ZERO);
    let changes = table.take_changes();
    assert_eq!((exits(&changes).len(), changes.gone.len()), (1, 1));
    assert!(changes.events[0].sampled);
    assert_eq!(table.len(), 1);
}

#[test]
fn this_host_s_missed_start_is_found_by_a_sample() {
    let mut table = Table::new(false, true);
    let own = || Sample {
        ts_boot_ns: crate::enrich::clock::boot_ns(),
        ..sample(&[std::process::id()])
    };
    table.merge(own(), None, std::time::Duration::from_hours(24 * 365 * 100));
    assert!(
        table.is_empty(),
        "younger than the grace: its record may be on its way"
    );
    table.merge(own(), None, std::time::Duration::ZERO);
    let changes = table.take_changes();
    assert!(matches!(
        changes.events[..],
        [wire::Event {
            sampled: true,
            kind: Some(Kind::Exec(_)),
            ..
        }]
    ));
}

#[test]
fn what_the_agent_before_has_told_is_not_told_again() {
    let adopted = |pid, start_ticks| KnownProcess {
        process: wire::Process {
            pid,
            start_ticks,
            ..wire::Process::default()
        },
        ..KnownProcess::default()
    };
    let mut table = Table::new(false, true);
    table.adopt(&adopted(CHILD, 100));
    table.take_changes();
    let record = |pid| ExitRecord {
        header: header(pid, 100),
        ..ExitRecord::zeroed()
    };
    let exec = ExecRecord {
        header: header(CHILD, 100),
        ..ExecRecord::zeroed()
    };
    let again = Record::Exec {
        record: exec,
        exe: b"/bin/child",
        args: b"",
    };
    table.apply_placed(&again, Place::at(0), true);
    // Its end was told: it is not among what that agent knew.
    table.apply_placed(&Record::Exit(record(PARENT)), Place::at(96), true);
    assert!(!table.has_changes());
    assert_eq!(table.oldest_open(), None);

    // This one waited for its totals when that agent was killed.
    table.apply_placed(&Record::Exit(record(CHILD)), Place::at(192), true);
    assert_eq!(table.oldest_open(), Some(Place::at(192)));
    let free = FreeRecord {
        header: header(CHILD, 100),
        ..FreeRecord::zeroed()
    };
    table.apply_placed(&Record::Free(free), Place::at(288), false);
    assert_eq!(table.oldest_open(), None);
    let changes = table.take_changes();
    let [(_, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert!(exit.totals_final);
}

#[test]
fn a_zombie_whose_end_was_told_before_ends_without_another() {
    let mut table = Table::new(false, true);
    let zombie = KnownProcess {
        process: wire::Process {
            pid: CHILD,
            start_ticks: 100,
            ..wire::Process::default()
        },
        has_told_exit: true,
        ..KnownProcess::default()
    };
    table.adopt(&zombie);
    table.take_changes();
    free(&mut table, CHILD, 100);
    let changes = table.take_changes();
    assert!(changes.events.is_empty());
    assert_eq!(changes.gone.len(), 1);
}
