//! An event as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

use super::filter::duration_ns;
use crate::batch::{Event, EventKind, Exit, Image, Killer, Life, Loss, Oom, SlowIo, lossy};
use crate::clock::{rfc3339_ms, rfc3339_ns};
use crate::store::{Position, StoredEvents};

/// Something that happened. What is not known is null, never zero.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// Its place in the order of arrival.
    pub cursor: String,
    /// exec, exit, fork, `io_slow`, oom or loss.
    #[schema(value_type = String)]
    pub r#type: &'static str,
    /// By the host's clock.
    pub ts: String,
    /// By the server's clock.
    pub received_at: String,
    pub agent_id: String,
    pub process_id: Option<String>,
    pub pid: Option<u32>,
    pub ppid: Option<u32>,
    pub name: Option<String>,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub args: Option<Vec<String>>,
    /// True length of the arguments.
    pub cmdline_bytes: Option<u64>,
    /// The arguments were longer than what is kept of them.
    pub cmdline_truncated: Option<bool>,
    pub username: Option<String>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub cgroup: Option<String>,
    pub container_id: Option<String>,
    pub systemd_unit: Option<String>,
    /// kernel: seen as it happened. sample: deduced from two samples.
    #[schema(value_type = String)]
    pub observed: &'static str,
    #[serde(flatten)]
    pub exit: Option<ExitBody>,
    #[serde(flatten)]
    pub io_slow: Option<SlowIoBody>,
    #[serde(flatten)]
    pub loss: Option<LossBody>,
    #[serde(flatten)]
    pub oom: Option<OomBody>,
}

/// Fields of an exit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExitBody {
    /// Null when a signal killed it.
    pub exit_code: Option<u32>,
    /// Number of the signal that killed it.
    pub signal: Option<u32>,
    /// Who sent that signal.
    pub killed_by: Option<KillerBody>,
    pub core_dumped: Option<bool>,
    pub duration_ms: Option<f64>,
    pub cpu_time_ms: Option<f64>,
    pub user_time_ms: Option<f64>,
    pub system_time_ms: Option<f64>,
    /// Highest resident set of the life's own memory.
    pub max_rss_bytes: Option<u64>,
    /// Storage I/O.
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    pub voluntary_switches: Option<u64>,
    pub involuntary_switches: Option<u64>,
    pub minor_faults: Option<u64>,
    pub major_faults: Option<u64>,
    /// The kernel's out-of-memory killer chose it.
    pub oom_killed: Option<bool>,
    /// False when the process was still a zombie when the record left the host: the totals lack its very end.
    pub totals_final: bool,
}

/// The sender of a fatal signal, as it was when it sent it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Killer)]
pub struct KillerBody {
    pub process_id: String,
    pub pid: u32,
    pub name: String,
    pub uid: u32,
}

/// Fields of an out-of-memory kill: the kernel chose this process. Its exit follows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OomBody {
    /// Path of the memory cgroup whose limit was hit.
    pub memory_cgroup: Option<String>,
    /// Resident set when it was chosen.
    pub rss_bytes: Option<u64>,
    pub oom_score_adj: Option<i32>,
}

/// Fields of a slow I/O request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SlowIoBody {
    /// Name, or major:minor.
    pub device: String,
    /// read, write, flush, discard or other.
    #[schema(value_type = String)]
    pub op: &'static str,
    pub bytes: u64,
    pub latency_ms: f64,
    /// Issued by a kernel worker on behalf of others.
    pub writeback: bool,
}

/// Fields of a loss: what was not seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LossBody {
    /// exec, exit, fork, `io_slow`, sample, batch.
    pub loss_kind: String,
    pub loss_reason: String,
    pub loss_count: u64,
    /// Whose records they were, where that is known; `cgroup` is theirs too.
    pub command: Option<String>,
    pub from: String,
    pub until: String,
}

impl EventBody {
    pub fn new(stored: &StoredEvents, position: Position, event: &Event) -> Self {
        let life = event.life.as_deref();
        let image = life.and_then(|life| life.image.as_ref());
        let credentials = life.and_then(|life| life.credentials.as_ref());
        let id = life.and_then(|life| life.id);
        let command = life.and_then(Life::command);
        let mut body = Self {
            cursor: position.to_cursor(),
            r#type: event.kind.name(),
            ts: rfc3339_ns(event.ts_ns),
            received_at: rfc3339_ms(stored.received_ms),
            agent_id: stored.agent_id.to_string(),
            process_id: id.map(|id| id.to_string()),
            pid: id.map(|id| id.pid),
            ppid: life.and_then(|life| life.ppid),
            name: image.map(|image| lossy(&image.name)),
            exe: image
                .filter(|image| !image.exe.is_empty())
                .map(|image| lossy(&image.exe)),
            cmdline: command.map(Image::command_line),
            args: life
                .and_then(Life::arguments)
                .map(|arguments| arguments.map(lossy).collect()),
            cmdline_bytes: command.map(|image| image.args_bytes),
            cmdline_truncated: command.map(|image| image.args_cut),
            username: life.and_then(|life| life.username()).map(str::to_owned),
            uid: credentials.and_then(|credentials| credentials.uid),
            euid: credentials.and_then(|credentials| credentials.euid),
            cgroup: life.and_then(|life| life.cgroup.as_deref().map(str::to_owned)),
            container_id: life.and_then(|life| life.container_id.as_deref().map(str::to_owned)),
            systemd_unit: life.and_then(|life| life.systemd_unit.as_deref().map(str::to_owned)),
            observed: if event.sampled { "sample" } else { "kernel" },
            exit: None,
            io_slow: None,
            loss: None,
            oom: None,
        };
        match &event.kind {
            EventKind::Fork | EventKind::Exec => {}
            EventKind::Exit(exit) => body.exit = Some(ExitBody::new(exit, event)),
            EventKind::SlowIo(io) => body.io_slow = Some(SlowIoBody::new(io)),
            EventKind::Loss(loss) => {
                body.cgroup = loss.cgroup.as_deref().map(str::to_owned);
                body.loss = Some(LossBody::new(loss, event));
            }
            EventKind::Oom(oom) => body.oom = Some(OomBody::new(oom)),
        }
        body
    }
}

impl ExitBody {
    fn new(exit: &Exit, event: &Event) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let known = exit.code.is_some() || exit.signal.is_some();
        Self {
            exit_code: exit.code,
            signal: exit.signal,
            killed_by: exit.killed_by.as_deref().map(KillerBody::new),
            core_dumped: known.then_some(exit.core_dumped),
            duration_ms: duration_ns(event).map(|ns| ns as f64 / 1e6),
            cpu_time_ms: exit.cpu_time_ns.map(ms),
            user_time_ms: exit.user_time_ns.map(ms),
            system_time_ms: exit.system_time_ns.map(ms),
            max_rss_bytes: exit.max_rss_bytes,
            read_bytes: exit.read_bytes,
            write_bytes: exit.write_bytes,
            voluntary_switches: exit.voluntary_switches,
            involuntary_switches: exit.involuntary_switches,
            minor_faults: exit.minor_faults,
            major_faults: exit.major_faults,
            oom_killed: exit.oom_killed,
            totals_final: exit.totals_final,
        }
    }
}

impl KillerBody {
    fn new(killer: &Killer) -> Self {
        Self {
            process_id: killer.id.to_string(),
            pid: killer.id.pid,
            name: lossy(&killer.name),
            uid: killer.uid,
        }
    }
}

impl OomBody {
    fn new(oom: &Oom) -> Self {
        Self {
            memory_cgroup: oom.memory_cgroup.as_deref().map(str::to_owned),
            rss_bytes: oom.rss_bytes,
            oom_score_adj: oom.oom_score_adj,
        }
    }
}

impl SlowIoBody {
    fn new(io: &SlowIo) -> Self {
        Self {
            device: if io.device.is_empty() {
                format!("{}:{}", io.major, io.minor)
            } else {
                io.device.to_string()
            },
            op: io.operation.name(),
            bytes: io.bytes,
            latency_ms: io.latency_ns as f64 / 1e6,
            writeback: io.writeback,
        }
    }
}

impl LossBody {
    fn new(loss: &Loss, event: &Event) -> Self {
        Self {
            loss_kind: loss.kind.to_string(),
            loss_reason: loss.reason.to_string(),
            loss_count: loss.count,
            command: loss.command.as_deref().map(lossy),
            from: rfc3339_ns(loss.from_ns),
            until: rfc3339_ns(event.ts_ns),
        }
    }
}
