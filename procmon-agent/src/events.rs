//! `procmon-agent events`: what happens on this host as JSON lines, one event each, with the field names of the server's
//! API. It needs no server.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use procmon_common::ids::{BootId, ProcessId};
use procmon_common::wire;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::enrich::procfs;
use crate::redact::Redactor;
use crate::source::Source;
use crate::table::{Changes, Table};

const TICK: Duration = Duration::from_millis(50);
/// Asking the kernel what was lost costs more than a look into the ring.
const COUNTED_EVERY: Duration = Duration::from_secs(1);
/// Printed before more are taken.
const MAX_EVENTS: usize = 1024;

/// Prints until `shutdown`, or until nobody reads any more. What was lost is told on stderr.
pub fn run(
    mut source: Source,
    fork_events: bool,
    redactor: Redactor,
    shutdown: &CancellationToken,
    out: &mut impl Write,
) -> Result<()> {
    let mut table = Table::new(fork_events, source.knows_totals());
    table.set_redactor(redactor);
    table.baseline()?;
    let mut printer = Printer::new(procfs::boot_id()?);
    let (mut lost, mut counted) = (0, Instant::now());
    loop {
        let stopping = shutdown.is_cancelled();
        let goes_on = source.catch_up(
            &mut table,
            |table| table.pending_events() >= MAX_EVENTS,
            |error| tracing::error!("a record of the kernel programs cannot be read: {error}"),
        )?;
        if stopping {
            source.stop_waiting(&mut table);
        }
        for event in printer.events(table.take_changes()) {
            if let Err(error) = writeln!(out, "{event}") {
                return unless_unread(error);
            }
        }
        if let Err(error) = out.flush() {
            return unless_unread(error);
        }
        if stopping {
            tell_losses(&source, lost)?;
            return Ok(());
        }
        if counted.elapsed() >= COUNTED_EVERY {
            counted = Instant::now();
            lost = tell_losses(&source, lost)?;
        }
        if !goes_on {
            source.wait(TICK);
        }
    }
}

/// Says what was lost since `before` were; how many that are now.
fn tell_losses(source: &Source, before: u64) -> Result<u64> {
    let lost = source.counters()?.lost().map(|(.., count)| count).sum();
    if lost > before {
        eprintln!(
            "{} events were lost: they come faster than this output is read",
            lost - before
        );
    }
    Ok(lost)
}

/// A reader that has gone has read enough; a full disk is an error.
fn unless_unread(error: std::io::Error) -> Result<()> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(error).context("cannot write events")
}

/// Knows the processes that events name by their handles.
struct Printer {
    boot_id: BootId,
    processes: HashMap<u32, wire::Process>,
}

impl Printer {
    fn new(boot_id: BootId) -> Self {
        Self {
            boot_id,
            processes: HashMap::new(),
        }
    }

    fn events(&mut self, changes: Changes) -> Vec<Value> {
        for process in changes.processes {
            self.processes.insert(process.handle, process);
        }
        let events: Vec<Value> = changes
            .events
            .into_iter()
            .filter_map(|event| self.event(event))
            .collect();
        for handle in changes.gone {
            self.processes.remove(&handle);
        }
        events
    }

    fn event(&mut self, event: wire::Event) -> Option<Value> {
        let kind = event.kind?;
        if let (wire::event::Kind::Exec(exec), Some(process)) =
            (&kind, self.processes.get_mut(&event.handle))
        {
            process.image.clone_from(&exec.image);
            process.credentials.clone_from(&exec.credentials);
        }
        let mut fields = Map::new();
        fields.insert("type".into(), json!(kind.name()));
        fields.insert("ts".into(), json!(timestamp(event.ts_unix_ns)));
        if let Some(process) = self.processes.get(&event.handle) {
            self.describe(process, &mut fields);
        }
        fields.insert(
            "observed".into(),
            json!(if event.sampled { "sample" } else { "kernel" }),
        );
        match kind {
            wire::event::Kind::Exit(exit) => {
                let started = self
                    .processes
                    .get(&event.handle)
                    .map(|process| process.started_unix_ns);
                if exit.totals_final {
                    self.processes.remove(&event.handle);
                }
                describe_exit(
                    &exit,
                    started.map(|started| event.ts_unix_ns - started),
                    &mut fields,
                );
            }
            wire::event::Kind::IoSlow(slow) => describe_slow_io(&slow, &mut fields),
            wire::event::Kind::Oom(oom) => describe_oom(&oom, &mut fields),
            wire::event::Kind::Exec(_) | wire::event::Kind::Fork(_) => {}
        }
        Some(Value::Object(fields))
    }

    fn describe(&self, process: &wire::Process, fields: &mut Map<String, Value>) {
        let id = ProcessId::booted(process.pid, process.start_ticks, self.boot_id);
        fields.insert("process_id".into(), json!(id.to_string()));
        fields.insert("pid".into(), json!(process.pid));
        fields.insert("ppid".into(), json!(process.ppid));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(image) = &process.image {
            let args: Vec<String> = wire::split_args(&image.args).map(text).collect();
            fields.insert("name".into(), json!(text(&image.name)));
            fields.insert(
                "exe".into(),
                json!((!image.exe.is_empty()).then(|| text(&image.exe))),
            );
            fields.insert("cmdline".into(), json!(args.join(" ")));
            fields.insert("args".into(), json!(args));
            fields.insert("cmdline_bytes".into(), json!(image.args_bytes));
            fields.insert("cmdline_truncated".into(), json!(image.is_cut()));
        }
        if let Some(credentials) = &process.credentials {
            fields.insert("username".into(), json!(credentials.username));
            fields.insert("uid".into(), json!(credentials.uid));
            fields.insert("euid".into(), json!(credentials.euid));
        }
        fields.insert("cgroup".into(), json!(process.cgroup));
        fields.insert("container_id".into(), json!(process.container_id));
        fields.insert("systemd_unit".into(), json!(process.systemd_unit));
    }
}

fn describe_exit(exit: &wire::Exit, duration_ns: Option<i64>, fields: &mut Map<String, Value>) {
    let ms = |ns: Option<u64>| json!(ns.map(|ns| ns as f64 / 1e6));
    fields.insert("exit_code".into(), json!(exit.code));
    fields.insert("signal".into(), json!(exit.signal));
    fields.insert("core_dumped".into(), json!(exit.core_dumped));
    fields.insert(
        "duration_ms".into(),
        json!(duration_ns.map(|ns| ns as f64 / 1e6)),
    );
    fields.insert("cpu_time_ms".into(), ms(exit.cpu_time_ns));
    fields.insert("user_time_ms".into(), ms(exit.user_time_ns));
    fields.insert("system_time_ms".into(), ms(exit.system_time_ns));
    fields.insert("max_rss_bytes".into(), json!(exit.max_rss_bytes));
    fields.insert("read_bytes".into(), json!(exit.read_bytes));
    fields.insert("write_bytes".into(), json!(exit.write_bytes));
    fields.insert("totals_final".into(), json!(exit.totals_final));
}

fn describe_slow_io(slow: &wire::SlowIo, fields: &mut Map<String, Value>) {
    let device = if slow.device.is_empty() {
        format!("{}:{}", slow.device_major, slow.device_minor)
    } else {
        slow.device.clone()
    };
    fields.insert("device".into(), json!(device));
    fields.insert(
        "op".into(),
        json!(slow.operation().as_str_name().to_lowercase()),
    );
    fields.insert("bytes".into(), json!(slow.bytes));
    fields.insert("latency_ms".into(), json!(slow.latency_ns as f64 / 1e6));
    fields.insert("writeback".into(), json!(slow.writeback));
}

fn describe_oom(oom: &wire::Oom, fields: &mut Map<String, Value>) {
    fields.insert("memory_cgroup".into(), json!(oom.memory_cgroup));
    fields.insert("rss_bytes".into(), json!(oom.rss_bytes));
    fields.insert("oom_score_adj".into(), json!(oom.oom_score_adj));
}

fn timestamp(unix_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(unix_ns.into())
        .map_or_else(|_| String::new(), |ts| ts.to_string())
}
