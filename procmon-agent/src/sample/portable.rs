use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::{Sample, Sampled};
use crate::enrich::procfs;
use crate::sockets::Sockets;

/// Scans /proc by sysinfo: what works everywhere, without root too.
pub(super) struct ProcScanner {
    system: System,
    /// Without root, I/O of other users' processes reads as zero and is unknown.
    own_uid: Option<u32>,
    sockets: Sockets,
}

impl ProcScanner {
    pub(super) fn new() -> anyhow::Result<Self> {
        let euid = rustix::process::geteuid();
        Ok(Self {
            system: System::new()?,
            own_uid: (!euid.is_root()).then(|| euid.as_raw()),
            sockets: Sockets::default(),
        })
    }

    pub(super) fn scan(&mut self, sample: &mut Sample) {
        let kinds = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_user(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::All, true, kinds);
        let processes = self.system.processes().values();
        sample
            .processes
            .extend(processes.map(|process| self.sampled(process)));
        sample.processes.sort_unstable_by_key(|sampled| sampled.pid);
        self.add_sockets(sample);
    }

    fn add_sockets(&mut self, sample: &mut Sample) {
        let processes = sample.processes.iter().map(|sampled| {
            let process = self.system.process(sysinfo::Pid::from_u32(sampled.pid));
            let start = process.map_or(0, sysinfo::Process::start_time);
            (sampled.pid, start, sampled.open_fds)
        });
        self.sockets.refresh(processes);
        for sampled in &mut sample.processes {
            if let Some((sockets, ports)) = self.sockets.of(sampled.pid) {
                let first = sample.ports.len();
                sample.ports.extend(ports);
                sampled.ports = Some(first..sample.ports.len());
                sampled.net_conns = Some(sockets.into());
            }
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
            cpu_time_ns: process.accumulated_cpu_time() * 1_000_000,
            rss_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            threads: procfs::threads(pid),
            open_fds: procfs::open_fds(pid),
            read_bytes: readable.then_some(disk.total_read_bytes),
            write_bytes: readable.then_some(disk.total_written_bytes),
            ..Sampled::default()
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
