//! The fields of an event, for expressions.

use std::sync::LazyLock;

use super::filter::duration_ns;
use crate::batch::{Event, EventKind, Exit, Life, Loss, Oom, SlowIo};
use crate::processes::arguments;
use crate::query::{Field, Kind, Row, Text, Value};
use crate::store::StoredEvents;

/// An event with what is known of it beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRow<'a> {
    pub(crate) stored: &'a StoredEvents,
    pub(crate) event: &'a Event,
}

type Get = for<'a> fn(&'a EventRow<'a>) -> Value<'a>;

struct EventField {
    name: &'static str,
    kind: Kind,
    get: Get,
}

const fn field(name: &'static str, kind: Kind, get: Get) -> EventField {
    EventField { name, kind, get }
}

/// A field of one part of an event, unknown where it has no such part.
macro_rules! of {
    ($part:ident, $name:literal, $kind:ident, $get:expr) => {
        field($name, Kind::$kind, |row| {
            row.$part().map_or(Value::Unknown, $get)
        })
    };
}

const FIELDS: &[EventField] = &[
    field("type", Kind::Text, |row| {
        Value::text(Some(row.event.kind.name().as_bytes()))
    }),
    field("ts", Kind::Time, |row| Value::Time(row.event.ts_ns)),
    field("received_at", Kind::Time, |row| {
        Value::Time(row.stored.received_ms.saturating_mul(1_000_000))
    }),
    field("agent_id", Kind::Text, |row| {
        Value::text(Some(row.stored.agent_id.as_bytes()))
    }),
    of!(life, "process_id", Text, |life| Value::text(
        life.id.map(|id| id.to_string().into_bytes())
    )),
    of!(life, "pid", Int, |life| Value::int(
        life.id.map(|id| id.pid)
    )),
    of!(life, "ppid", Int, |life| Value::int(life.ppid)),
    of!(life, "name", Text, |life| Value::text(life.name())),
    of!(life, "exe", Text, |life| {
        let image = life.image.as_ref();
        Value::text(image.map(|image| &*image.exe).filter(|exe| !exe.is_empty()))
    }),
    of!(life, "cmdline", Text, |life| {
        let image = life.command();
        image.map_or(Value::Unknown, |image| {
            Value::Text(Text::joined(&image.args))
        })
    }),
    of!(life, "args", Texts, arguments),
    of!(life, "cmdline_bytes", Int, |life| Value::int(
        life.command().map(|image| image.args_bytes)
    )),
    of!(life, "cmdline_truncated", Bool, |life| Value::bool(
        life.command().map(|image| image.args_cut)
    )),
    of!(life, "username", Text, |life| Value::text(
        life.username().map(str::as_bytes)
    )),
    of!(life, "uid", Int, |life| Value::int(
        life.credentials.as_ref().and_then(|known| known.uid)
    )),
    of!(life, "euid", Int, |life| Value::int(
        life.credentials.as_ref().and_then(|known| known.euid)
    )),
    field("cgroup", Kind::Text, |row| {
        let of_loss = row.loss().and_then(|loss| loss.cgroup.as_deref());
        let of_life = row.life().and_then(|life| life.cgroup.as_deref());
        Value::text(of_loss.or(of_life).map(str::as_bytes))
    }),
    of!(life, "container_id", Text, |life| Value::text(
        life.container_id.as_deref().map(str::as_bytes)
    )),
    of!(life, "systemd_unit", Text, |life| Value::text(
        life.systemd_unit.as_deref().map(str::as_bytes)
    )),
    of!(life, "start_time", Time, |life| Value::time(
        life.started_ns
    )),
    field("observed", Kind::Text, |row| {
        let observed: &[u8] = if row.event.sampled {
            b"sample"
        } else {
            b"kernel"
        };
        Value::text(Some(observed))
    }),
    of!(exit, "exit_code", Int, |exit| Value::int(exit.code)),
    of!(exit, "signal", Int, |exit| Value::int(exit.signal)),
    of!(exit, "killed_by", Object, |exit| {
        let killer = exit.killed_by.as_ref();
        killer.map_or(Value::Unknown, |_| Value::Object)
    }),
    of!(exit, "killed_by.process_id", Text, |exit| Value::text(
        exit.killed_by
            .as_ref()
            .map(|killer| killer.id.to_string().into_bytes())
    )),
    of!(exit, "killed_by.pid", Int, |exit| Value::int(
        exit.killed_by.as_ref().map(|killer| killer.id.pid)
    )),
    of!(exit, "killed_by.name", Text, |exit| Value::text(
        exit.killed_by.as_ref().map(|killer| &*killer.name)
    )),
    of!(exit, "killed_by.uid", Int, |exit| Value::int(
        exit.killed_by.as_ref().map(|killer| killer.uid)
    )),
    of!(exit, "core_dumped", Bool, |exit| {
        let known = exit.code.is_some() || exit.signal.is_some();
        Value::bool(known.then_some(exit.core_dumped))
    }),
    field("duration_ms", Kind::Double, |row| {
        let lived = row.exit().and_then(|_| duration_ns(row.event));
        Value::double(lived.map(|ns| ns as f64 / 1e6))
    }),
    of!(exit, "cpu_time_ms", Double, |exit| ms(exit.cpu_time_ns)),
    of!(exit, "user_time_ms", Double, |exit| ms(exit.user_time_ns)),
    of!(exit, "system_time_ms", Double, |exit| ms(
        exit.system_time_ns
    )),
    of!(exit, "max_rss_bytes", Int, |exit| Value::int(
        exit.max_rss_bytes
    )),
    of!(exit, "read_bytes", Int, |exit| Value::int(exit.read_bytes)),
    of!(exit, "write_bytes", Int, |exit| Value::int(
        exit.write_bytes
    )),
    of!(exit, "voluntary_switches", Int, |exit| Value::int(
        exit.voluntary_switches
    )),
    of!(exit, "involuntary_switches", Int, |exit| Value::int(
        exit.involuntary_switches
    )),
    of!(exit, "minor_faults", Int, |exit| Value::int(
        exit.minor_faults
    )),
    of!(exit, "major_faults", Int, |exit| Value::int(
        exit.major_faults
    )),
    of!(exit, "oom_killed", Bool, |exit| Value::bool(
        exit.oom_killed
    )),
    of!(exit, "totals_final", Bool, |exit| Value::Bool(
        exit.totals_final
    )),
    of!(io, "device", Text, |io| {
        if io.device.is_empty() {
            Value::text(Some(format!("{}:{}", io.major, io.minor).into_bytes()))
        } else {
            Value::text(Some(io.device.as_bytes()))
        }
    }),
    of!(io, "op", Text, |io| Value::text(Some(
        io.operation.name().as_bytes()
    ))),
    of!(io, "bytes", Int, |io| Value::int(Some(io.bytes))),
    of!(io, "latency_ms", Double, |io| ms(Some(io.latency_ns))),
    of!(io, "writeback", Bool, |io| Value::Bool(io.writeback)),
    of!(oom, "memory_cgroup", Text, |oom| Value::text(
        oom.memory_cgroup.as_deref().map(str::as_bytes)
    )),
    of!(oom, "rss_bytes", Int, |oom| Value::int(oom.rss_bytes)),
    of!(oom, "oom_score_adj", Int, |oom| Value::int(
        oom.oom_score_adj
    )),
    of!(loss, "loss_kind", Text, |loss| Value::text(Some(
        loss.kind.as_bytes()
    ))),
    of!(loss, "loss_reason", Text, |loss| Value::text(Some(
        loss.reason.as_bytes()
    ))),
    of!(loss, "loss_count", Int, |loss| Value::int(Some(loss.count))),
    of!(loss, "command", Text, |loss| Value::text(
        loss.command.as_deref()
    )),
];

impl<'a> EventRow<'a> {
    fn life(&self) -> Option<&'a Life> {
        self.event.life.as_deref()
    }

    fn exit(&self) -> Option<&'a Exit> {
        match &self.event.kind {
            EventKind::Exit(exit) => Some(exit),
            _ => None,
        }
    }

    fn io(&self) -> Option<&'a SlowIo> {
        match &self.event.kind {
            EventKind::SlowIo(io) => Some(io),
            _ => None,
        }
    }

    fn oom(&self) -> Option<&'a Oom> {
        match &self.event.kind {
            EventKind::Oom(oom) => Some(oom),
            _ => None,
        }
    }

    fn loss(&self) -> Option<&'a Loss> {
        match &self.event.kind {
            EventKind::Loss(loss) => Some(loss),
            _ => None,
        }
    }
}

fn ms(ns: Option<u64>) -> Value<'static> {
    Value::double(ns.map(|ns| ns as f64 / 1e6))
}

impl Row for EventRow<'_> {
    fn fields() -> &'static [Field] {
        static NAMES: LazyLock<Vec<Field>> = LazyLock::new(|| {
            let fields = FIELDS.iter();
            fields
                .map(|field| Field {
                    name: field.name,
                    kind: field.kind,
                })
                .collect()
        });
        &NAMES
    }

    fn value(&self, field: usize) -> Value<'_> {
        FIELDS
            .get(field)
            .map_or(Value::Unknown, |field| (field.get)(self))
    }
}
