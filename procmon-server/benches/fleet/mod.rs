//! Made-up hosts, the same in every run.

use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;
use procmon_server::batch::{Batch, ColumnChanges, Credentials, Frame, Image, Life, Totals};
use procmon_server::clock::Clock;
use procmon_server::ingest::limits::IngestLimits;
use procmon_server::live::Live;
use procmon_server::live::apply::Place;

/// On each host.
pub(crate) const PROCESSES: u32 = 300;
pub(crate) const NOW_MS: i64 = 1_769_860_800_000;

pub(crate) fn live(hosts: u32) -> Live {
    let live = Live::new(Clock::manual(NOW_MS), IngestLimits::default());
    for host in 0..hosts {
        fill(&live, host);
    }
    live
}

/// The next sample of all hosts, in which nothing has changed.
#[allow(dead_code, reason = "not every benchmark has more than one")]
pub(crate) fn sample(live: &Live, hosts: u32, seq: u64, now_ms: i64) {
    for host in 0..hosts {
        let entry = live.entry(&format!("host-{host:05}")).expect("a place");
        let mut state = entry.write();
        state.agent.last_seen_ms = now_ms;
        let batch = Batch {
            frame: Some(Frame {
                ts_ns: now_ms * 1_000_000,
                ..Frame::default()
            }),
            ..Batch::default()
        };
        let place = Place {
            epoch: 1,
            seq,
            received_ms: now_ms,
        };
        state.apply(&batch, place, Vec::new());
    }
}

/// Numbers that look random and are the same in every run.
fn mixed(host: u32, process: u32, salt: u32) -> u64 {
    let seed = u64::from(host) << 40 | u64::from(process) << 8 | u64::from(salt);
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^= value >> 31;
    value = value.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value ^ value >> 29
}

/// A value from a number that looks random.
type Make = fn(u64) -> u64;

fn fill(live: &Live, host: u32) {
    let agent_id = format!("host-{host:05}");
    let entry = live.entry(&agent_id).expect("a place");
    let mut state = entry.write();
    state.agent.first_seen_ms = NOW_MS - 60_000;
    state.agent.last_seen_ms = NOW_MS;
    state.agent.interval_ms = 5_000;
    let lives = (0..PROCESSES).map(|process| (process, Arc::new(life(host, process))));
    let columns: [(Column, Make); 6] = [
        // One in a thousand is a zombie.
        (Column::Status, |value| match value % 1_000 {
            0 => 90,
            value => [83, 83, 83, 83, 82, 68][value as usize % 6],
        }),
        // Most are idle.
        (Column::CpuCentipercent, |value| {
            if value.is_multiple_of(10) {
                value / 10 % 10_000
            } else {
                0
            }
        }),
        (Column::RssKib, |value| value % 2_000_000),
        (Column::Threads, |value| 1 + value % 40),
        (Column::ReadBytes, |value| value % 1_000_000_000),
        (Column::WriteBytes, |value| value % 1_000_000_000),
    ];
    let columns = columns.into_iter().map(|(column, of)| ColumnChanges {
        column,
        // An unknown value is stored as 0, a known one as itself + 1.
        changes: (0..PROCESSES)
            .map(|process| (process, of(mixed(host, process, column.id())) as i64 + 1))
            .collect(),
    });
    let batch = Batch {
        key: true,
        lives: lives.collect(),
        frame: Some(Frame {
            ts_ns: NOW_MS * 1_000_000,
            columns: columns.collect(),
            ..Frame::default()
        }),
        totals: Some(Totals {
            cpus: 16,
            memory_total_bytes: 64 << 30,
            ..Totals::default()
        }),
        ..Batch::default()
    };
    let place = Place {
        epoch: 1,
        seq: 1,
        received_ms: NOW_MS,
    };
    state.apply(&batch, place, Vec::new());
}

fn life(host: u32, process: u32) -> Life {
    const NAMES: [&str; 12] = [
        "java",
        "nginx",
        "postgres",
        "python3",
        "kworker/0:1",
        "sshd",
        "systemd",
        "node",
        "redis-server",
        "bash",
        "cron",
        "containerd",
    ];
    let kind = mixed(host, process, 200);
    let name = NAMES[kind as usize % NAMES.len()];
    let shard = kind / 100 % 500;
    let args = format!(
        "/usr/lib/{name}/bin/{name}\0--config=/etc/{name}/{name}.conf\0--shard={shard}\0--log-level\0info\0--data=/var/lib/{name}\0"
    );
    Life {
        id: format!("{}-{}-0a0b0c0d", process + 100, 1_000 + kind % 1_000_000)
            .parse::<ProcessId>()
            .ok(),
        ppid: Some(1),
        started_ns: Some((NOW_MS - (kind % 1_000_000) as i64) * 1_000_000),
        image: Some(Arc::new(Image {
            seq: 1,
            name: name.as_bytes().into(),
            exe: format!("/usr/lib/{name}/bin/{name}").as_bytes().into(),
            args_bytes: args.len() as u64,
            args: args.as_bytes().into(),
            args_cut: false,
        })),
        credentials: Some(Arc::new(Credentials {
            uid: Some(1000 + (kind % 50) as u32),
            euid: None,
            gid: None,
            username: Some(format!("user-{}", kind % 50).into()),
        })),
        cgroup: Some(format!("/system.slice/{name}.service").into()),
        container_id: kind
            .is_multiple_of(8)
            .then(|| format!("{:064x}", kind / 8 % 1_000).into()),
        systemd_unit: Some(format!("{name}.service").into()),
        pid_namespace: None,
        namespace_pid: None,
        baseline: true,
    }
}
