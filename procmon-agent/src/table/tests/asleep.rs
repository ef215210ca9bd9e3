//! Processes that did nothing between two samples: the table does not touch them, and misses nothing for it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use procmon_common::columns::Column;

use super::*;
use crate::sample::SampledIdentity;

/// As the iterator shows it.
fn shown(pid: u32, start_ticks: u64, cpu_time_ns: u64) -> Sampled {
    Sampled {
        pid,
        status: b'S',
        cpu_time_ns,
        identity: Some(SampledIdentity {
            start_boot_ns: start_ticks * 10_000_000,
            ..SampledIdentity::default()
        }),
        ..Sampled::default()
    }
}

fn merge(table: &mut Table, processes: Vec<Sampled>, previous: Option<Instant>) -> Instant {
    let sample = Sample {
        processes,
        ..sample(&[])
    };
    let taken = sample.taken;
    table.merge(sample, previous, Duration::ZERO);
    taken
}

/// A table with a parent and a child that have slept since the last sample.
fn sleeping() -> (Table, Instant) {
    let mut table = Table::new(false, true);
    exec(&mut table, PARENT, 50, b"parent\0");
    exec(&mut table, CHILD, 100, b"child\0");
    let mut previous = None;
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1));
        let processes = vec![shown(PARENT, 50, 7), shown(CHILD, 100, 7)];
        previous = Some(merge(&mut table, processes, previous));
        table.take_frame();
        table.take_changes();
    }
    (table, previous.expect("it was sampled"))
}

fn columns_of(table: &mut Table) -> Vec<(u32, Column)> {
    let mut told = Vec::new();
    let (columns, _) = table.take_frame();
    procmon_common::frame::for_each_change(&columns, |handle, column, _| {
        told.push((handle, column));
    })
    .expect("a frame");
    told
}

#[test]
fn who_slept_is_told_in_a_key_and_when_he_wakes() {
    let (mut table, previous) = sleeping();
    let rows = |table: &Table| [PARENT, CHILD].map(|pid| table.get(pid).expect("it lives").now);
    let asleep = rows(&table);
    let previous = merge(
        &mut table,
        vec![shown(PARENT, 50, 7), shown(CHILD, 100, 7)],
        Some(previous),
    );
    assert_eq!(rows(&table), asleep);
    assert!(columns_of(&mut table).is_empty());
    table.take_key();
    let handles: HashSet<u32> = columns_of(&mut table).iter().map(|told| told.0).collect();
    assert_eq!(handles.len(), 2, "a key tells all of them");
    std::thread::sleep(Duration::from_millis(1));
    let awake = vec![shown(PARENT, 50, 7), shown(CHILD, 100, 5_000_007)];
    merge(&mut table, awake, Some(previous));
    let child = table.get(CHILD).expect("it lives").handle;
    let told = columns_of(&mut table);
    assert!(told.contains(&(child, Column::CpuTimeMs)), "{told:?}");
    assert!(told.iter().all(|told| told.0 == child), "{told:?}");
}

#[test]
fn what_children_used_is_charged_to_one_who_sleeps_and_leaves_him_again() {
    let (mut table, mut previous) = sleeping();
    fork(&mut table, CHILD + 1, 200);
    exit(&mut table, CHILD + 1, 200);
    let totals = Totals {
        cpu_time_ns: 50_000_000,
        ..Totals::default()
    };
    table.apply(&Record::Free(FreeRecord {
        header: header(CHILD + 1, 200),
        totals,
    }));
    let mut charged = Vec::new();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1));
        let asleep = vec![shown(PARENT, 50, 7), shown(CHILD, 100, 7)];
        previous = merge(&mut table, asleep, Some(previous));
        let row = table.get(PARENT).expect("it lives").now;
        charged.push(row.get(Column::ShortLivedCpuCentipercent));
    }
    assert!(charged[0] > Some(0), "{charged:?}");
    assert_eq!(charged[1], Some(0));
}

#[test]
fn a_missed_end_is_found_among_those_who_sleep() {
    let (mut table, previous) = sleeping();
    merge(&mut table, vec![shown(PARENT, 50, 7)], Some(previous));
    let changes = table.take_changes();
    assert_eq!((exits(&changes).len(), changes.gone.len()), (1, 1));
    assert_eq!(table.len(), 1);
    assert!(
        table.unsampled.is_empty() || table.unsampled.contains_key(&CHILD),
        "only who is not in the sample"
    );
}

#[test]
fn the_start_of_another_life_under_the_pid_of_a_sleeper_is_met() {
    let (mut table, previous) = sleeping();
    fork(&mut table, CHILD, 4000);
    table.take_changes();
    // The list is older than the fork: it shows the life before.
    let old = vec![shown(PARENT, 50, 7), shown(CHILD, 100, 7)];
    let previous = merge(&mut table, old, Some(previous));
    assert_eq!(table.get(CHILD).expect("it lives").life.start_ticks, 4000);
    std::thread::sleep(Duration::from_millis(1));
    let new = vec![shown(PARENT, 50, 7), shown(CHILD, 4000, 9)];
    merge(&mut table, new, Some(previous));
    let row = table.get(CHILD).expect("it lives").now;
    assert_eq!(row.get(Column::CpuTimeMs), Some(0));
}
