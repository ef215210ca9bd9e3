//! What the batches of a host tell must be what the host has.

use std::collections::BTreeMap;

use procmon_common::columns::{COLUMNS, Column};
use procmon_common::frame::for_each_change;

use super::*;

fn plan(lives_per_minute: f64) -> Plan {
    Plan {
        agent: 3,
        agent_id: "load-3".into(),
        processes: 300,
        interval_ms: 5000,
        lives_per_minute,
        first_sample_ns: 1_769_860_800_000_000_000,
    }
}

fn run(host: &mut Host, batches: usize) -> Vec<Outgoing> {
    let mut all = Vec::new();
    let mut now_ns = 0;
    while all.len() < batches {
        now_ns = host.next_batch_ns().max(now_ns);
        all.extend(host.batches(now_ns));
    }
    all
}

#[test]
fn rows_change_as_often_as_they_were_measured_to() {
    let mut host = Host::new(plan(0.0));
    let mut changes = BTreeMap::new();
    for out in &run(&mut host, 201)[1..] {
        let frame = out.batch.frame.as_ref().expect("each batch is a sample");
        for_each_change(&frame.columns, |_, column, _| {
            *changes.entry(column).or_insert(0_u32) += 1;
        })
        .expect("a frame");
    }
    let rows = 300.0 * 200.0;
    let share = |column: Column| f64::from(changes[&column]) / rows;
    for (column, low, high) in [
        (Column::VoluntarySwitches, 0.11, 0.17),
        (Column::CpuTimeMs, 0.05, 0.09),
        (Column::MinorFaults, 0.02, 0.06),
        (Column::RssKib, 0.01, 0.03),
    ] {
        assert!(
            (low..high).contains(&share(column)),
            "{column:?}: {}",
            share(column)
        );
    }
}

/// What a server would know must be what the host has.
#[test]
fn the_batches_add_up() {
    let mut host = Host::new(plan(600.0));
    let mut known: BTreeMap<u32, Row> = BTreeMap::new();
    let (mut execs, mut exits, mut now_ns) = (0, 0, 0);
    for number in 0..400 {
        if number == 200 {
            host.resync();
        }
        now_ns = host.next_batch_ns().max(now_ns);
        for out in host.batches(now_ns) {
            let batch = &out.batch;
            if batch.key {
                known.clear();
            }
            known.extend(
                batch
                    .processes
                    .iter()
                    .map(|process| (process.handle, Row::default())),
            );
            for event in &batch.events {
                assert!(known.contains_key(&event.handle), "{event:?} names nobody");
                if let Some(wire::event::Kind::Exit(_)) = event.kind {
                    known.remove(&event.handle);
                }
            }
            let columns = batch.frame.as_ref().map_or(&[][..], |frame| &frame.columns);
            for_each_change(columns, |handle, column, delta| {
                known.get_mut(&handle).expect("known").apply(column, delta);
            })
            .expect("a frame");
            execs += out.execs.len();
            exits += out.exits.len();
        }
    }
    assert!(execs > 300 && exits > 250, "{execs} {exits}");
    assert_eq!(known.len(), host.running.len());
    for one in host.running.iter().filter(|one| one.sampled) {
        for column in COLUMNS {
            let expected = one.identity.row(&one.values).get(column);
            assert_eq!(
                known[&one.handle].get(column),
                expected,
                "{column:?} of {one:?}"
            );
        }
    }
}

#[test]
fn a_host_of_many_processes_needs_several_batches() {
    let mut host = Host::new(Plan {
        processes: 5000,
        ..plan(0.0)
    });
    let batches = run(&mut host, 2);
    assert!(batches[0].batch.more && batches[0].batch.key && !batches[0].is_sample);
    assert!(!batches[1].batch.more && !batches[1].batch.key && batches[1].is_sample);
    assert_eq!(batches[1].batch.seq, 2);
}
