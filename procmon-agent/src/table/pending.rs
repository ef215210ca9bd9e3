//! Exits that wait for their final totals: the kernel tells them when it frees the task, some milliseconds after the
//! exit, or, for a zombie, when its parent reaps it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use procmon_common::ids::start_ticks;
use procmon_common::kernel::{ExitRecord, Totals};
use procmon_common::wire;
use prost::bytes::Bytes;

use crate::decode::trim_comm;

use super::process::{Life, Process};
use crate::kernel::Place;

/// Longer than it takes to free a task whose parent waits for it, short enough for an event to leave within 200 ms.
const WAIT: Duration = Duration::from_millis(140);

const SIGKILL: u32 = 9;

#[derive(Debug, Default)]
pub(super) struct PendingExits {
    exits: HashMap<Life, PendingExit, RandomState>,
    /// In the order of their deadlines.
    deadlines: VecDeque<(u64, Life)>,
}

#[derive(Debug)]
pub(super) struct PendingExit {
    ts_unix_ns: i64,
    exit: wire::Exit,
    /// Where its record is kept for the next agent, should this one be killed.
    place: Option<Place>,
}

impl PendingExits {
    pub(super) fn contains(&self, life: Life) -> bool {
        self.exits.contains_key(&life)
    }

    pub(super) fn len(&self) -> usize {
        self.exits.len()
    }

    pub(super) fn add(
        &mut self,
        life: Life,
        record: &ExitRecord,
        process: &Process,
        ts_unix_ns: i64,
        place: Option<Place>,
    ) {
        let mut exit = wire_exit(record, process.max_rss_pages_before);
        exit.oom_killed = Some(process.oom_chosen && exit.signal == Some(SIGKILL));
        self.add_exit(life, exit, record.header.ts_boot_ns, ts_unix_ns, place);
    }

    /// An exit without totals. It waits all the same: until then most are reaped, and their end is told once.
    pub(super) fn add_exit(
        &mut self,
        life: Life,
        exit: wire::Exit,
        ts_boot_ns: u64,
        ts_unix_ns: i64,
        place: Option<Place>,
    ) {
        let pending = PendingExit {
            ts_unix_ns,
            exit,
            place,
        };
        self.exits.insert(life, pending);
        self.deadlines
            .push_back((ts_boot_ns + WAIT.as_nanos() as u64, life));
    }

    pub(super) fn take(&mut self, life: Life) -> Option<PendingExit> {
        self.exits.remove(&life)
    }

    /// The place of the record that has waited longest.
    pub(super) fn oldest_place(&mut self) -> Option<Place> {
        while let Some((_, life)) = self.deadlines.front() {
            if let Some(exit) = self.exits.get(life) {
                return exit.place;
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// The next exit that has waited long enough.
    pub(super) fn take_due(&mut self, now_boot_ns: u64) -> Option<(Life, PendingExit)> {
        while let Some((deadline, life)) = self.deadlines.front().copied() {
            let waiting = self.exits.contains_key(&life);
            if waiting && deadline > now_boot_ns {
                return None;
            }
            self.deadlines.pop_front();
            if let Some(exit) = self.exits.remove(&life) {
                return Some((life, exit));
            }
        }
        None
    }
}

impl PendingExit {
    pub(super) fn with_final(mut self, totals: &Totals) -> Self {
        set_totals(&mut self.exit, totals);
        self.exit.totals_final = true;
        self
    }

    pub(super) fn totals(&self) -> &wire::Exit {
        &self.exit
    }

    pub(super) fn into_event(self, process: &Process) -> wire::Event {
        wire::Event {
            ts_unix_ns: self.ts_unix_ns,
            handle: process.handle,
            sampled: false,
            kind: Some(wire::event::Kind::Exit(self.exit)),
        }
    }
}

fn wire_exit(record: &ExitRecord, max_rss_pages_before: Option<u64>) -> wire::Exit {
    let mut exit = exit_of_status(record.wait_status);
    let killer = &record.killer;
    exit.killed_by = (killer.pid != 0).then(|| wire::Killer {
        pid: killer.pid,
        start_ticks: start_ticks(killer.start_boot_ns),
        name: Bytes::copy_from_slice(trim_comm(&killer.comm)),
        uid: killer.uid,
    });
    exit.max_rss_bytes =
        peak_rss_pages(record, max_rss_pages_before).map(|pages| pages * page_bytes());
    set_totals(&mut exit, &record.totals);
    exit
}

/// How it ended, from what wait(2) reports.
pub(super) fn exit_of_status(status: u32) -> wire::Exit {
    let mut exit = wire::Exit::default();
    let signal = status & 0x7f;
    if signal == 0 {
        exit.code = Some(status >> 8 & 0xff);
    } else {
        exit.signal = Some(signal);
        exit.core_dumped = status & 0x80 != 0;
    }
    exit
}

/// The life's own peak. `maxrss` also remembers the images before the last exec (a vfork parent's memory among them), so
/// it counts only when it has grown since; else the memory that was there at the exit tells.
fn peak_rss_pages(record: &ExitRecord, before: Option<u64>) -> Option<u64> {
    match (record.own_rss_pages, before) {
        (own, Some(before)) if record.max_rss_pages > before => Some(own.max(record.max_rss_pages)),
        (0, _) => None,
        (own, _) => Some(own),
    }
}

fn set_totals(exit: &mut wire::Exit, totals: &Totals) {
    let (user, system) = split_cpu_time(totals);
    exit.cpu_time_ns = Some(totals.cpu_time_ns);
    exit.user_time_ns = Some(user);
    exit.system_time_ns = Some(system);
    exit.read_bytes = Some(totals.io.read_bytes);
    exit.write_bytes = Some(totals.io.write_bytes);
    exit.read_chars = Some(totals.io.read_chars);
    exit.write_chars = Some(totals.io.write_chars);
    exit.read_calls = Some(totals.io.read_calls);
    exit.write_calls = Some(totals.io.write_calls);
    exit.voluntary_switches = Some(totals.voluntary_switches);
    exit.involuntary_switches = Some(totals.involuntary_switches);
    exit.minor_faults = Some(totals.minor_faults);
    exit.major_faults = Some(totals.major_faults);
}

/// The exact sum in the ratio of the ticks, as the kernel's `cputime_adjust` does for wait4: without ticks in one mode
/// all of it is the other's, and without any it is user time.
fn split_cpu_time(totals: &Totals) -> (u64, u64) {
    let ticks = totals.utime_ns.saturating_add(totals.stime_ns);
    if totals.stime_ns == 0 {
        return (totals.cpu_time_ns, 0);
    }
    let share = u128::from(totals.cpu_time_ns) * u128::from(totals.stime_ns) / u128::from(ticks);
    (totals.cpu_time_ns - share as u64, share as u64)
}

pub(super) fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn exit_record(wait_status: u32) -> ExitRecord {
        ExitRecord {
            wait_status,
            ..ExitRecord::zeroed()
        }
    }

    #[test]
    fn wait_statuses() {
        let exit = wire_exit(&exit_record(7 << 8), None);
        assert_eq!(
            (exit.code, exit.signal, exit.core_dumped),
            (Some(7), None, false)
        );
        let exit = wire_exit(&exit_record(9), None);
        assert_eq!(
            (exit.code, exit.signal, exit.core_dumped),
            (None, Some(9), false)
        );
        let exit = wire_exit(&exit_record(0x80 | 0x0b), None);
        assert_eq!(
            (exit.code, exit.signal, exit.core_dumped),
            (None, Some(11), true)
        );
    }

    #[test]
    fn peak_rss_is_the_life_s_own() {
        let record = |max_rss_pages, own_rss_pages| ExitRecord {
            max_rss_pages,
            own_rss_pages,
            ..ExitRecord::zeroed()
        };
        assert_eq!(
            peak_rss_pages(&record(128_000, 400), Some(128_000)),
            Some(400)
        );
        assert_eq!(
            peak_rss_pages(&record(16_400, 16_390), Some(700)),
            Some(16_400)
        );
        assert_eq!(
            peak_rss_pages(&record(128_000, 0), Some(128_000)),
            None,
            "nothing tells: unknown, not zero"
        );
        assert_eq!(peak_rss_pages(&record(128_000, 0), None), None);
        assert_eq!(peak_rss_pages(&record(128_000, 400), None), Some(400));
    }

    #[test]
    fn cpu_time_is_split_by_ticks_and_never_lost() {
        let totals = |cpu_time_ns, utime_ns, stime_ns| Totals {
            cpu_time_ns,
            utime_ns,
            stime_ns,
            ..Totals::default()
        };
        assert_eq!(split_cpu_time(&totals(1_000, 0, 0)), (1_000, 0));
        assert_eq!(split_cpu_time(&totals(1_000, 0, 4)), (0, 1_000));
        assert_eq!(split_cpu_time(&totals(1_000, 12, 4)), (750, 250));
        assert_eq!(split_cpu_time(&totals(u64::MAX, u64::MAX, u64::MAX)).0, 0);
    }
}
