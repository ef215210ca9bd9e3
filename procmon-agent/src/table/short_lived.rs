//! What lives used that ended between two samples: no sample shows it, so it is charged from the exit record, to the nearest
//! ancestor that is still there and to the group of the same command, user and cgroup.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use procmon_common::wire;
use prost::bytes::Bytes;

use super::Table;
use super::process::Process;

/// Groups in one interval; what comes after is added up without a name (`rest`).
const MAX_GROUPS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct ShortLives {
    groups: HashMap<Group, wire::ShortLived, RandomState>,
    rest: Option<wire::ShortLived>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    name: Bytes,
    uid: u32,
    cgroup: Option<Arc<str>>,
}

/// What a life used that no sample has shown.
#[derive(Clone, Copy, Debug)]
struct Unsampled {
    cpu_ns: u64,
    read_bytes: u64,
    write_bytes: u64,
    minor_faults: u64,
    major_faults: u64,
}

impl Table {
    /// Charges the end of a process with these totals. A zombie that is still sampled is not charged again.
    pub(super) fn charge(&mut self, process: &mut Process, exit: &wire::Exit) {
        let Some(cpu_total) = exit.cpu_time_ns else {
            return;
        };
        let sampled_before = process.sampled_cpu_ns.is_some();
        // What it used before the agent came is not of this interval.
        let unsampled = if process.used_unsampled() && !sampled_before {
            None
        } else {
            Some(Unsampled::of(process, exit, cpu_total))
        };
        process.sampled_cpu_ns = Some(cpu_total);
        if sampled_before {
            // A zombie is in the next sample, with all that it used.
            self.last_sample.unsettle(process.life.pid);
        }
        let Some(unsampled) = unsampled else {
            return;
        };
        let passed_on = unsampled.cpu_ns + std::mem::take(&mut process.short_lived_cpu_ns);
        if let Some(parent) = self.live.get_mut(&process.ppid) {
            if parent.short_lived_cpu_ns == 0 {
                self.last_sample.unsettle(process.ppid);
            }
            parent.short_lived_cpu_ns += passed_on;
        }
        self.short_lives.add(process, !sampled_before, unsampled);
    }

    /// What ended since the last call, for the frame of a sample.
    pub fn take_short_lived(&mut self) -> Vec<wire::ShortLived> {
        let lives = std::mem::take(&mut self.short_lives);
        let mut groups: Vec<_> = lives.groups.into_values().chain(lives.rest).collect();
        groups.retain(|group| group.lives > 0 || group.cpu_time_ns > 0);
        groups
    }
}

impl ShortLives {
    fn add(&mut self, process: &Process, whole: bool, used: Unsampled) {
        let group = Group {
            name: process.image.name.clone(),
            uid: uid(process),
            cgroup: process
                .cgroup
                .as_ref()
                .map(|cgroup| Arc::clone(&cgroup.path)),
        };
        let full = self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&group);
        let entry = if full {
            self.rest.get_or_insert_with(|| wire::ShortLived {
                rest: true,
                ..wire::ShortLived::default()
            })
        } else {
            self.groups.entry(group).or_insert_with(|| named(process))
        };
        entry.lives += u32::from(whole);
        entry.cpu_time_ns += used.cpu_ns;
        entry.read_bytes += used.read_bytes;
        entry.write_bytes += used.write_bytes;
        entry.minor_faults += used.minor_faults;
        entry.major_faults += used.major_faults;
    }
}

impl Unsampled {
    fn of(process: &Process, exit: &wire::Exit, cpu_total: u64) -> Self {
        let since = |total: Option<u64>, sampled: Option<u64>| {
            total.unwrap_or(0).saturating_sub(sampled.unwrap_or(0))
        };
        let faults = process.sampled_faults;
        Self {
            cpu_ns: since(Some(cpu_total), process.sampled_cpu_ns),
            read_bytes: since(exit.read_bytes, process.sampled_io.0),
            write_bytes: since(exit.write_bytes, process.sampled_io.1),
            minor_faults: since(exit.minor_faults, faults.map(|faults| faults.minor)),
            major_faults: since(exit.major_faults, faults.map(|faults| faults.major)),
        }
    }
}

/// Of a life whose start and execs were lost: 0, without a name.
fn uid(process: &Process) -> u32 {
    process
        .credentials
        .as_ref()
        .map_or(0, |credentials| credentials.uid)
}

fn named(process: &Process) -> wire::ShortLived {
    let cgroup = process.cgroup.as_ref();
    wire::ShortLived {
        name: process.image.name.clone(),
        uid: uid(process),
        username: process
            .credentials
            .as_ref()
            .and_then(|credentials| credentials.username.clone()),
        cgroup: cgroup.map(|cgroup| cgroup.path.to_string()),
        container_id: cgroup
            .and_then(|cgroup| cgroup.container_id.as_ref())
            .map(ToString::to_string),
        ..wire::ShortLived::default()
    }
}
