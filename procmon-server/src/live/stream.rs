//! The messages of `GET /live`: rows as columns.

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;
use serde::Serialize;
use utoipa::ToSchema;

use super::ProcessView;
use crate::batch::lossy;
use crate::clock::rfc3339_ns;

/// A message: all rows, or those that are new or changed and those that are gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveBody {
    pub at: String,
    /// The rest follows at once, in messages of type `delta`.
    pub more: bool,
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

impl LiveRemoved {
    pub(super) fn push(&mut self, agent_id: &str, ids: &[ProcessId]) {
        for id in ids {
            self.agent_id.push(agent_id.to_owned());
            self.process_id.push(id.to_string());
        }
    }
}

impl LiveColumns {
    pub(super) fn len(&self) -> usize {
        self.pid.len()
    }

    pub(super) fn push(&mut self, view: &ProcessView<'_>) {
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
