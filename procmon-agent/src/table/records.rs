//! What each kind of kernel record does to the table.

use std::collections::hash_map::Entry;

use procmon_common::kernel::{
    ExecRecord, ExitRecord, ForkRecord, FreeRecord, Header, OomRecord, SlowIoRecord,
};
use procmon_common::wire;
use prost::bytes::Bytes;

use super::Table;
use super::pending::page_bytes;
use super::process::{Image, Life, Process};
use crate::decode::{Record, trim_comm};
use crate::enrich::procfs;
use crate::kernel::Place;

/// `PF_KTHREAD` of a task's flags.
const PF_KTHREAD: u32 = 0x0020_0000;

impl Table {
    pub fn apply(&mut self, record: &Record<'_>) {
        match record {
            Record::Fork(fork) => self.fork(fork),
            Record::Exec { record, exe, args } => self.exec(record, exe, args),
            Record::Exit(exit) => self.exit(exit),
            Record::Free(free) => self.free(free),
            Record::SlowIo(slow) => self.slow_io(slow),
            Record::Oom(oom) => self.oom(oom),
        }
    }

    /// Applies a record of a ring that outlives the agent. One that the agent before has read `again` tells nothing new,
    /// unless it is about an exit that waited for its totals when that agent ended.
    pub fn apply_placed(&mut self, record: &Record<'_>, place: Place, again: bool) {
        let header = match record {
            Record::Exit(exit) if again => Some(&exit.header),
            Record::Free(free) if again => Some(&free.header),
            _ if again => return,
            _ => None,
        };
        if header.is_some_and(|header| !self.knows(Self::life(header))) {
            return;
        }
        self.place = Some(place);
        self.apply(record);
        self.place = None;
    }

    /// Records from this place on are not told yet: exits among them wait for their totals.
    pub fn oldest_open(&mut self) -> Option<Place> {
        self.pending.oldest_place()
    }

    /// Sends the exits that waited long enough for their totals. Those that still exist are zombies. The others were
    /// reaped: the kernel's last word about them is late, and rarely (seen on 6.18, in softirq) never comes.
    pub fn expire(&mut self, now_boot_ns: u64, exists: impl Fn(Life) -> bool) {
        self.end_leaderless(now_boot_ns);
        while let Some((life, exit)) = self.pending.take_due(now_boot_ns) {
            let Entry::Occupied(entry) = self.live.entry(life.pid) else {
                continue;
            };
            if entry.get().life != life {
                continue;
            }
            let mut process = entry.remove();
            process.exit_sent = true;
            self.charge(&mut process, exit.totals());
            self.changes.events.push(exit.into_event(&process));
            if exists(life) {
                self.live.insert(life.pid, process);
            } else {
                self.end_unseen(process);
            }
        }
    }

    /// Whether an exit waits for its totals, so that the reader should come back soon.
    pub fn awaits_totals(&self) -> bool {
        self.pending.len() > 0 || !self.leaderless.is_empty()
    }

    fn fork(&mut self, record: &ForkRecord) {
        let life = Self::life(&record.header);
        if let Some(known) = self.live.get_mut(&life.pid)
            && known.life == life
        {
            // The baseline saw it first; its start was observed all the same.
            known.baseline = false;
            return;
        }
        if !self.admits("fork") {
            return;
        }
        let image = self.live.get(&record.header.ppid).map(|parent| Image {
            seq: 0,
            ..parent.image.clone()
        });
        let mut process = self.new_process(life, &record.header, record.cgroup_id);
        process.image = image.unwrap_or_default();
        process.image.name = Bytes::copy_from_slice(trim_comm(&record.comm));
        process.credentials = Some(
            self.users
                .credentials((record.uid, record.euid, record.gid)),
        );
        process.pid_namespace = Some(record.pid_namespace).filter(|inode| *inode != 0);
        process.namespace_pid = Some(record.namespace_pid).filter(|pid| *pid != 0);
        process.max_rss_pages_before = Some(0);
        let handle = process.handle;
        self.insert(process);
        if self.fork_events {
            self.event(
                handle,
                record.header.ts_boot_ns,
                wire::event::Kind::Fork(wire::Fork {}),
            );
        }
    }

    fn exec(&mut self, record: &ExecRecord, exe: &[u8], args: &[u8]) {
        let life = Self::life(&record.header);
        let credentials = self
            .users
            .credentials((record.uid, record.euid, record.gid));
        if !self.know("exec", life, &record.header, record.cgroup_id, &record.comm) {
            return;
        }
        let cgroup = self.cgroups.resolve(record.cgroup_id, life.pid);
        let Some(process) = self.live.get_mut(&life.pid) else {
            return;
        };
        process.ppid = record.header.ppid;
        if cgroup != process.cgroup {
            // Container runtimes enter a cgroup between fork and exec.
            process.cgroup = cgroup;
            self.changes.processes.push(process.to_wire());
        }
        process.pid_namespace = Some(record.pid_namespace).filter(|inode| *inode != 0);
        process.namespace_pid = Some(record.namespace_pid).filter(|pid| *pid != 0);
        process.max_rss_pages_before = Some(record.max_rss_pages_before);
        process.credentials = Some(credentials.clone());
        process.executed_boot_ns = record.header.ts_boot_ns;
        process.image = Image {
            seq: process.image.seq + 1,
            name: Bytes::copy_from_slice(trim_comm(&record.comm)),
            exe: absolute_exe(exe, life).map_or_else(|| Bytes::copy_from_slice(exe), Bytes::from),
            args: self.redactor.redact(args, record.args_bytes),
            args_bytes: record.args_bytes,
        };
        if args.is_empty()
            && record.args_bytes > 0
            && let Some(read) = procfs::args(life.pid, life.start_ticks)
        {
            let kept = read.get(..procfs::ARGS_MAX).unwrap_or(&read);
            process.image.args = self.redactor.redact(kept, record.args_bytes);
        }
        process.image.cut_args(self.budget.args_max_bytes());
        let exec = wire::Exec {
            image: Some(process.image.to_wire()),
            credentials: Some(credentials),
        };
        let handle = process.handle;
        self.changes.args_bytes += process.image.args.len();
        self.event(
            handle,
            record.header.ts_boot_ns,
            wire::event::Kind::Exec(exec),
        );
    }

    fn exit(&mut self, record: &ExitRecord) {
        let life = Self::life(&record.header);
        if !self.know("exit", life, &record.header, record.cgroup_id, &record.comm) {
            return;
        }
        let ts = self.clock.unix_ns(record.header.ts_boot_ns);
        let Some(process) = self.live.get_mut(&life.pid) else {
            return;
        };
        // Kernels without `group_dead` may tell one end twice.
        if process.exited || self.pending.contains(life) {
            return;
        }
        process.exited = true;
        self.pending.add(life, record, process, ts, self.place);
    }

    fn free(&mut self, record: &FreeRecord) {
        let life = Self::life(&record.header);
        if self
            .live
            .get(&life.pid)
            .is_none_or(|process| process.life != life)
        {
            return;
        }
        let Some(mut process) = self.live.remove(&life.pid) else {
            return;
        };
        self.unsampled.remove(&life.pid);
        if let Some(exit) = self.pending.take(life) {
            let exit = exit.with_final(&record.totals);
            self.charge(&mut process, exit.totals());
            self.changes.events.push(exit.into_event(&process));
            self.changes.ended.push(process);
        } else {
            self.end_unseen(process);
        }
    }

    fn slow_io(&mut self, record: &SlowIoRecord) {
        let life = Self::life(&record.header);
        let handle = self
            .live
            .get(&life.pid)
            .filter(|process| process.life == life)
            .map_or(0, |process| process.handle);
        let (device_major, device_minor) = (record.device_major, record.device_minor);
        let slow = wire::SlowIo {
            device_major,
            device_minor,
            device: self.devices.name(device_major, device_minor),
            operation: operation(record.command_flags).into(),
            bytes: record.bytes.into(),
            latency_ns: record.latency_ns,
            writeback: record.issuer_flags & PF_KTHREAD != 0,
        };
        self.event(
            handle,
            record.header.ts_boot_ns,
            wire::event::Kind::IoSlow(slow),
        );
    }

    fn oom(&mut self, record: &OomRecord) {
        let known = record.known != 0;
        let ts_boot_ns = record.header.ts_boot_ns;
        if known {
            let cgroup_id = 0;
            let life = Self::life(&record.header);
            if !self.know("oom", life, &record.header, cgroup_id, &record.comm) {
                return;
            }
        }
        let Some(process) = self.live.get_mut(&record.header.pid) else {
            return;
        };
        process.oom_chosen = true;
        let handle = process.handle;
        let oom = wire::Oom {
            memory_cgroup: Some(record.memory_cgroup_id)
                .filter(|id| *id != 0)
                .and_then(|id| self.cgroups.memory_path(id)),
            rss_bytes: (known && record.rss_pages > 0).then(|| record.rss_pages * page_bytes()),
            oom_score_adj: known.then_some(record.oom_score_adj),
        };
        self.event(handle, ts_boot_ns, wire::event::Kind::Oom(oom));
    }

    /// Makes sure that the life a record is about is in the table, even when its fork record was lost.
    /// False when the table may not grow.
    fn know(
        &mut self,
        kind: &str,
        life: Life,
        header: &Header,
        cgroup_id: u64,
        comm: &[u8],
    ) -> bool {
        if self.knows(life) {
            return true;
        }
        if !self.admits(kind) {
            return false;
        }
        let mut process = self.new_process(life, header, cgroup_id);
        process.image.name = Bytes::copy_from_slice(trim_comm(comm));
        self.insert(process);
        true
    }

    fn knows(&self, life: Life) -> bool {
        let known = self.live.get(&life.pid);
        known.is_some_and(|process| process.life == life)
    }

    fn new_process(&mut self, life: Life, header: &Header, cgroup_id: u64) -> Process {
        Process {
            handle: self.new_handle(),
            life,
            ppid: header.ppid,
            started_unix_ns: self.clock.unix_ns(header.start_boot_ns),
            cgroup: self.cgroups.resolve(cgroup_id, life.pid),
            ..Process::default()
        }
    }

    pub(super) fn event(&mut self, handle: u32, ts_boot_ns: u64, kind: wire::event::Kind) {
        let ts_unix_ns = self.clock.unix_ns(ts_boot_ns);
        self.changes.events.push(wire::Event {
            ts_unix_ns,
            handle,
            sampled: false,
            kind: Some(kind),
        });
    }
}

/// What exec was given, unless that was relative (or a descriptor): then `/proc` knows, while the process lives.
fn absolute_exe(exe: &[u8], life: Life) -> Option<Vec<u8>> {
    if exe.starts_with(b"/") && !exe.starts_with(b"/dev/fd/") {
        return None;
    }
    let path = procfs::exe(life.pid)?;
    (procfs::stat(life.pid)?.start_ticks == life.start_ticks).then_some(path)
}

/// `enum req_op` of the kernel: the low byte of `cmd_flags`.
pub(super) fn operation(command_flags: u32) -> wire::slow_io::Operation {
    use wire::slow_io::Operation;
    match command_flags & 0xff {
        0 => Operation::Read,
        // Write, write zeroes, zone append.
        1 | 7 | 9 => Operation::Write,
        2 => Operation::Flush,
        // Discard and secure erase.
        3 | 5 => Operation::Discard,
        _ => Operation::Other,
    }
}
