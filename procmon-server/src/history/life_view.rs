//! A whole life as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

use super::host::PastHost;
use super::life::Found;
use super::view::PointBody;
use crate::alerts::TransitionView;
use crate::batch::{Image, Life, lossy};
use crate::clock::{rfc3339_ms, rfc3339_ns};
use crate::events::EventBody;
use crate::processes::ProcessBody;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Running,
    Ended,
    /// It is no longer listed, and its end was not seen.
    Gone,
    /// Its host was not looked at since it was last seen.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// By itself, with an exit code.
    Exited,
    /// By a signal.
    Killed,
    /// By the kernel, which needed the memory.
    OutOfMemory,
    /// How it ended was not seen.
    Unknown,
}

/// One process from its beginning to its end. What is not known is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeLife)]
pub(super) struct WholeLifeBody {
    pub agent_id: String,
    pub process_id: String,
    pub pid: u32,
    /// Who started it.
    pub ppid: Option<u32>,
    pub state: State,
    /// Why it ended; null as long as it is not known to have ended.
    pub cause: Option<Cause>,
    pub start_time: Option<String>,
    /// It ran before the agent looked: its beginning was not seen.
    pub began_unseen: bool,
    pub end_time: Option<String>,
    pub duration_ms: Option<f64>,
    /// When it was last in a sample.
    pub last_seen: Option<String>,
    pub name: Option<String>,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub args: Option<Vec<String>>,
    pub username: Option<String>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub cgroup: Option<String>,
    pub container_id: Option<String>,
    pub systemd_unit: Option<String>,
    pub pid_namespace: Option<u32>,
    pub namespace_pid: Option<u32>,
    /// What it ran, oldest first: each exec replaces it.
    pub images: Vec<ImageBody>,
    /// Its parents when it began, the nearest first, as far as they are known.
    pub ancestors: Vec<AncestorBody>,
    /// The record of its end: exit code or signal, who sent it, and what the life used in all.
    pub exit: Option<EventBody>,
    /// The kernel's out-of-memory killer chose it.
    pub oom: Option<EventBody>,
    /// Its values now, while it runs.
    pub process: Option<ProcessBody>,
    /// The last 60 samples, oldest first.
    pub last_samples: Vec<PointBody>,
    /// Oldest first.
    pub events: Vec<EventBody>,
    /// False: there are more events than are shown, or than could be looked through in a second; GET /events has them.
    pub events_complete: bool,
    /// What became of alerts about it, as long as that is kept, oldest first.
    pub alerts: Vec<TransitionView>,
}

/// What a process ran from some time on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProcessImage)]
pub(super) struct ImageBody {
    /// Null: from before it was watched.
    pub since: Option<String>,
    /// 0 for what it began with, one more at each exec.
    pub seq: Option<u32>,
    pub name: Option<String>,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub args: Option<Vec<String>>,
    pub cmdline_bytes: Option<u64>,
    pub cmdline_truncated: Option<bool>,
    pub username: Option<String>,
    pub uid: Option<u32>,
}

/// A parent, or a parent's parent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ancestor)]
pub(super) struct AncestorBody {
    pub process_id: Option<String>,
    pub pid: Option<u32>,
    pub name: Option<String>,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub username: Option<String>,
    pub start_time: Option<String>,
}

impl WholeLifeBody {
    pub(super) fn new(host: &PastHost, found: Found) -> Self {
        let life = &*found.life;
        let (exe, args) = described(life);
        let state = state(&found);
        let end_ns = found.end.as_ref().map(|(end_ns, _)| *end_ns);
        let credentials = life.credentials.as_ref();
        let duration_ns = end_ns
            .zip(life.started_ns)
            .map(|(end_ns, started_ns)| end_ns.saturating_sub(started_ns).max(0));
        Self {
            agent_id: host.agent_id.to_string(),
            process_id: found.id.to_string(),
            pid: found.id.pid,
            ppid: life.ppid,
            state,
            cause: cause(&found, state),
            start_time: life.started_ns.map(rfc3339_ns),
            began_unseen: life.baseline,
            end_time: end_ns.map(rfc3339_ns),
            duration_ms: duration_ns.map(|ns| ns as f64 / 1e6),
            last_seen: found
                .last_sampled_ms
                .map(|ms| rfc3339_ms(ms.saturating_sub(host.ahead_ms))),
            name: life.name().map(lossy),
            exe,
            cmdline: life.command().map(Image::command_line),
            args,
            username: life.username().map(str::to_owned),
            uid: credentials.and_then(|known| known.uid),
            euid: credentials.and_then(|known| known.euid),
            cgroup: life.cgroup.as_deref().map(str::to_owned),
            container_id: life.container_id.as_deref().map(str::to_owned),
            systemd_unit: life.systemd_unit.as_deref().map(str::to_owned),
            pid_namespace: life.pid_namespace,
            namespace_pid: life.namespace_pid,
            images: found
                .images
                .iter()
                .map(|(since_ns, life)| ImageBody::new(*since_ns, life))
                .collect(),
            ancestors: found
                .ancestors
                .iter()
                .map(|life| AncestorBody::new(life))
                .collect(),
            exit: found.end.map(|(_, body)| body),
            oom: found.oom,
            process: found.process,
            last_samples: found.last_samples,
            events: found.events,
            events_complete: found.events_complete,
            alerts: found.alerts.into_iter().map(TransitionView::from).collect(),
        }
    }
}

fn described(life: &Life) -> (Option<String>, Option<Vec<String>>) {
    let image = life.image.as_ref();
    let exe = image
        .filter(|image| !image.exe.is_empty())
        .map(|image| lossy(&image.exe));
    let args = life
        .arguments()
        .map(|arguments| arguments.map(lossy).collect());
    (exe, args)
}

fn state(found: &Found) -> State {
    if found.end.is_some() {
        State::Ended
    } else if let Some(process) = &found.process {
        if process.stale {
            State::Unknown
        } else {
            State::Running
        }
    } else if found.sampled_without {
        State::Gone
    } else {
        State::Unknown
    }
}

fn cause(found: &Found, state: State) -> Option<Cause> {
    let Some((_, end)) = &found.end else {
        return (state == State::Gone).then_some(Cause::Unknown);
    };
    let exit = end.exit.as_ref();
    let oom_killed = exit.and_then(|exit| exit.oom_killed) == Some(true);
    Some(if oom_killed || found.oom.is_some() {
        Cause::OutOfMemory
    } else if exit.is_some_and(|exit| exit.signal.is_some()) {
        Cause::Killed
    } else if exit.is_some_and(|exit| exit.exit_code.is_some()) {
        Cause::Exited
    } else {
        Cause::Unknown
    })
}

impl ImageBody {
    fn new(since_ns: Option<i64>, life: &Life) -> Self {
        let (exe, args) = described(life);
        let command = life.command();
        Self {
            since: since_ns.map(rfc3339_ns),
            seq: life.image.as_ref().map(|image| image.seq),
            name: life.name().map(lossy),
            exe,
            cmdline: command.map(Image::command_line),
            args,
            cmdline_bytes: command.map(|image| image.args_bytes),
            cmdline_truncated: command.map(|image| image.args_cut),
            username: life.username().map(str::to_owned),
            uid: life.credentials.as_ref().and_then(|known| known.uid),
        }
    }
}

impl AncestorBody {
    fn new(life: &Life) -> Self {
        Self {
            process_id: life.id.map(|id| id.to_string()),
            pid: life.id.map(|id| id.pid),
            name: life.name().map(lossy),
            exe: described(life).0,
            cmdline: life.command().map(Image::command_line),
            username: life.username().map(str::to_owned),
            start_time: life.started_ns.map(rfc3339_ns),
        }
    }
}
