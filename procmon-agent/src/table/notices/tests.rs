//! Notices of processes that `/proc` does not show any more: the pids are beyond the kernel's limit.

use procmon_common::wire::event::Kind;

use super::*;
use crate::table::Changes;

const PARENT: u32 = 5_000_000;
const CHILD: u32 = 5_000_001;
const SECOND: u64 = 1_000_000_000;

fn seen(name: &[u8]) -> Seen {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    Seen {
        uid: 1000,
        gid: 100,
        cgroup_id: 0,
        comm,
    }
}

fn notice(table: &mut Table, pid: u32, ts_boot_ns: u64, happened: Happened<'_>) {
    table.notice(&Notice {
        pid,
        ts_boot_ns,
        happened,
    });
}

fn fork(table: &mut Table, pid: u32, ts_boot_ns: u64, seen: Option<Seen>) {
    let parent = Some(PARENT);
    notice(table, pid, ts_boot_ns, Happened::Forked { parent, seen });
}

fn exec(table: &mut Table, ts_boot_ns: u64, seen: Option<Seen>, exe: &[u8]) {
    notice(table, CHILD, ts_boot_ns, Happened::Executed { seen, exe });
}

fn end(table: &mut Table, tid: u32, ts_boot_ns: u64, group_dead: bool, status: Option<u32>) {
    let happened = Happened::ThreadEnded {
        tid,
        group_dead,
        status,
    };
    notice(table, CHILD, ts_boot_ns, happened);
}

fn finish(table: &mut Table) -> Changes {
    table.expire(u64::MAX, |_| false);
    table.take_changes()
}

fn exits(changes: &Changes) -> Vec<(i64, bool, wire::Exit)> {
    let exits = changes.events.iter().filter_map(|event| match &event.kind {
        Some(Kind::Exit(exit)) => Some((event.ts_unix_ns, event.sampled, exit.clone())),
        _ => None,
    });
    exits.collect()
}

#[test]
fn what_is_not_known_is_not_invented() {
    let mut table = Table::new(false, false);
    fork(&mut table, CHILD, 20 * SECOND, Some(seen(b"shell")));
    exec(&mut table, 20 * SECOND, Some(seen(b"child")), b"/bin/child");
    end(&mut table, CHILD, 21 * SECOND, true, None);
    let changes = finish(&mut table);
    let [process] = &changes.processes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (process.pid, process.start_ticks, process.ppid),
        (CHILD, 2000, PARENT)
    );
    assert!(!process.baseline && process.pid_namespace.is_none());
    let Some(Kind::Exec(exec)) = &changes.events[0].kind else {
        panic!("{changes:?}")
    };
    let image = exec.image.as_ref().expect("an image");
    assert_eq!(
        (&*image.name, &*image.exe),
        (&b"child"[..], &b"/bin/child"[..])
    );
    assert!(image.args.is_empty() && image.args_bytes == 0);
    let credentials = exec.credentials.as_ref().expect("credentials");
    assert_eq!(
        (credentials.uid, credentials.euid, credentials.gid),
        (1000, None, 100)
    );
    let [(_, sampled, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert!(!sampled);
    assert_eq!(*exit, wire::Exit::default());
    assert!(table.is_empty());
}

#[test]
fn without_a_tracepoint_not_even_the_name_is_known() {
    let mut table = Table::new(false, false);
    fork(&mut table, CHILD, 20 * SECOND, None);
    exec(&mut table, 20 * SECOND, None, b"");
    let changes = table.take_changes();
    let Some(Kind::Exec(exec)) = &changes.events[0].kind else {
        panic!("{changes:?}")
    };
    assert_eq!(exec.credentials, None);
    assert_eq!(
        exec.image,
        Some(wire::Image {
            seq: 1,
            args_cut: Some(false),
            ..wire::Image::default()
        })
    );
}

#[test]
fn a_child_is_its_parent_s_copy() {
    let mut table = Table::new(false, false);
    fork(&mut table, PARENT, 10 * SECOND, Some(seen(b"server")));
    notice(
        &mut table,
        PARENT,
        11 * SECOND,
        Happened::UserChanged { uid: 33, euid: 34 },
    );
    notice(
        &mut table,
        PARENT,
        11 * SECOND,
        Happened::GroupChanged { gid: 35 },
    );
    notice(
        &mut table,
        PARENT,
        11 * SECOND,
        Happened::Renamed(*b"worker\0\0\0\0\0\0\0\0\0\0"),
    );
    let told = table.take_changes().processes;
    let last = told.last().expect("changes are told");
    let image = last.image.as_ref().expect("an image");
    assert_eq!((last.pid, &image.name[..]), (PARENT, &b"worker"[..]));
    let credentials = last.credentials.as_ref().expect("credentials");
    assert_eq!((credentials.uid, credentials.gid), (33, 35));
    fork(&mut table, CHILD, 20 * SECOND, None);
    let child = table.get(CHILD).expect("a child");
    let credentials = child.credentials.clone().expect("the parent's");
    assert_eq!(
        (credentials.uid, credentials.euid, credentials.gid),
        (33, Some(34), 35)
    );
    assert_eq!(&*child.image.name, b"worker");
}

#[test]
fn the_last_thread_says_how_it_ended() {
    let mut table = Table::new(false, false);
    fork(&mut table, CHILD, 20 * SECOND, None);
    end(&mut table, CHILD + 7, 21 * SECOND, false, Some(1 << 8));
    end(&mut table, CHILD, 22 * SECOND, false, Some(2 << 8));
    end(&mut table, CHILD + 8, 23 * SECOND, false, Some(3 << 8));
    let changes = finish(&mut table);
    let [(ts_unix_ns, _, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(exit.code, Some(3));
    let started = changes.processes[0].started_unix_ns;
    assert_eq!(ts_unix_ns - started, 3 * SECOND.cast_signed());
}

#[test]
fn an_exec_by_another_thread_is_no_end() {
    let mut table = Table::new(false, false);
    fork(&mut table, CHILD, 20 * SECOND, None);
    end(&mut table, CHILD, 21 * SECOND, false, Some(0));
    exec(&mut table, 21 * SECOND, None, b"");
    assert!(exits(&finish(&mut table)).is_empty());
    end(&mut table, CHILD, 22 * SECOND, false, Some(9));
    let changes = finish(&mut table);
    let [(_, _, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
}

#[test]
fn a_pid_that_is_given_again_keeps_the_first_end() {
    let mut table = Table::new(false, false);
    fork(&mut table, CHILD, 20 * SECOND, None);
    end(&mut table, CHILD, 21 * SECOND, false, Some(4 << 8));
    fork(&mut table, CHILD, 22 * SECOND, None);
    let changes = table.take_changes();
    let [(_, sampled, exit)] = &exits(&changes)[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((exit.code, *sampled), (Some(4), false));
    assert_eq!(
        table.get(CHILD).map(|second| second.life.start_ticks),
        Some(2200)
    );
}

#[test]
fn notices_without_a_fork_still_make_a_life() {
    let mut table = Table::new(false, false);
    exec(&mut table, 20 * SECOND, None, b"");
    end(&mut table, CHILD, 21 * SECOND, true, Some(0));
    end(&mut table, CHILD, 21 * SECOND, true, Some(0));
    let changes = finish(&mut table);
    assert_eq!(changes.processes.len(), 1, "{changes:?}");
    assert_eq!(exits(&changes).len(), 1, "an end is told once");
}
