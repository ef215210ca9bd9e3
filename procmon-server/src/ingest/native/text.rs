//! Wire messages to the server's own words, each text cut to what it can sensibly be.

use std::sync::Arc;

use procmon_common::ids::{BootId, ProcessId};
use procmon_common::wire;

use crate::batch::{
    Credentials, Event, EventKind, Exit, Image, Killer, Life, Loss, Oom, Operation, SlowIo, Totals,
};
use crate::live::Health;

/// Longest texts kept. The agent's own limits are lower; these bound what a stranger can make the server remember.
pub(in crate::ingest) const NAME_BYTES: usize = 256;
pub(in crate::ingest) const PATH_BYTES: usize = 8 << 10;
pub(in crate::ingest) const ARGS_BYTES: usize = 128 << 10;
const PORTS: usize = 4096;
/// Entries of a map in the agent's health.
const HEALTH_ENTRIES: usize = 256;
/// What an agent can give up has three names.
const DEGRADED: usize = 16;

pub(in crate::ingest) fn life(process: &wire::Process, boot: BootId) -> Life {
    Life {
        id: Some(ProcessId::booted(process.pid, process.start_ticks, boot)),
        ppid: Some(process.ppid),
        started_ns: (process.started_unix_ns != 0).then_some(process.started_unix_ns),
        image: process.image.as_ref().map(|new| Arc::new(image(new))),
        credentials: process
            .credentials
            .as_ref()
            .map(|new| Arc::new(credentials(new))),
        cgroup: process.cgroup.as_deref().map(|text| cut(text, PATH_BYTES)),
        container_id: process
            .container_id
            .as_deref()
            .map(|text| cut(text, NAME_BYTES)),
        systemd_unit: process
            .systemd_unit
            .as_deref()
            .map(|text| cut(text, NAME_BYTES)),
        pid_namespace: process.pid_namespace,
        namespace_pid: process.namespace_pid,
        baseline: process.baseline,
    }
}

/// The life that an exec leaves behind. Without a known one only the new image is known.
pub(in crate::ingest) fn life_after_exec(before: Option<&Life>, exec: &wire::Exec) -> Arc<Life> {
    let mut life = before.cloned().unwrap_or_default();
    if let Some(new) = &exec.image {
        life.image = Some(Arc::new(image(new)));
    }
    if let Some(new) = &exec.credentials {
        life.credentials = Some(Arc::new(credentials(new)));
    }
    Arc::new(life)
}

fn image(image: &wire::Image) -> Image {
    let args = clip(&image.args, ARGS_BYTES);
    Image {
        seq: image.seq,
        name: clip(&image.name, NAME_BYTES).into(),
        exe: clip(&image.exe, PATH_BYTES).into(),
        args_bytes: match image.args_cut {
            Some(_) => image.args_bytes,
            // An agent that replaces nothing cannot have got more than there is.
            None => image.args_bytes.max(image.args.len() as u64),
        },
        args_cut: image.is_cut() || image.args.len() > ARGS_BYTES,
        args: args.into(),
    }
}

fn credentials(credentials: &wire::Credentials) -> Credentials {
    Credentials {
        uid: Some(credentials.uid),
        euid: credentials.euid,
        gid: Some(credentials.gid),
        username: credentials
            .username
            .as_deref()
            .map(|text| cut(text, NAME_BYTES)),
    }
}

pub(in crate::ingest) fn exit(exit: &wire::Exit, boot: BootId) -> Exit {
    let killer = |killer: &wire::Killer| Killer {
        id: ProcessId::booted(killer.pid, killer.start_ticks, boot),
        name: clip(&killer.name, NAME_BYTES).into(),
        uid: killer.uid,
    };
    Exit {
        // A signal and a code at once cannot be: the signal says more.
        code: exit.code.filter(|_| exit.signal.is_none()),
        signal: exit.signal,
        core_dumped: exit.core_dumped,
        totals_final: exit.totals_final,
        cpu_time_ns: exit.cpu_time_ns,
        user_time_ns: exit.user_time_ns,
        system_time_ns: exit.system_time_ns,
        max_rss_bytes: exit.max_rss_bytes,
        read_bytes: exit.read_bytes,
        write_bytes: exit.write_bytes,
        read_chars: exit.read_chars,
        write_chars: exit.write_chars,
        read_calls: exit.read_calls,
        write_calls: exit.write_calls,
        voluntary_switches: exit.voluntary_switches,
        involuntary_switches: exit.involuntary_switches,
        minor_faults: exit.minor_faults,
        major_faults: exit.major_faults,
        killed_by: exit.killed_by.as_ref().map(killer).map(Box::new),
        oom_killed: exit.oom_killed,
    }
}

pub(in crate::ingest) fn oom(oom: &wire::Oom) -> Oom {
    Oom {
        memory_cgroup: oom
            .memory_cgroup
            .as_deref()
            .map(|text| cut(text, PATH_BYTES)),
        rss_bytes: oom.rss_bytes,
        oom_score_adj: oom.oom_score_adj,
    }
}

pub(in crate::ingest) fn slow_io(io: &wire::SlowIo) -> SlowIo {
    SlowIo {
        major: io.device_major,
        minor: io.device_minor,
        device: cut(&io.device, NAME_BYTES),
        operation: Operation::from_number(u64::try_from(io.operation).unwrap_or(0)),
        bytes: io.bytes,
        latency_ns: io.latency_ns,
        writeback: io.writeback,
    }
}

/// A loss is an event too: it has its place among what was seen.
pub(in crate::ingest) fn loss(loss: &wire::Loss) -> Event {
    Event {
        ts_ns: loss.until_unix_ns,
        life: None,
        sampled: false,
        kind: EventKind::Loss(Box::new(Loss {
            kind: cut(&loss.kind, NAME_BYTES),
            reason: cut(&loss.reason, NAME_BYTES),
            count: loss.count,
            from_ns: loss.from_unix_ns,
            command: (!loss.command.is_empty()).then(|| clip(&loss.command, NAME_BYTES).into()),
            cgroup: loss.cgroup.as_deref().map(|text| cut(text, PATH_BYTES)),
        })),
    }
}

pub(in crate::ingest) fn ports(ports: &[u32]) -> Vec<u16> {
    let valid = ports.iter().filter_map(|port| u16::try_from(*port).ok());
    valid.take(PORTS).collect()
}

pub(in crate::ingest) fn totals(totals: &wire::HostTotals) -> Totals {
    Totals {
        cpus: totals.cpus,
        memory_total_bytes: totals.memory_total_bytes,
        memory_available_bytes: totals.memory_available_bytes,
        swap_total_bytes: totals.swap_total_bytes,
        swap_used_bytes: totals.swap_used_bytes,
        load_centi: [totals.load1_centi, totals.load5_centi, totals.load15_centi],
        cpu_centipercent: totals.cpu_centipercent,
        boot_ns: totals.boot_unix_ns,
    }
}

pub(in crate::ingest) fn health(health: &wire::AgentHealth) -> Health {
    let known = |text: &str| (!text.is_empty()).then(|| cut(text, NAME_BYTES));
    let numbers = |map: &std::collections::HashMap<String, u64>| {
        let entries = map.iter().take(HEALTH_ENTRIES);
        entries
            .map(|(key, value)| (cut(key, NAME_BYTES), *value))
            .collect()
    };
    let labels = health.labels.iter().take(HEALTH_ENTRIES);
    Health {
        version: known(&health.version),
        hostname: known(&health.hostname),
        kernel: known(&health.kernel),
        probe: known(&health.probe),
        probe_reason: (!health.probe_reason.is_empty())
            .then(|| cut(&health.probe_reason, PATH_BYTES)),
        drops: numbers(&health.drops),
        events: numbers(&health.events),
        labels: labels
            .map(|(key, value)| (cut(key, NAME_BYTES), cut(value, NAME_BYTES)))
            .collect(),
        spool_bytes: Some(health.spool_bytes),
        spool_max_bytes: Some(health.spool_max_bytes),
        rss_bytes: (health.rss_bytes != 0).then_some(health.rss_bytes),
        cpu_time_ns: (health.cpu_time_ns != 0).then_some(health.cpu_time_ns),
        sample_ns: (health.sample_ns != 0).then_some(health.sample_ns),
        covered_since_ns: (health.covered_since_unix_ns != 0)
            .then_some(health.covered_since_unix_ns),
        redactions: Some(health.redactions),
        degraded: health
            .degraded
            .iter()
            .take(DEGRADED)
            .map(|text| cut(text, NAME_BYTES))
            .collect(),
        mem_limit_bytes: (health.mem_limit_bytes != 0).then_some(health.mem_limit_bytes),
        // Without a ring there is no fill of it.
        ring_used_bytes: (health.ring_bytes != 0).then_some(health.ring_used_bytes),
        ring_bytes: (health.ring_bytes != 0).then_some(health.ring_bytes),
        effective_interval_ms: (health.effective_interval_ms != 0)
            .then_some(health.effective_interval_ms),
        continued: health.continued,
    }
}

pub(in crate::ingest) fn clip(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[..bytes.len().min(limit)]
}

pub(in crate::ingest) fn cut<T: for<'a> From<&'a str>>(text: &str, limit: usize) -> T {
    text[..text.floor_char_boundary(limit)].into()
}
