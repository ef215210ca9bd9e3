//! The process table: every live process and zombie of this host, keyed by pid and start, fed by the kernel's records
//! and checked against samples. What it learns leaves as [`Changes`] in terms of the wire. It does no I/O but what
//! `enrich` caches, and it never decides when to send.

mod block_latency;
mod budget;
mod ends;
mod frame;
mod last_sample;
mod merge;
mod notices;
mod pending;
mod process;
mod read_anew;
mod records;
mod short_lived;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::fast::RandomState;

use procmon_common::ids::start_ticks;
use procmon_common::wire;

use crate::enrich::cgroup::Cgroups;
use crate::enrich::clock::BootClock;
use crate::enrich::devices::DeviceNames;
use crate::enrich::procfs;
use crate::enrich::users::Users;
use crate::kernel::Place;
use crate::redact::Redactor;
use crate::resume::KnownProcess;
use budget::Budget;
use ends::Leaderless;
use frame::Unsent;
use last_sample::LastSample;
use pending::PendingExits;
use short_lived::ShortLives;

pub use process::{Image, Life, Process};

/// Handles are renumbered by a key batch before they run out.
const HANDLES_RENEWED_AT: u32 = 3 << 30;

/// What was learnt since it was last taken, in order.
#[derive(Debug, Default)]
pub struct Changes {
    pub processes: Vec<wire::Process>,
    pub events: Vec<wire::Event>,
    /// Left without an exit event.
    pub gone: Vec<u32>,
    /// Lives that ended since: a key batch must name them too, because `events` do.
    ended: Vec<Process>,
    args_bytes: usize,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.events.is_empty() && self.gone.is_empty()
    }
}

/// See the module.
pub struct Table {
    live: HashMap<u32, Process, RandomState>,
    pending: PendingExits,
    leaderless: Leaderless,
    changes: Changes,
    next_handle: u32,
    clock: BootClock,
    users: Users,
    cgroups: Cgroups,
    devices: DeviceNames,
    fork_events: bool,
    short_lives: ShortLives,
    samples: u64,
    last_sample: LastSample,
    /// Those in `live` that the last sample did not show, by pid, with the number of the sample that did, or after which
    /// they began; and, until the next one, some that have ended since.
    unsampled: HashMap<u32, u64, RandomState>,
    unsent: Unsent,
    /// Whether exits tell what was used: then what no sample shows is known too.
    knows_totals: bool,
    /// Whether programs that are executed are told; else a sample finds another one.
    hears_execs: bool,
    redactor: Redactor,
    budget: Budget,
    /// Of the record that is being applied, where its ring outlives the agent.
    place: Option<Place>,
}

impl Table {
    pub fn new(fork_events: bool, knows_totals: bool) -> Self {
        Self {
            live: HashMap::default(),
            pending: PendingExits::default(),
            leaderless: Leaderless::default(),
            changes: Changes::default(),
            next_handle: 1,
            clock: BootClock::now(),
            users: Users::default(),
            cgroups: Cgroups::default(),
            devices: DeviceNames::default(),
            fork_events,
            short_lives: ShortLives::default(),
            samples: 0,
            last_sample: LastSample::default(),
            unsampled: HashMap::default(),
            unsent: Unsent::default(),
            knows_totals,
            hears_execs: true,
            redactor: Redactor::default(),
            budget: Budget::default(),
            place: None,
        }
    }

    /// Gives up the room that a peak of processes has left; whether there was some.
    pub fn shrink(&mut self) -> bool {
        let is_roomy = self.live.capacity() > 4 * self.live.len().max(1024);
        if is_roomy {
            self.live.shrink_to(2 * self.live.len());
            self.unsampled.shrink_to(2 * self.unsampled.len());
        }
        is_roomy
    }

    /// Other rules than the built-in ones. Before the baseline: what is in the table stays as it is.
    pub fn set_redactor(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    pub fn set_hears_execs(&mut self, hears_execs: bool) {
        self.hears_execs = hears_execs;
    }

    pub fn set_fork_events(&mut self, fork_events: bool) {
        self.fork_events = fork_events;
    }

    /// Takes every process that runs now. With kernel records: after attaching and before the first drain, so that
    /// nothing falls between.
    pub fn baseline(&mut self) -> std::io::Result<()> {
        self.baseline_while(|_| {})
    }

    /// As [`Table::baseline`], with a look now and then at what it costs.
    pub fn baseline_while(&mut self, mut look: impl FnMut(&mut Self)) -> std::io::Result<()> {
        for pid in procfs::pids()? {
            if self.admits("baseline")
                && let Some(mut process) = self.read_procfs(pid)
            {
                process.baseline = true;
                self.insert(process);
                look(self);
            }
        }
        Ok(())
    }

    /// Takes a process that the agent before knew, in place of the baseline. Whether it still lives is told by the
    /// records since, and by the first sample.
    pub fn adopt(&mut self, known: &KnownProcess) {
        if self.admits("baseline") {
            let handle = self.new_handle();
            self.insert(Process::from_known(handle, known));
        }
    }

    /// Path of a cgroup that a record named.
    pub fn cgroup_path(&mut self, cgroup_id: u64) -> Option<String> {
        let cgroup = self.cgroups.resolve(cgroup_id, 0)?;
        Some(cgroup.path.to_string())
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.live.get(&pid)
    }

    /// Everything that lives, and the zombies, in no order.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.live.values()
    }

    /// What was learnt since the last call; renews the clock.
    pub fn take_changes(&mut self) -> Changes {
        self.clock = BootClock::now();
        std::mem::take(&mut self.changes)
    }

    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Number of events that wait to be taken.
    pub fn pending_events(&self) -> usize {
        self.changes.events.len()
    }

    /// Bytes of argv that wait to be taken.
    pub fn pending_args_bytes(&self) -> usize {
        self.changes.args_bytes
    }

    /// Everything anew, for a key batch: all live processes and those that waiting events name; the events remain.
    pub fn take_key(&mut self) -> Changes {
        let mut changes = self.take_changes();
        if self.next_handle > HANDLES_RENEWED_AT && changes.events.is_empty() {
            self.renumber();
        }
        let mut all: Vec<&Process> = self.live.values().chain(&changes.ended).collect();
        all.sort_unstable_by_key(|process| process.handle);
        changes.processes = all.into_iter().map(Process::to_wire).collect();
        self.forget_sent();
        changes
    }

    fn renumber(&mut self) {
        self.next_handle = 1;
        for process in self.live.values_mut() {
            process.handle = self.next_handle;
            self.next_handle += 1;
        }
    }

    fn read_procfs(&mut self, pid: u32) -> Option<Process> {
        let identity = procfs::identity(pid)?;
        let started = self.clock.unix_ns(identity.start_ticks * 10_000_000);
        let username = self.users.name(identity.uid);
        Some(Process::from_procfs(
            self.new_handle(),
            identity,
            started,
            username,
            &self.redactor,
        ))
    }

    fn new_handle(&mut self) -> u32 {
        let handle = self.next_handle;
        self.next_handle += 1;
        handle
    }

    /// Adds a process and announces it. One with the same pid that is still here has ended unseen.
    fn insert(&mut self, mut process: Process) {
        process.image.cut_args(self.budget.args_max_bytes());
        self.changes.args_bytes += process.image.args.len();
        self.changes.processes.push(process.to_wire());
        self.unsampled.insert(process.life.pid, self.samples);
        if let Some(previous) = self.live.insert(process.life.pid, process) {
            self.end_unseen(previous);
        }
    }

    /// The end of a process whose exit was not seen.
    fn end_unseen(&mut self, mut process: Process) {
        self.settle_leaderless(process.life);
        if process.exit_sent {
            self.changes.gone.push(process.handle);
        } else if let Some(exit) = self.pending.take(process.life) {
            self.charge(&mut process, exit.totals());
            self.changes.events.push(exit.into_event(&process));
        } else {
            self.changes.events.push(wire::Event {
                ts_unix_ns: crate::enrich::clock::unix_ns(),
                handle: process.handle,
                sampled: true,
                kind: Some(wire::event::Kind::Exit(wire::Exit {
                    totals_final: false,
                    ..wire::Exit::default()
                })),
            });
            self.changes.gone.push(process.handle);
        }
        self.changes.ended.push(process);
    }

    fn life(header: &procmon_common::kernel::Header) -> Life {
        Life {
            pid: header.pid,
            start_ticks: start_ticks(header.start_boot_ns),
        }
    }
}
