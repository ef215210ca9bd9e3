//! One look at all processes and the host. It knows metrics, not lives: those are the table's. With the kernel's iterator
//! it is one pass in the kernel (`tasks`); elsewhere a scan of /proc by sysinfo (`portable`).

mod host;
mod portable;
mod tasks;

use std::ops::Range;
use std::time::Instant;

use anyhow::Result;
use procmon_common::kernel::Comm;
use procmon_common::wire;

use crate::enrich::clock::{boot_ns, unix_ns};
use crate::kernel::TaskIterator;
use host::HostMeter;
use portable::ProcScanner;
use tasks::TaskReader;

/// One process as a sample sees it. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    pub pid: u32,
    pub ppid: Option<u32>,
    pub status: u8,
    pub identity: Option<SampledIdentity>,
    pub cpu_time_ns: u64,
    pub rss_bytes: u64,
    pub rss_exact: Option<bool>,
    pub virtual_bytes: u64,
    pub threads: Option<u64>,
    pub open_fds: Option<u64>,
    /// Sockets of the Internet families.
    pub net_conns: Option<u64>,
    /// Listening and bound ports, ascending: a range of [`Sample::ports`].
    pub ports: Option<Range<usize>>,
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    pub switches: Option<Switches>,
    pub faults: Option<Faults>,
}

/// What an exact sampler knows beyond the pid; it changes without an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampledIdentity {
    pub start_boot_ns: u64,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub cgroup_id: u64,
    pub comm: Comm,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    pub voluntary: u64,
    pub involuntary: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub minor: u64,
    pub major: u64,
}

/// All processes at one instant, in the order of their pids.
#[derive(Debug)]
pub struct Sample {
    pub taken: Instant,
    pub ts_unix_ns: i64,
    pub ts_boot_ns: u64,
    pub processes: Vec<Sampled>,
    pub ports: Vec<u16>,
    pub host: wire::HostTotals,
}

impl Sample {
    /// Ports of one of its processes.
    pub fn ports_of(&self, sampled: &Sampled) -> Option<&[u16]> {
        self.ports.get(sampled.ports.clone()?)
    }

    fn begin() -> Self {
        Self {
            taken: Instant::now(),
            ts_unix_ns: unix_ns(),
            ts_boot_ns: boot_ns(),
            processes: Vec::new(),
            ports: Vec::new(),
            host: wire::HostTotals::default(),
        }
    }
}

/// Takes samples; keeps what it needs between two of them.
pub struct Sampler {
    source: Source,
    host: HostMeter,
    processes: usize,
}

enum Source {
    Tasks(Box<TaskReader>),
    Portable(Box<ProcScanner>),
}

impl Sampler {
    /// With the iterator where the host allows it.
    pub fn new(iterator: Option<TaskIterator>) -> Result<Self> {
        Ok(Self {
            source: match iterator {
                Some(iterator) => Source::Tasks(Box::new(TaskReader::new(iterator))),
                None => Source::Portable(Box::new(ProcScanner::new()?)),
            },
            host: HostMeter::new()?,
            processes: 0,
        })
    }

    pub fn take(&mut self) -> Result<Sample> {
        let mut sample = Sample::begin();
        sample.processes.reserve(self.processes + 16);
        match &mut self.source {
            Source::Tasks(reader) => reader.read(&mut sample)?,
            Source::Portable(scanner) => scanner.scan(&mut sample),
        }
        self.processes = sample.processes.len();
        sample.host = self.host.measure();
        Ok(sample)
    }
}
