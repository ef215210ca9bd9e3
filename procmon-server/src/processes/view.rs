//! A process as the API shows it.

use procmon_common::columns::Column;
use serde::Serialize;
use utoipa::ToSchema;

use crate::batch::{Image, lossy};
use crate::clock::rfc3339_ns;
use crate::live::ProcessView;

/// A process. What is not known is null, never zero.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Process)]
pub struct ProcessBody {
    pub agent_id: String,
    /// One life: `{pid}-{start}-{boot}`. Unique within an agent; a pid is not.
    pub process_id: String,
    pub pid: u32,
    pub ppid: Option<u32>,
    pub name: Option<String>,
    pub exe: Option<String>,
    /// The arguments joined with spaces.
    pub cmdline: Option<String>,
    /// The arguments one by one.
    pub args: Option<Vec<String>>,
    /// Of the real user.
    pub username: Option<String>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    /// One letter as in ps: R S D Z T I.
    pub status: Option<String>,
    /// Percent of one core over the last interval.
    pub cpu_percent: Option<f64>,
    /// Percent of one core over the last interval, of descendants that began and ended within it: no list shows them. Charged to
    /// the nearest ancestor that is still there, and not part of its `cpu_percent`.
    pub short_lived_cpu_percent: Option<f64>,
    /// CPU time since the start.
    pub cpu_time_ms: Option<u64>,
    /// Bytes.
    pub memory_rss: Option<u64>,
    /// Of the host's memory.
    pub memory_percent: Option<f64>,
    pub rss_exact: Option<bool>,
    pub num_threads: Option<u64>,
    pub open_fds: Option<u64>,
    pub net_conns: Option<u64>,
    /// Listening TCP and bound UDP ports.
    pub ports: Option<Vec<u16>>,
    /// Storage I/O since the start.
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    /// Over the last interval.
    pub read_bytes_per_s: Option<f64>,
    pub write_bytes_per_s: Option<f64>,
    pub voluntary_switches: Option<u64>,
    pub involuntary_switches: Option<u64>,
    pub minor_faults: Option<u64>,
    pub major_faults: Option<u64>,
    pub start_time: Option<String>,
    pub cgroup: Option<String>,
    pub container_id: Option<String>,
    /// Innermost systemd service or scope.
    pub systemd_unit: Option<String>,
    pub pid_namespace: Option<u32>,
    pub namespace_pid: Option<u32>,
    /// When the sample was taken that the values come from.
    pub observed_at: Option<String>,
    /// The agent is silent: the values are old.
    pub stale: bool,
}

impl ProcessBody {
    pub fn new(view: &ProcessView<'_>) -> Self {
        let life = &view.process.life;
        let image = life.image.as_ref();
        let exe = image.filter(|image| !image.exe.is_empty());
        let credentials = life.credentials.as_ref();
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            agent_id: view.host.agent_id.to_string(),
            process_id: view.id.to_string(),
            pid: view.id.pid,
            ppid: view.ppid(),
            name: image.map(|image| lossy(&image.name)),
            exe: exe.map(|image| lossy(&image.exe)),
            cmdline: life.command().map(Image::command_line),
            args: life
                .arguments()
                .map(|arguments| arguments.map(lossy).collect()),
            username: life.username().map(str::to_owned),
            uid: credentials.and_then(|credentials| credentials.uid),
            euid: credentials.and_then(|credentials| credentials.euid),
            status: view.status().map(String::from),
            cpu_percent: view.cpu_percent(),
            short_lived_cpu_percent: view.short_lived_cpu_percent(),
            cpu_time_ms: view.metric(Column::CpuTimeMs),
            memory_rss: view.rss_bytes(),
            memory_percent: view.memory_percent(),
            rss_exact: view.rss_exact(),
            num_threads: view.metric(Column::Threads),
            open_fds: view.metric(Column::OpenFds),
            net_conns: view.metric(Column::NetConns),
            ports: view.ports().map(<[u16]>::to_vec),
            read_bytes: view.metric(Column::ReadBytes),
            write_bytes: view.metric(Column::WriteBytes),
            read_bytes_per_s: view.read_bytes_per_s(),
            write_bytes_per_s: view.write_bytes_per_s(),
            voluntary_switches: view.metric(Column::VoluntarySwitches),
            involuntary_switches: view.metric(Column::InvoluntarySwitches),
            minor_faults: view.metric(Column::MinorFaults),
            major_faults: view.metric(Column::MajorFaults),
            start_time: life.started_ns.map(rfc3339_ns),
            cgroup: text(life.cgroup.as_deref()),
            container_id: text(life.container_id.as_deref()),
            systemd_unit: text(life.systemd_unit.as_deref()),
            pid_namespace: life.pid_namespace,
            namespace_pid: life.namespace_pid,
            observed_at: view.observed_ns().map(rfc3339_ns),
            stale: view.stale,
        }
    }
}
