//! An agent that exists only as batches.

use std::sync::atomic::{AtomicU64, Ordering};

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire::{self, Batch};

use super::START_MS;

/// An agent whose host is made up.
pub(crate) struct FakeAgent {
    pub(crate) id: String,
    pub(crate) boot: [u8; 16],
    pub(crate) machine: Vec<u8>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The host's clock.
    pub(crate) now_ns: i64,
}

static AGENTS: AtomicU64 = AtomicU64::new(1);

impl FakeAgent {
    pub(crate) fn new(id: &str) -> Self {
        let number = AGENTS.fetch_add(1, Ordering::Relaxed);
        let mut boot = [0x0f; 16];
        boot[8..].copy_from_slice(&number.to_be_bytes());
        Self {
            id: id.to_owned(),
            boot,
            machine: boot.to_vec(),
            epoch: START_MS as u64 * 1_000_000,
            seq: 0,
            now_ns: START_MS * 1_000_000,
        }
    }

    /// The next batch, with nothing in it.
    pub(crate) fn batch(&mut self) -> Batch {
        self.seq += 1;
        Batch {
            agent_id: self.id.clone(),
            boot_id: self.boot.to_vec().into(),
            machine_id: self.machine.clone().into(),
            epoch: self.epoch,
            seq: self.seq,
            built_unix_ns: self.now_ns,
            interval_ms: 5000,
            ..Batch::default()
        }
    }

    /// A key batch with processes `first..first + count`, handles equal to pids, and a frame of theirs.
    pub(crate) fn key(&mut self, first: u32, count: u32) -> Batch {
        let mut batch = self.batch();
        batch.key = true;
        batch.processes = (first..first + count)
            .map(|pid| process(pid, self.now_ns))
            .collect();
        let mut encoder = FrameEncoder::default();
        for pid in first..first + count {
            encoder.push(pid, &Row::default(), &row(pid));
        }
        batch.frame = Some(wire::Frame {
            ts_unix_ns: self.now_ns,
            columns: encoder.finish(),
            ports: vec![wire::Ports {
                handle: first,
                ports: vec![443, 80],
            }],
            ..wire::Frame::default()
        });
        batch.host = Some(wire::HostTotals {
            cpus: 4,
            memory_total_bytes: 1 << 30,
            ..wire::HostTotals::default()
        });
        batch.health = Some(wire::AgentHealth {
            version: "9.9.9-unheard-of".to_owned(),
            hostname: "host-1".to_owned(),
            kernel: "6.12.0".to_owned(),
            probe: "ebpf".to_owned(),
            drops: [("exec.ring_full".to_owned(), 3)].into(),
            ..wire::AgentHealth::default()
        });
        batch
    }

    /// A batch in which one process lives from start to end, with its exec and its exit.
    pub(crate) fn life(&mut self, pid: u32, exit: wire::Exit) -> Batch {
        let mut batch = self.batch();
        let mut born = process(pid, self.now_ns);
        born.image = Some(image(0, b"bash\0-c\0true\0"));
        batch.processes = vec![born];
        let exec = wire::Exec {
            image: Some(image(1, b"/bin/true\0a b\0\0")),
            credentials: None,
        };
        batch.events = vec![
            event(self.now_ns + 1_000_000, pid, wire::event::Kind::Exec(exec)),
            event(self.now_ns + 2_500_000, pid, wire::event::Kind::Exit(exit)),
        ];
        batch
    }
}

pub(crate) fn event(ts_unix_ns: i64, handle: u32, kind: wire::event::Kind) -> wire::Event {
    wire::Event {
        ts_unix_ns,
        handle,
        sampled: false,
        kind: Some(kind),
    }
}

pub(crate) fn process(pid: u32, now_ns: i64) -> wire::Process {
    wire::Process {
        handle: pid,
        pid,
        start_ticks: 1000 + u64::from(pid),
        ppid: if pid.is_multiple_of(10) {
            1
        } else {
            pid / 10 * 10
        },
        started_unix_ns: now_ns,
        image: Some(image(0, format!("/usr/bin/demo\0--n\0{pid}\0").as_bytes())),
        credentials: Some(wire::Credentials {
            uid: 1000,
            euid: Some(0),
            gid: 1000,
            username: Some("alice".to_owned()),
        }),
        cgroup: Some("/system.slice/demo.service".to_owned()),
        container_id: (pid.is_multiple_of(2)).then(|| "0123456789abcdef".to_owned()),
        systemd_unit: (pid == 10).then(|| "demo.service".to_owned()),
        pid_namespace: None,
        namespace_pid: None,
        baseline: true,
    }
}

pub(crate) fn image(seq: u32, args: &[u8]) -> wire::Image {
    let first = args.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = first
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    wire::Image {
        seq,
        name: name.to_vec().into(),
        exe: first.to_vec().into(),
        args: args.to_vec().into(),
        args_bytes: args.len() as u64,
        args_cut: None,
    }
}

pub(crate) fn row(pid: u32) -> Row {
    let mut row = Row::default();
    let state = if pid.is_multiple_of(7) { b'Z' } else { b'S' };
    row.set(Column::Status, Some(u64::from(state)));
    row.set(Column::CpuCentipercent, Some(u64::from(pid) * 100));
    row.set(Column::RssKib, Some(u64::from(pid) * 1024));
    row.set(Column::Threads, Some(2));
    row.set(Column::NetConns, Some(0));
    row.set(Column::ReadBytes, Some(1000));
    row.set(Column::WriteBytes, Some(0));
    row
}

/// A clean exit with all totals.
pub(crate) fn exited(code: u32) -> wire::Exit {
    wire::Exit {
        code: Some(code),
        cpu_time_ns: Some(1_234_567),
        user_time_ns: Some(1_000_000),
        system_time_ns: Some(234_567),
        max_rss_bytes: Some(4 << 20),
        read_bytes: Some(0),
        write_bytes: Some(4096),
        totals_final: true,
        ..wire::Exit::default()
    }
}

pub(crate) fn killed(signal: u32) -> wire::Exit {
    wire::Exit {
        signal: Some(signal),
        core_dumped: signal == 11,
        totals_final: true,
        ..wire::Exit::default()
    }
}
