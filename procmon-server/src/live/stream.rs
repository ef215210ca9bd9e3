//! What one client of `GET /live` has, and what it lacks.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::columns::Column;
use serde::Serialize;
use utoipa::ToSchema;

use super::{AgentStatus, HostEntry, ProcessView};
use crate::batch::lossy;
use crate::clock::{rfc3339_ms, rfc3339_ns};

/// A message: all rows, or those that are new or changed and those that are gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveBody {
    pub at: String,
    pub columns: LiveColumns,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<LiveRemoved>,
}

/// Rows as columns of equal length; what is not known is null.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct LiveColumns {
    pub agent_id: Vec<String>,
    pub process_id: Vec<String>,
    pub pid: Vec<u32>,
    pub ppid: Vec<Option<u32>>,
    pub name: Vec<Option<String>>,
    pub exe: Vec<Option<String>>,
    pub cmdline: Vec<Option<String>>,
    pub username: Vec<Option<String>>,
    pub uid: Vec<Option<u32>>,
    pub status: Vec<Option<char>>,
    pub cpu_percent: Vec<Option<f64>>,
    pub short_lived_cpu_percent: Vec<Option<f64>>,
    pub cpu_time_ms: Vec<Option<u64>>,
    pub memory_rss: Vec<Option<u64>>,
    pub rss_exact: Vec<Option<bool>>,
    pub memory_percent: Vec<Option<f64>>,
    pub num_threads: Vec<Option<u64>>,
    pub open_fds: Vec<Option<u64>>,
    pub net_conns: Vec<Option<u64>>,
    pub ports: Vec<Option<Vec<u16>>>,
    pub read_bytes: Vec<Option<u64>>,
    pub write_bytes: Vec<Option<u64>>,
    pub read_bytes_per_s: Vec<Option<f64>>,
    pub write_bytes_per_s: Vec<Option<f64>>,
    pub voluntary_switches: Vec<Option<u64>>,
    pub involuntary_switches: Vec<Option<u64>>,
    pub minor_faults: Vec<Option<u64>>,
    pub major_faults: Vec<Option<u64>>,
    pub start_time: Vec<Option<String>>,
    pub cgroup: Vec<Option<String>>,
    pub container_id: Vec<Option<String>>,
    pub systemd_unit: Vec<Option<String>>,
    pub stale: Vec<bool>,
}

/// Identities of rows that are gone.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct LiveRemoved {
    pub agent_id: Vec<String>,
    pub process_id: Vec<String>,
}

/// How far a client has followed each host.
#[derive(Debug, Default)]
pub(super) struct Follower {
    hosts: HashMap<Arc<str>, (u64, AgentStatus)>,
}

/// What a client is to be sent.
pub(super) enum Step {
    Snapshot(LiveBody),
    Delta(LiveBody),
    Nothing,
}

impl Follower {
    /// Brings the client up to date with all hosts. A host that it cannot follow any more makes everything new.
    pub(super) fn step(&mut self, entries: &[Arc<HostEntry>], now_ms: i64, first: bool) -> Step {
        if first || !self.can_follow(entries) {
            self.hosts.clear();
            let (columns, _) = self.collect(entries, now_ms);
            return Step::Snapshot(LiveBody {
                at: rfc3339_ms(now_ms),
                columns,
                removed: None,
            });
        }
        let (columns, removed) = self.collect(entries, now_ms);
        if columns.pid.is_empty() && removed.process_id.is_empty() {
            return Step::Nothing;
        }
        Step::Delta(LiveBody {
            at: rfc3339_ms(now_ms),
            columns,
            removed: Some(removed),
        })
    }

    fn can_follow(&self, entries: &[Arc<HostEntry>]) -> bool {
        let followable = |entry: &Arc<HostEntry>| {
            let known = self.hosts.get(&entry.agent_id);
            known.is_none_or(|(version, _)| !entry.read().changes_after(*version).all)
        };
        entries.iter().all(followable)
    }

    fn collect(&mut self, entries: &[Arc<HostEntry>], now_ms: i64) -> (LiveColumns, LiveRemoved) {
        let mut columns = LiveColumns::default();
        let mut removed = LiveRemoved::default();
        for entry in entries {
            let host = entry.read();
            let status = host.agent.status(now_ms);
            let known = self
                .hosts
                .insert(Arc::clone(&host.agent_id), (host.version(), status));
            let since = match known {
                // A change of status shows in every row.
                Some((version, before)) if before == status => Some(version),
                _ => None,
            };
            if let Some((version, _)) = known {
                for id in host.changes_after(version).removed {
                    removed.agent_id.push(host.agent_id.to_string());
                    removed.process_id.push(id.to_string());
                }
            }
            for view in host.views(now_ms) {
                if since.is_none_or(|version| view.changed_after(version)) {
                    columns.push(&view);
                }
            }
        }
        (columns, removed)
    }
}

impl LiveColumns {
    fn push(&mut self, view: &ProcessView<'_>) {
        let life = &view.process.life;
        let image = life.image.as_ref();
        let exe = image.filter(|image| !image.exe.is_empty());
        let text = |text: Option<&str>| text.map(str::to_owned);
        self.agent_id.push(view.host.agent_id.to_string());
        self.process_id.push(view.id.to_string());
        self.pid.push(view.id.pid);
        self.ppid.push(view.ppid());
        self.name.push(image.map(|image| lossy(&image.name)));
        self.exe.push(exe.map(|image| lossy(&image.exe)));
        self.cmdline
            .push(life.command().map(crate::batch::Image::command_line));
        self.username.push(life.username().map(str::to_owned));
        let credentials = life.credentials.as_ref();
        self.uid.push(credentials.and_then(|known| known.uid));
        self.status.push(view.status());
        self.cpu_percent.push(view.cpu_percent());
        self.short_lived_cpu_percent
            .push(view.short_lived_cpu_percent());
        self.cpu_time_ms.push(view.metric(Column::CpuTimeMs));
        self.memory_rss.push(view.rss_bytes());
        self.rss_exact.push(view.rss_exact());
        self.memory_percent.push(view.memory_percent());
        self.num_threads.push(view.metric(Column::Threads));
        self.open_fds.push(view.metric(Column::OpenFds));
        self.net_conns.push(view.metric(Column::NetConns));
        self.ports.push(view.ports().map(<[u16]>::to_vec));
        self.read_bytes.push(view.metric(Column::ReadBytes));
        self.write_bytes.push(view.metric(Column::WriteBytes));
        self.read_bytes_per_s.push(view.read_bytes_per_s());
        self.write_bytes_per_s.push(view.write_bytes_per_s());
        self.voluntary_switches
            .push(view.metric(Column::VoluntarySwitches));
        self.involuntary_switches
            .push(view.metric(Column::InvoluntarySwitches));
        self.minor_faults.push(view.metric(Column::MinorFaults));
        self.major_faults.push(view.metric(Column::MajorFaults));
        self.start_time.push(life.started_ns.map(rfc3339_ns));
        self.cgroup.push(text(life.cgroup.as_deref()));
        self.container_id.push(text(life.container_id.as_deref()));
        self.systemd_unit.push(text(life.systemd_unit.as_deref()));
        self.stale.push(view.stale);
    }
}
