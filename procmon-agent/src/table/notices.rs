//! What the levels below `ebpf` do to the table. A notice says of a pid that something happened; what else a record of
//! the kernel would say is read from `/proc` at once, where it still is, or is unknown.

use procmon_common::ids::start_ticks;
use procmon_common::wire;
use prost::bytes::Bytes;

use super::Table;
use super::ends::LastHeard;
use super::process::{Image, Life, Process};
use crate::enrich::cgroup::Cgroup;
use crate::enrich::procfs::{self, Identity};
use crate::notice::{Happened, Notice, Seen};

/// A process begins at most this much before the notice of it: the kernel may be interrupted between the two.
const LATE_TICKS: u64 = 100;

impl Table {
    pub fn notice(&mut self, notice: &Notice<'_>) {
        let Notice {
            pid, ts_boot_ns, ..
        } = *notice;
        match notice.happened {
            Happened::Forked { parent, seen } => self.noticed_fork(pid, ts_boot_ns, parent, seen),
            Happened::Executed { seen, exe } => self.noticed_exec(pid, ts_boot_ns, seen, exe),
            Happened::ThreadEnded {
                tid,
                group_dead,
                status,
            } => {
                self.noticed_end(pid, tid, group_dead, LastHeard::new(ts_boot_ns, status));
            }
            Happened::UserChanged { uid, euid } => {
                let username = self.users.name(uid);
                self.change_credentials(pid, |known| wire::Credentials {
                    uid,
                    euid: Some(euid),
                    username,
                    ..known
                });
            }
            Happened::GroupChanged { gid } => {
                self.change_credentials(pid, |known| wire::Credentials { gid, ..known });
            }
            Happened::Renamed(comm) => {
                if let Some(process) = self.live.get_mut(&pid) {
                    process.image.name = Bytes::copy_from_slice(crate::decode::trim_comm(&comm));
                    self.changes.processes.push(process.to_wire());
                }
            }
        }
    }

    fn noticed_fork(&mut self, pid: u32, ts_boot_ns: u64, parent: Option<u32>, seen: Option<Seen>) {
        let noticed = start_ticks(ts_boot_ns);
        let is_start = |ticks: u64| (noticed.saturating_sub(LATE_TICKS)..=noticed).contains(&ticks);
        let stat = procfs::stat(pid).filter(|stat| is_start(stat.start_ticks));
        // A process that is gone already is said to have begun when that was noticed: some microseconds late, so that in
        // one of thousands of such lives its start is one tick more than the kernel's.
        let start_ticks = stat.as_ref().map_or(noticed, |stat| stat.start_ticks);
        if let Some(known) = self.live.get_mut(&pid)
            && !known.exited
            && (known.life.start_ticks == start_ticks
                || (stat.is_none() && is_start(known.life.start_ticks)))
        {
            // The baseline or a sample saw it first; its start was observed all the same.
            known.baseline = false;
            return;
        }
        if !self.admits("fork") {
            return;
        }
        let parent = parent.or(stat.map(|stat| stat.ppid));
        let mut process = Process {
            handle: self.new_handle(),
            life: Life { pid, start_ticks },
            started_unix_ns: self.clock.unix_ns(ts_boot_ns),
            ..Process::default()
        };
        self.inherit(&mut process, parent);
        if let Some(seen) = seen {
            self.believe(&mut process, &seen);
        }
        let handle = process.handle;
        self.insert(process);
        if self.fork_events {
            self.event(handle, ts_boot_ns, wire::event::Kind::Fork(wire::Fork {}));
        }
    }

    /// A child is a copy: what its parent is known to be, it is, until it executes something.
    fn inherit(&self, process: &mut Process, parent: Option<u32>) {
        process.ppid = parent.unwrap_or(0);
        if let Some(parent) = parent.and_then(|parent| self.live.get(&parent)) {
            process.image = Image {
                seq: 0,
                ..parent.image.clone()
            };
            process.credentials.clone_from(&parent.credentials);
            process.cgroup.clone_from(&parent.cgroup);
        }
    }

    fn noticed_exec(&mut self, pid: u32, ts_boot_ns: u64, seen: Option<Seen>, exe: &[u8]) {
        let identity = procfs::identity(pid)
            .filter(|identity| identity.start_ticks <= start_ticks(ts_boot_ns));
        let shown = identity.as_ref().map(|identity| identity.start_ticks);
        if !self.know_noticed("exec", pid, ts_boot_ns, shown) {
            return;
        }
        let Some(mut process) = self.live.remove(&pid) else {
            return;
        };
        if self.pending.take(process.life).is_some() {
            // What had ended was its first thread, whose place the one that executes has taken.
            process.exited = false;
        }
        self.leaderless.remove(&pid);
        let (before, cgroup) = (process.to_wire(), process.cgroup.clone());
        process.executed_boot_ns = ts_boot_ns;
        process.image = Image {
            seq: process.image.seq + 1,
            exe: Bytes::copy_from_slice(exe),
            ..Image::default()
        };
        if let Some(known) = &mut process.credentials {
            // The file may be a set-user-id one; the real user stays.
            known.euid = None;
        }
        if let Some(seen) = &seen {
            self.believe(&mut process, seen);
        }
        // What `/proc` shows is of this exec, unless another one followed: then the names differ, where one is known.
        if let Some(identity) =
            identity.filter(|shown| seen.is_none_or(|seen| seen.name() == shown.name))
        {
            self.learn(&mut process, identity);
        }
        process.image.cut_args(self.budget.args_max_bytes());
        if process.cgroup != cgroup {
            // An exec does not tell it, and a sample finds nothing that is new to the table.
            let now = process.to_wire();
            self.changes.processes.push(wire::Process {
                cgroup: now.cgroup,
                container_id: now.container_id,
                systemd_unit: now.systemd_unit,
                ..before
            });
        }
        let exec = wire::Exec {
            image: Some(process.image.to_wire()),
            credentials: process.credentials.clone(),
        };
        let handle = process.handle;
        self.changes.args_bytes += process.image.args.len();
        self.live.insert(pid, process);
        self.event(handle, ts_boot_ns, wire::event::Kind::Exec(exec));
    }

    /// Takes over what the tracepoint saw.
    fn believe(&mut self, process: &mut Process, seen: &Seen) {
        process.image.name = Bytes::copy_from_slice(seen.name());
        let same = process
            .credentials
            .take()
            .filter(|known| (known.uid, known.gid) == (seen.uid, seen.gid));
        process.credentials = Some(same.unwrap_or_else(|| wire::Credentials {
            uid: seen.uid,
            euid: None,
            gid: seen.gid,
            username: self.users.name(seen.uid),
        }));
        process.cgroup = self
            .cgroups
            .resolve(seen.cgroup_id, process.life.pid)
            .or_else(|| process.cgroup.take());
    }

    /// Takes over what `/proc` shows of it.
    fn learn(&mut self, process: &mut Process, identity: Identity) {
        process.ppid = identity.ppid;
        process.cgroup = identity.cgroup.as_deref().map(Cgroup::new);
        process.pid_namespace = identity.pid_namespace;
        process.namespace_pid = identity.namespace_pid;
        process.credentials = Some(self.users.credentials((
            identity.uid,
            identity.euid,
            identity.gid,
        )));
        let image = &mut process.image;
        image.name = identity.name.into();
        image.args = self.redactor.redact(&identity.args, identity.args_bytes);
        image.args_bytes = identity.args_bytes;
        // The path that was given, as at the level ebpf; `/proc` shows the interpreter of a script.
        if !image.exe.starts_with(b"/") && !identity.exe.is_empty() {
            image.exe = identity.exe.into();
        }
    }

    /// Makes sure that the life a notice is about is in the table, even when the notice of its start was lost. `shown` is
    /// the start of the process that `/proc` has under this pid, if that began before the notice. False when the table
    /// may not grow.
    pub(super) fn know_noticed(
        &mut self,
        kind: &str,
        pid: u32,
        ts_boot_ns: u64,
        shown: Option<u64>,
    ) -> bool {
        let is_known = self.live.get(&pid).is_some_and(|known| {
            shown.map_or(!known.exit_sent, |shown| shown == known.life.start_ticks)
        });
        if is_known {
            return true;
        }
        if !self.admits(kind) {
            return false;
        }
        let life = Life {
            pid,
            // Where nothing tells when it began: not later than this.
            start_ticks: shown.unwrap_or_else(|| start_ticks(ts_boot_ns)),
        };
        let started_boot_ns = shown.map_or(ts_boot_ns, |ticks| ticks * 10_000_000);
        let process = Process {
            handle: self.new_handle(),
            life,
            started_unix_ns: self.clock.unix_ns(started_boot_ns),
            ..Process::default()
        };
        self.insert(process);
        true
    }

    fn change_credentials(
        &mut self,
        pid: u32,
        change: impl FnOnce(wire::Credentials) -> wire::Credentials,
    ) {
        if let Some(process) = self.live.get_mut(&pid)
            && let Some(known) = process.credentials.take()
        {
            process.credentials = Some(change(known));
            self.changes.processes.push(process.to_wire());
        }
    }
}

#[cfg(test)]
mod tests;
