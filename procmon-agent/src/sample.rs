//! One look at all processes and the host, by sysinfo. It knows metrics, not identities: those are the table's.

use std::time::Instant;

use procmon_common::wire;
use sysinfo::{
    MemoryRefreshKind, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind,
};

use crate::enrich::clock::{boot_ns, unix_ns};
use crate::enrich::procfs;

/// One process as a sample sees it. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    pub pid: u32,
    pub ppid: Option<u32>,
    pub status: u8,
    pub cpu_time_ms: u64,
    pub rss_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: Option<u64>,
    pub open_fds: Option<u64>,
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
}

/// All processes at one instant.
#[derive(Debug)]
pub struct Sample {
    pub taken: Instant,
    pub ts_unix_ns: i64,
    pub ts_boot_ns: u64,
    pub processes: Vec<Sampled>,
    pub host: wire::HostTotals,
}

/// Keeps what sysinfo needs between two samples.
pub struct Sampler {
    system: System,
    /// Without root, I/O of other users' processes reads as zero and is unknown.
    own_uid: Option<u32>,
    cpus: u32,
}

impl Sampler {
    pub fn new() -> anyhow::Result<Self> {
        let euid = rustix::process::geteuid();
        let mut system = System::new()?;
        system.refresh_cpu_usage();
        let cpus = system.cpus().len() as u32;
        Ok(Self {
            system,
            own_uid: (!euid.is_root()).then(|| euid.as_raw()),
            cpus,
        })
    }

    pub fn take(&mut self) -> Sample {
        let kinds = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_user(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        let (taken, ts_unix_ns, ts_boot_ns) = (Instant::now(), unix_ns(), boot_ns());
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::All, true, kinds);
        let processes = self
            .system
            .processes()
            .values()
            .map(|process| self.sampled(process))
            .collect();
        Sample {
            taken,
            ts_unix_ns,
            ts_boot_ns,
            processes,
            host: self.host(),
        }
    }

    fn sampled(&self, process: &sysinfo::Process) -> Sampled {
        let pid = process.pid().as_u32();
        let readable = self
            .own_uid
            .is_none_or(|own| process.user_id().is_some_and(|uid| **uid == own));
        let disk = process.disk_usage();
        Sampled {
            pid,
            ppid: process.parent().map(sysinfo::Pid::as_u32),
            status: status_letter(process.status()),
            cpu_time_ms: process.accumulated_cpu_time(),
            rss_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            threads: procfs::threads(pid),
            open_fds: procfs::open_fds(pid),
            read_bytes: readable.then_some(disk.total_read_bytes),
            write_bytes: readable.then_some(disk.total_written_bytes),
        }
    }

    fn host(&mut self) -> wire::HostTotals {
        let memory = MemoryRefreshKind::nothing().with_ram().with_swap();
        self.system.refresh_memory_specifics(memory);
        self.system.refresh_cpu_usage();
        let load = System::load_average().ok();
        let centi = |value: f64| (value * 100.0).round() as u32;
        wire::HostTotals {
            cpus: self.cpus,
            memory_total_bytes: self.system.total_memory(),
            memory_available_bytes: self.system.available_memory(),
            swap_total_bytes: self.system.total_swap(),
            swap_used_bytes: self.system.used_swap(),
            load1_centi: load.as_ref().map_or(0, |load| centi(load.one)),
            load5_centi: load.as_ref().map_or(0, |load| centi(load.five)),
            load15_centi: load.as_ref().map_or(0, |load| centi(load.fifteen)),
            cpu_centipercent: Some(centi(
                f64::from(self.system.global_cpu_usage()) * f64::from(self.cpus),
            )),
            boot_unix_ns: unix_ns() - boot_ns() as i64,
        }
    }
}

/// The state letter of `ps`.
fn status_letter(status: ProcessStatus) -> u8 {
    match status {
        ProcessStatus::Run | ProcessStatus::Waking => b'R',
        ProcessStatus::UninterruptibleDiskSleep | ProcessStatus::Parked => b'D',
        ProcessStatus::Stop | ProcessStatus::Tracing => b'T',
        ProcessStatus::Zombie | ProcessStatus::Dead => b'Z',
        ProcessStatus::Idle => b'I',
        _ => b'S',
    }
}
