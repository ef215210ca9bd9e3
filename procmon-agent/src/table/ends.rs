//! Ends of processes at the levels below `ebpf`, where only ends of threads are told: which one is the last, and how the
//! process ended.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use procmon_common::ids::start_ticks;

use super::Table;
use super::pending::exit_of_status;
use super::process::Life;
use crate::enrich::clock::boot_ns;
use crate::enrich::procfs;

/// A process may be gone before the notice of its last thread's end is read: that one knows how the process ended.
const LAST_WORD_NS: u64 = 20_000_000;

/// Processes whose first thread ended, by pid, with what was heard of a thread last: others may run on. Each is a
/// process of the table.
pub(super) type Leaderless = HashMap<u32, LastHeard, RandomState>;

#[derive(Clone, Copy, Debug)]
pub(super) struct LastHeard {
    life: Life,
    ts_boot_ns: u64,
    status: Option<u32>,
    /// When it was first seen that no thread is left.
    over_boot_ns: Option<u64>,
}

impl LastHeard {
    pub(super) fn new(ts_boot_ns: u64, status: Option<u32>) -> Self {
        Self {
            life: Life::default(),
            ts_boot_ns,
            status,
            over_boot_ns: None,
        }
    }
}

impl Table {
    pub(super) fn noticed_end(&mut self, pid: u32, tid: u32, group_dead: bool, last: LastHeard) {
        if let Some(known) = self.leaderless.get_mut(&pid) {
            *known = LastHeard {
                life: known.life,
                over_boot_ns: known.over_boot_ns,
                ..last
            };
        }
        if tid != pid && !group_dead {
            return;
        }
        let noticed = start_ticks(last.ts_boot_ns);
        let known = self.live.get(&pid);
        if known.is_some_and(|known| known.exited || known.life.start_ticks > noticed) {
            // Told already, or of a life before the one that the baseline saw.
            return;
        }
        let stat = procfs::stat(pid).filter(|stat| stat.start_ticks <= noticed);
        let shown = stat.as_ref().map(|stat| stat.start_ticks);
        if !self.know_noticed("exit", pid, last.ts_boot_ns, shown) {
            return;
        }
        let Some(life) = self.live.get(&pid).map(|process| process.life) else {
            return;
        };
        let is_over = group_dead || stat.is_none_or(|stat| stat.is_over());
        let last = LastHeard {
            life,
            over_boot_ns: is_over.then(boot_ns),
            ..last
        };
        self.leaderless.insert(pid, last);
        if group_dead {
            self.end_noticed(pid);
        }
    }

    /// Ends those of whom no thread is left.
    pub(super) fn end_leaderless(&mut self, now_boot_ns: u64) {
        let mut ended = Vec::new();
        self.leaderless.retain(|pid, last| {
            if last.over_boot_ns.is_none() {
                match procfs::stat(*pid) {
                    Some(stat) if stat.start_ticks == last.life.start_ticks && !stat.is_over() => {
                        return stat.threads > 1;
                    }
                    _ => last.over_boot_ns = Some(boot_ns()),
                }
            }
            if last
                .over_boot_ns
                .is_some_and(|over| over.saturating_add(LAST_WORD_NS) <= now_boot_ns)
            {
                ended.push(*pid);
            }
            true
        });
        for pid in ended {
            self.end_noticed(pid);
        }
    }

    fn end_noticed(&mut self, pid: u32) {
        let Some(process) = self.live.get_mut(&pid) else {
            return;
        };
        process.exited = true;
        let life = process.life;
        self.settle_leaderless(life);
    }

    /// What was heard last of this life is how it ended.
    pub(super) fn settle_leaderless(&mut self, life: Life) {
        let Some(last) = self.leaderless.remove(&life.pid) else {
            return;
        };
        if last.life == life {
            let exit = last.status.map(exit_of_status).unwrap_or_default();
            let ts_unix_ns = self.clock.unix_ns(last.ts_boot_ns);
            self.pending
                .add_exit(life, exit, last.ts_boot_ns, ts_unix_ns, None);
        }
    }
}
