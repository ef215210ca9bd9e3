//! What a sample tells the table: metrics of known processes, and what the records missed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use procmon_common::columns::{Column, Row};
use procmon_common::wire;

use super::Table;
use super::process::Process;
use crate::enrich::procfs;
use crate::sample::{Sample, Sampled};

impl Table {
    /// Takes over a sample. The records that were pending when it ended must be applied before this, so that a process
    /// unknown here was missed and is not just late. `previous` is when the sample before was taken; a process younger
    /// than `grace` is left to the next sample: its record may still be on its way.
    pub fn merge(&mut self, sample: &Sample, previous: Option<Instant>, grace: Duration) {
        let settled_boot_ns = sample.ts_boot_ns.saturating_sub(grace.as_nanos() as u64);
        let interval_ms =
            previous.map(|previous| sample.taken.duration_since(previous).as_secs_f64() * 1000.0);
        let mut seen = HashSet::with_capacity(sample.processes.len());
        for sampled in &sample.processes {
            seen.insert(sampled.pid);
            if !self.live.contains_key(&sampled.pid) {
                self.missed_start(sampled.pid, settled_boot_ns);
            }
            if let Some(process) = self.live.get_mut(&sampled.pid) {
                measure(process, sampled, interval_ms);
            }
        }
        self.missed_ends(&seen, sample);
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
            credentials: Some(process.credentials.clone()),
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

    fn missed_ends(&mut self, seen: &HashSet<u32>, sample: &Sample) {
        let sampled_at = procmon_common::ids::start_ticks(sample.ts_boot_ns);
        let absent = |process: &&Process| {
            !seen.contains(&process.life.pid)
                && process.life.start_ticks < sampled_at
                && !self.pending.contains(process.life)
        };
        // Absent from the list, and really gone: a list is not atomic.
        let ended: Vec<u32> = self
            .live
            .values()
            .filter(absent)
            .filter(|process| !process.life.exists())
            .map(|process| process.life.pid)
            .collect();
        for pid in ended {
            if let Some(process) = self.live.remove(&pid) {
                self.end_unseen(process);
            }
        }
    }
}

fn measure(process: &mut Process, sampled: &Sampled, interval_ms: Option<f64>) {
    let cpu_ms = sampled.cpu_time_ms;
    // A process that began since the last sample used all of its time in this interval.
    let before = process.sampled_cpu_ms.or((!process.baseline).then_some(0));
    let cpu_centipercent = interval_ms
        .zip(before)
        .filter(|(interval, _)| *interval > 0.0)
        .map(|(interval, before)| {
            (cpu_ms.saturating_sub(before) as f64 / interval * 10_000.0).round() as u64
        });
    process.sampled_cpu_ms = Some(cpu_ms);
    if let Some(ppid) = sampled.ppid {
        process.ppid = ppid;
    }
    let mut row = Row::default();
    row.set(Column::Status, Some(sampled.status.into()));
    row.set(Column::Ppid, sampled.ppid.map(u64::from));
    row.set(Column::CpuCentipercent, cpu_centipercent);
    row.set(Column::CpuTimeMs, Some(cpu_ms));
    row.set(Column::RssKib, Some(sampled.rss_bytes / 1024));
    row.set(Column::VirtualKib, Some(sampled.virtual_bytes / 1024));
    row.set(Column::Threads, sampled.threads);
    row.set(Column::OpenFds, sampled.open_fds);
    row.set(Column::ReadBytes, sampled.read_bytes);
    row.set(Column::WriteBytes, sampled.write_bytes);
    process.now = row;
}
