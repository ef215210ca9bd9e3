//! What a sample tells the table: metrics of known processes, and what the records missed.

use std::time::{Duration, Instant};

use procmon_common::columns::{Column, Row};
use procmon_common::wire;
use prost::bytes::Bytes;

use super::Table;
use super::last_sample::LastSample;
use super::process::Process;
use crate::decode::trim_comm;
use crate::enrich::procfs;
use crate::redact::Redactor;
use crate::sample::{Sample, Sampled};

/// A fork that never executes (a worker of a server) has given itself a title by then.
const TITLE_AFTER_NS: u64 = 1_000_000_000;

impl Table {
    /// Takes over a sample, which is in the order of pids. The records that were pending when it ended must be applied
    /// before this, so that a process unknown here was missed and is not just late. `previous` is when the sample before
    /// was taken; a process younger than `grace` is left to the next sample: its record may still be on its way.
    pub fn merge(&mut self, sample: Sample, previous: Option<Instant>, grace: Duration) {
        let interval_ns =
            previous.map(|previous| sample.taken.duration_since(previous).as_nanos() as u64);
        let look = Look {
            sample: &sample,
            settled_boot_ns: sample.ts_boot_ns.saturating_sub(grace.as_nanos() as u64),
            interval_ns,
        };
        self.samples += 1;
        self.unsent.begin();
        let before = std::mem::take(&mut self.last_sample);
        let mut at = 0;
        let mut settled = Vec::with_capacity(sample.processes.len());
        for sampled in &sample.processes {
            at = self.note_absent(&before, at, sampled.pid);
            let is_idle = interval_ns.is_some() && before.is_idle(at, &sample, sampled);
            settled.push(is_idle || self.take_over(&look, sampled));
            at += usize::from(before.pid(at) == Some(sampled.pid));
        }
        self.note_absent(&before, at, u32::MAX);
        self.missed_ends(sample.ts_boot_ns, grace);
        self.last_sample = LastSample::new(sample, settled);
    }

    /// Notes who is before `pid` in the last sample and was not met in this one; where that one goes on.
    fn note_absent(&mut self, before: &LastSample, mut at: usize, pid: u32) -> usize {
        while let Some(absent) = before.pid(at).filter(|known| *known < pid) {
            if self.live.contains_key(&absent) {
                self.unsampled.entry(absent).or_insert(self.samples - 1);
            }
            at += 1;
        }
        at
    }

    /// Takes over one process. Whether the next sample need not be looked at if it shows the same of it.
    fn take_over(&mut self, look: &Look<'_>, sampled: &Sampled) -> bool {
        let pid = sampled.pid;
        let known = self.live.get(&pid);
        if known.is_none_or(|process| is_replaced(process, sampled)) {
            self.missed_start(pid, look.settled_boot_ns);
        }
        let Some(process) = self.live.get_mut(&pid) else {
            return false;
        };
        if is_replaced(process, sampled) {
            self.unsampled.entry(pid).or_insert(self.samples - 1);
            return false;
        }
        self.unsampled.remove(&pid);
        let is_idle = measure(process, sampled, look.interval_ns, self.knows_totals);
        if let Some(ports) = look.sample.ports_of(sampled)
            && *process.ports != *ports
        {
            process.ports = ports.into();
            process.ports_changed = true;
        }
        self.unsent.add(process);
        if sampled.identity.is_some() {
            self.refresh_identity(sampled, look.sample.ts_boot_ns) && is_idle
        } else {
            self.read_anew(pid);
            false
        }
    }

    /// Takes over what changes in a life without an event: user, cgroup, name, title. Whether there is no more to look up. `now_boot_ns`: when
    /// the sample began.
    fn refresh_identity(&mut self, sampled: &Sampled, now_boot_ns: u64) -> bool {
        let (Some(identity), Some(process)) = (&sampled.identity, self.live.get_mut(&sampled.pid))
        else {
            return false;
        };
        if process.executed_boot_ns >= now_boot_ns {
            return false;
        }
        let young = now_boot_ns.saturating_sub(identity.start_boot_ns) < TITLE_AFTER_NS;
        let titled = process.title_read || process.image.seq > 0 || young;
        if process.sampled_identity == Some(*identity) && titled {
            return process.title_read || process.image.seq > 0;
        }
        let mut changed = false;
        let name = trim_comm(&identity.comm);
        let renamed = process.image.name != name;
        if renamed {
            process.image.name = Bytes::copy_from_slice(name);
            changed = true;
        }
        let users = (identity.uid, identity.euid, identity.gid);
        let known = &process.credentials;
        let known = known
            .as_ref()
            .map(|known| (known.uid, known.euid, known.gid));
        if known != Some((users.0, Some(users.1), users.2)) {
            process.credentials = Some(self.users.credentials(users));
            changed = true;
        }
        let moved = process
            .sampled_identity
            .is_some_and(|known| known.cgroup_id != identity.cgroup_id);
        if moved || process.cgroup.is_none() {
            let cgroup = self.cgroups.resolve(identity.cgroup_id, sampled.pid);
            changed |= cgroup != process.cgroup;
            process.cgroup = cgroup;
        }
        if renamed || !titled {
            process.title_read |= !young;
            changed |= read_title(process, &self.redactor);
        }
        process.sampled_identity = Some(*identity);
        if changed {
            self.changes.processes.push(process.to_wire());
        }
        process.title_read || process.image.seq > 0
    }

    /// Detects reuse of pids where no records come: the start tells lives apart.
    pub fn drop_replaced(&mut self) {
        let live = self.live.values();
        let replaced: Vec<u32> = live
            .filter(|process| {
                procfs::stat(process.life.pid)
                    .is_some_and(|stat| stat.start_ticks != process.life.start_ticks)
            })
            .map(|process| process.life.pid)
            .collect();
        for pid in replaced {
            if let Some(process) = self.live.remove(&pid) {
                self.end_unseen(process);
            }
        }
    }

    fn missed_start(&mut self, pid: u32, settled_boot_ns: u64) {
        if !self.admits("sample") {
            return;
        }
        let Some(mut process) = self.read_procfs(pid) else {
            return;
        };
        if process.life.start_ticks > procmon_common::ids::start_ticks(settled_boot_ns) {
            return;
        }
        process.image.seq = 1;
        let (handle, ts_unix_ns) = (process.handle, process.started_unix_ns);
        let exec = wire::Exec {
            image: Some(process.image.to_wire()),
            credentials: process.credentials.clone(),
        };
        self.insert(process);
        let kind = Some(wire::event::Kind::Exec(exec));
        self.changes.events.push(wire::Event {
            ts_unix_ns,
            handle,
            sampled: true,
            kind,
        });
    }

    /// Ends what is not there any more. Where records come, what is absent for the first time may have its exit on the way:
    /// the ring shows nothing that is behind a record whose writer was preempted.
    fn missed_ends(&mut self, sampled_boot_ns: u64, grace: Duration) {
        let sampled_at = procmon_common::ids::start_ticks(sampled_boot_ns);
        let patience = self.samples - u64::from(!grace.is_zero());
        let live = &self.live;
        self.unsampled.retain(|pid, _| live.contains_key(pid));
        // Absent from the list, and really gone: a list is not atomic.
        let ended: Vec<u32> = self
            .unsampled
            .iter()
            .filter_map(|(pid, seen_in)| Some((self.live.get(pid)?, *seen_in)))
            .filter(|(process, seen_in)| process.exit_sent || *seen_in < patience)
            .map(|(process, _)| process.life)
            .filter(|life| life.start_ticks < sampled_at && !self.pending.contains(*life))
            .filter(|life| !life.exists())
            .map(|life| life.pid)
            .collect();
        for pid in ended {
            if let Some(process) = self.live.remove(&pid) {
                self.end_unseen(process);
            }
        }
    }
}

/// What all processes of a sample have in common.
struct Look<'a> {
    sample: &'a Sample,
    /// Who began later may have a record that is on its way.
    settled_boot_ns: u64,
    /// Since the last sample.
    interval_ns: Option<u64>,
}

/// Whether the pid is another life's now.
fn is_replaced(process: &Process, sampled: &Sampled) -> bool {
    sampled.identity.as_ref().is_some_and(|identity| {
        procmon_common::ids::start_ticks(identity.start_boot_ns) != process.life.start_ticks
    })
}

/// What a process wrote over its argv; true when it is another than was known.
fn read_title(process: &mut Process, redactor: &Redactor) -> bool {
    let Some(args) = procfs::args(process.life.pid, process.life.start_ticks) else {
        return false;
    };
    let kept = args.get(..procfs::ARGS_MAX).unwrap_or(&args);
    let args_bytes = args.len() as u64;
    let Some(args) = redactor.redact_other(&process.image.args, kept, args_bytes) else {
        return false;
    };
    process.image.args_bytes = args_bytes;
    process.image.args = args;
    true
}

/// Whether it did nothing in this interval, so that its row is the same while it does nothing.
fn measure(
    process: &mut Process,
    sampled: &Sampled,
    interval_ns: Option<u64>,
    knows_totals: bool,
) -> bool {
    // Threads may exit in the middle of a pass over all tasks: a sum never falls.
    let cpu_ns = sampled.cpu_time_ns.max(process.sampled_cpu_ns.unwrap_or(0));
    // A process that began since the last sample used all of its time in this interval.
    let before = process
        .sampled_cpu_ns
        .or((!process.used_unsampled()).then_some(0));
    let centipercent = |cpu_ns: u64| {
        let interval_ns = interval_ns.filter(|interval| *interval > 0)?;
        Some((cpu_ns as f64 / interval_ns as f64 * 10_000.0).round() as u64)
    };
    let cpu = before.and_then(|before| centipercent(cpu_ns - before));
    let short_lived = centipercent(std::mem::take(&mut process.short_lived_cpu_ns));
    process.sampled_cpu_ns = Some(cpu_ns);
    process.sampled_io = (sampled.read_bytes, sampled.write_bytes);
    process.sampled_faults = sampled.faults;
    if let Some(ppid) = sampled.ppid {
        process.ppid = ppid;
    }
    let mut row = Row::default();
    row.set(Column::Status, Some(sampled.status.into()));
    row.set(Column::Ppid, sampled.ppid.map(u64::from));
    row.set(Column::CpuCentipercent, cpu);
    row.set(Column::CpuTimeMs, Some(cpu_ns / 1_000_000));
    row.set(Column::RssKib, Some(sampled.rss_bytes / 1024));
    row.set(Column::RssExact, sampled.rss_exact.map(u64::from));
    row.set(Column::VirtualKib, Some(sampled.virtual_bytes / 1024));
    row.set(Column::Threads, sampled.threads);
    row.set(Column::OpenFds, sampled.open_fds);
    row.set(Column::NetConns, sampled.net_conns);
    row.set(Column::ReadBytes, sampled.read_bytes);
    row.set(Column::WriteBytes, sampled.write_bytes);
    let switches = sampled.switches;
    row.set(
        Column::VoluntarySwitches,
        switches.map(|switches| switches.voluntary),
    );
    row.set(
        Column::InvoluntarySwitches,
        switches.map(|switches| switches.involuntary),
    );
    row.set(
        Column::MinorFaults,
        sampled.faults.map(|faults| faults.minor),
    );
    row.set(
        Column::MajorFaults,
        sampled.faults.map(|faults| faults.major),
    );
    row.set(
        Column::ShortLivedCpuCentipercent,
        short_lived.filter(|_| knows_totals),
    );
    process.now = row;
    (cpu, short_lived) == (Some(0), Some(0))
}
