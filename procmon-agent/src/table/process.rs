use std::sync::Arc;

use procmon_common::columns::Row;
use procmon_common::wire;
use prost::bytes::Bytes;

use crate::enrich::cgroup::Cgroup;
use crate::enrich::procfs::{self, Identity};
use crate::redact::{RedactedArgs, Redactor};
use crate::resume::KnownProcess;
use crate::sample::{Faults, SampledIdentity};

/// A life, named by what cannot repeat within a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Life {
    pub pid: u32,
    pub start_ticks: u64,
}

impl Life {
    /// Whether it is alive or a zombie, and not another life with its pid.
    pub fn exists(self) -> bool {
        procfs::stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks)
    }
}

/// A process that is alive, or a zombie.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a life, none a state of another"
)]
#[derive(Clone, Debug, Default)]
pub struct Process {
    pub handle: u32,
    pub life: Life,
    pub ppid: u32,
    pub started_unix_ns: i64,
    pub image: Image,
    /// `None`: not known.
    pub credentials: Option<wire::Credentials>,
    pub cgroup: Option<Cgroup>,
    pub pid_namespace: Option<u32>,
    pub namespace_pid: Option<u32>,
    pub baseline: bool,
    /// The run before knew it: how much of its totals was sampled then is not known.
    pub adopted: bool,
    /// `signal->maxrss` when the current image began; `None` when that was before the agent.
    pub max_rss_pages_before: Option<u64>,
    /// Its exit record was seen.
    pub exited: bool,
    /// Its exit event was sent before the kernel freed it.
    pub exit_sent: bool,
    /// The out-of-memory killer chose it.
    pub oom_chosen: bool,
    /// What the server knows, and what the last sample found.
    pub sent: Row,
    pub now: Row,
    /// Listening and bound ports.
    pub ports: Box<[u16]>,
    pub ports_changed: bool,
    pub sampled_identity: Option<SampledIdentity>,
    /// When the kernel told its last exec: a sample that began before shows who it was until then.
    pub executed_boot_ns: u64,
    /// Its title was read since it forked.
    pub title_read: bool,
    /// Totals at the last sample, to tell the next interval's share.
    pub sampled_cpu_ns: Option<u64>,
    pub sampled_io: (Option<u64>, Option<u64>),
    pub sampled_faults: Option<Faults>,
    /// What descendants used that ended since the last sample, and were not sampled with it.
    pub short_lived_cpu_ns: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Image {
    pub seq: u32,
    pub name: Bytes,
    pub exe: Bytes,
    pub args: RedactedArgs,
    pub args_bytes: u64,
}

impl Image {
    /// Keeps the beginning of argv; its true length stays.
    pub fn cut_args(&mut self, max_bytes: usize) {
        self.args.cut(max_bytes);
    }

    pub fn to_wire(&self) -> wire::Image {
        wire::Image {
            seq: self.seq,
            name: self.name.clone(),
            exe: self.exe.clone(),
            args: self.args.bytes().clone(),
            args_bytes: self.args_bytes,
            args_cut: Some(self.args.is_cut()),
        }
    }
}

impl Process {
    pub fn from_procfs(
        handle: u32,
        identity: Identity,
        started_unix_ns: i64,
        username: Option<String>,
        redactor: &Redactor,
    ) -> Self {
        let Identity {
            pid,
            start_ticks,
            ppid,
            uid,
            euid,
            gid,
            ..
        } = identity;
        Self {
            handle,
            life: Life { pid, start_ticks },
            ppid,
            started_unix_ns,
            image: Image {
                seq: 0,
                name: identity.name.into(),
                exe: identity.exe.into(),
                args: redactor.redact(&identity.args, identity.args_bytes),
                args_bytes: identity.args_bytes,
            },
            credentials: Some(wire::Credentials {
                uid,
                euid: Some(euid),
                gid,
                username,
            }),
            cgroup: identity.cgroup.as_deref().map(Cgroup::new),
            pid_namespace: identity.pid_namespace,
            namespace_pid: identity.namespace_pid,
            ..Self::default()
        }
    }

    /// As the agent before has sent it.
    pub fn from_known(handle: u32, known: &KnownProcess) -> Self {
        let process = &known.process;
        let image = process.image.clone().unwrap_or_default();
        Self {
            handle,
            life: Life {
                pid: process.pid,
                start_ticks: process.start_ticks,
            },
            ppid: process.ppid,
            started_unix_ns: process.started_unix_ns,
            image: Image {
                seq: image.seq,
                args: RedactedArgs::from_sent(&image),
                name: image.name,
                exe: image.exe,
                args_bytes: image.args_bytes,
            },
            credentials: process.credentials.clone(),
            cgroup: process.cgroup.as_deref().map(Cgroup::new),
            pid_namespace: process.pid_namespace,
            namespace_pid: process.namespace_pid,
            baseline: process.baseline,
            adopted: true,
            exited: known.has_told_exit,
            exit_sent: known.has_told_exit,
            oom_chosen: known.oom_chosen,
            ..Self::default()
        }
    }

    /// Part of what it has used is of intervals before the first sample.
    pub fn used_unsampled(&self) -> bool {
        self.baseline || self.adopted
    }

    pub fn to_wire(&self) -> wire::Process {
        let text = |text: &Arc<str>| text.to_string();
        wire::Process {
            handle: self.handle,
            pid: self.life.pid,
            start_ticks: self.life.start_ticks,
            ppid: self.ppid,
            started_unix_ns: self.started_unix_ns,
            image: Some(self.image.to_wire()),
            credentials: self.credentials.clone(),
            cgroup: self.cgroup.as_ref().map(|cgroup| text(&cgroup.path)),
            container_id: self
                .cgroup
                .as_ref()
                .and_then(|cgroup| cgroup.container_id.as_ref())
                .map(text),
            systemd_unit: self
                .cgroup
                .as_ref()
                .and_then(|cgroup| cgroup.systemd_unit.as_ref())
                .map(text),
            pid_namespace: self.pid_namespace,
            namespace_pid: self.namespace_pid,
            baseline: self.baseline,
        }
    }
}
