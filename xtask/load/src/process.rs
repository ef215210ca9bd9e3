//! One made-up process: who it is, and what the wire says of it.

use procmon_common::wire;

use crate::catalogue::{COMMANDS, Place, Program, SERVICES};
use crate::random::mix;
use crate::values::Values;

/// Ticks of `start_ticks` in a nanosecond's terms.
const NS_PER_TICK: i64 = 10_000_000;
/// Processes that share a container.
const PER_CONTAINER: u32 = 3;

/// Who it is. Everything that does not change follows from these few numbers, so that millions of them fit into memory.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Of the host.
    pub agent: u32,
    /// Unique within the host for ever.
    pub pid: u32,
    /// It was there when the agent began to look, or is one of those that come and go.
    pub baseline: bool,
    /// Since boot.
    pub start_ticks: u64,
}

impl Identity {
    /// Of boot 0, ten days ago or a little more.
    pub fn started_unix_ns(&self, boot_ns: i64) -> i64 {
        boot_ns + self.start_ticks as i64 * NS_PER_TICK
    }

    pub fn ticks(boot_ns: i64, at_ns: i64) -> u64 {
        ((at_ns - boot_ns) / NS_PER_TICK) as u64
    }

    pub fn program(&self) -> &'static Program {
        if self.baseline {
            &SERVICES[(self.pid as usize - 1) % SERVICES.len()]
        } else {
            &COMMANDS[(self.noise() as usize) % COMMANDS.len()]
        }
    }

    /// A number of its own.
    pub(crate) fn noise(&self) -> u64 {
        mix(u64::from(self.agent) << 32 | u64::from(self.pid))
    }

    pub fn ppid(&self) -> u32 {
        match (self.pid, self.program().place) {
            (1 | 2, _) => 0,
            (_, Place::Kernel) => 2,
            // A few generations, as under a supervisor and its workers.
            (pid, _) if self.baseline && pid > 8 => 1 + (self.noise() as u32 % (pid / 8)) * 4,
            _ => 1,
        }
    }

    /// What it runs: before its exec that of whoever forked it.
    pub fn image(&self, executed: bool) -> wire::Image {
        if !executed && !self.baseline {
            return image(0, "/usr/bin/containerd-shim-runc-v2", b"");
        }
        let seq = u32::from(!self.baseline);
        let program = self.program();
        if program.place == Place::Kernel {
            let name = self.expand(program.command);
            return wire::Image {
                seq,
                name: name.into_bytes().into(),
                args_cut: Some(false),
                ..wire::Image::default()
            };
        }
        let mut args = Vec::with_capacity(program.command.len() + 24);
        for word in program.command.split(' ') {
            args.extend_from_slice(self.expand(word).as_bytes());
            args.push(0);
        }
        image(seq, program.path(), &args)
    }

    fn expand(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let noise = self.noise();
        text.replace("{n}", &(noise % 1000).to_string())
            .replace("{h}", &format!("{:012x}", noise >> 16))
    }

    pub fn to_wire(&self, handle: u32, boot_ns: i64, executed: bool) -> wire::Process {
        let program = self.program();
        let container = (program.place == Place::Container).then(|| self.container_id());
        let (cgroup, unit) = match (program.place, &container) {
            (Place::Service(unit), _) => (format!("/system.slice/{unit}"), Some(unit.to_owned())),
            (Place::Container, Some(id)) => (
                format!("/kubepods.slice/kubepods-burstable.slice/cri-containerd-{id}.scope"),
                Some(format!("cri-containerd-{id}.scope")),
            ),
            (Place::Session, _) => (
                "/user.slice/user-1000.slice/session-4.scope".to_owned(),
                None,
            ),
            _ => ("/".to_owned(), None),
        };
        wire::Process {
            handle,
            pid: self.pid,
            start_ticks: self.start_ticks,
            ppid: self.ppid(),
            started_unix_ns: self.started_unix_ns(boot_ns),
            image: Some(self.image(executed)),
            credentials: Some(wire::Credentials {
                uid: program.user.0,
                euid: Some(program.user.0),
                gid: program.user.0,
                username: Some(program.user.1.to_owned()),
            }),
            cgroup: Some(cgroup),
            container_id: container,
            pid_namespace: Some(4_026_531_836),
            namespace_pid: Some(self.pid),
            baseline: self.baseline,
            systemd_unit: unit,
        }
    }

    pub fn exit(&self, lived_ns: i64, values: Option<&Values>) -> wire::Exit {
        let (code, signal) = end_of(self.pid);
        let sampled_ns = values.map_or(0, |values| u64::from(values.cpu_time_ms) * 1_000_000);
        let cpu_ns = sampled_ns + (lived_ns as u64 / 3).min(900_000 + self.noise() % 5_000_000);
        wire::Exit {
            code,
            signal,
            cpu_time_ns: Some(cpu_ns),
            user_time_ns: Some(cpu_ns / 4 * 3),
            system_time_ns: Some(cpu_ns - cpu_ns / 4 * 3),
            max_rss_bytes: Some(u64::from(self.program().rss_mib) << 20),
            read_bytes: Some(0),
            write_bytes: Some(self.noise() % 3 * 4096),
            read_chars: Some(self.noise() % 9000),
            write_chars: Some(self.noise() % 500),
            read_calls: Some(self.noise() % 40),
            write_calls: Some(self.noise() % 5),
            voluntary_switches: Some(self.noise() % 12),
            involuntary_switches: Some(0),
            minor_faults: Some(100 + self.noise() % 400),
            major_faults: Some(0),
            totals_final: true,
            ..wire::Exit::default()
        }
    }

    fn container_id(&self) -> String {
        let of = mix(u64::from(self.agent) << 32 | u64::from(self.pid % 997 / PER_CONTAINER));
        let parts = [of, mix(of), mix(of ^ 1), mix(of ^ 2)];
        parts.map(|part| format!("{part:016x}")).concat()
    }

    pub fn ports(&self) -> Option<u32> {
        let port = self.program().port?;
        Some(u32::from(port) + self.pid % 500)
    }
}

/// How it ends, by exit code or by signal: one in sixteen is killed, and one in four fails.
pub fn end_of(pid: u32) -> (Option<u32>, Option<u32>) {
    match pid % 16 {
        0 => (None, Some(9)),
        1..=4 => (Some(1), None),
        _ => (Some(0), None),
    }
}

fn image(seq: u32, exe: &'static str, args: &[u8]) -> wire::Image {
    let name = exe.rsplit('/').next().unwrap_or_default();
    wire::Image {
        seq,
        name: name.as_bytes()[..name.len().min(15)].to_vec().into(),
        exe: exe.as_bytes().into(),
        args: args.to_vec().into(),
        args_bytes: args.len() as u64,
        args_cut: Some(false),
    }
}
