//! The fields of a process, for expressions, orders and tables: one list for all of them.

use std::sync::LazyLock;

use procmon_common::columns::Column;

use crate::batch::Life;
use crate::live::{ABSENT, Common, ProcessView};
use crate::query::{Field, Kind, Row, Text, Value};

type Get = for<'a> fn(&'a ProcessView<'a>) -> Value<'a>;

struct ProcessField {
    name: &'static str,
    kind: Kind,
    get: Get,
    settled_by: Option<Common>,
}

const fn field(name: &'static str, kind: Kind, get: Get) -> ProcessField {
    ProcessField {
        name,
        kind,
        get,
        settled_by: None,
    }
}

impl ProcessField {
    /// What processes have in common settles it.
    const fn of(mut self, common: Common) -> Self {
        self.settled_by = Some(common);
        self
    }
}

macro_rules! metric {
    ($name:literal, $column:ident) => {
        field($name, Kind::Int, |view| {
            Value::int(view.metric(Column::$column))
        })
    };
}

/// In the order of the columns of a table.
const FIELDS: &[ProcessField] = &[
    field("agent_id", Kind::Text, |view| {
        Value::text(Some(view.host.agent_id.as_bytes()))
    }),
    field("process_id", Kind::Text, |view| {
        Value::text(Some(view.id.to_string().into_bytes()))
    }),
    field("pid", Kind::Int, |view| Value::int(Some(view.id.pid))),
    field("ppid", Kind::Int, |view| Value::int(view.ppid())),
    field("name", Kind::Text, |view| {
        Value::text(view.process.life.name())
    })
    .of(Common::Name),
    field("exe", Kind::Text, |view| {
        let image = view.process.life.image();
        Value::text(image.map(|image| &*image.exe).filter(|exe| !exe.is_empty()))
    })
    .of(Common::Image),
    field("cmdline", Kind::Text, |view| {
        let image = view.process.life.command();
        image.map_or(Value::Unknown, |image| {
            Value::Text(Text::joined(&image.args))
        })
    })
    .of(Common::Image),
    field("args", Kind::Texts, |view| arguments(&view.process.life)).of(Common::Image),
    field("username", Kind::Text, |view| {
        Value::text(view.process.life.username().map(str::as_bytes))
    })
    .of(Common::Credentials),
    field("uid", Kind::Int, |view| {
        let known = view.process.life.credentials.as_ref();
        Value::int(known.and_then(|known| known.uid))
    })
    .of(Common::Credentials),
    field("euid", Kind::Int, |view| {
        let known = view.process.life.credentials.as_ref();
        Value::int(known.and_then(|known| known.euid))
    })
    .of(Common::Credentials),
    field("status", Kind::Text, |view| {
        // ASCII, as the view makes sure of.
        Value::text(view.status().map(|letter| vec![letter as u8]))
    }),
    field("cpu_percent", Kind::Double, |view| {
        Value::double(view.cpu_percent())
    }),
    field("short_lived_cpu_percent", Kind::Double, |view| {
        Value::double(view.short_lived_cpu_percent())
    }),
    metric!("cpu_time_ms", CpuTimeMs),
    field("memory_rss", Kind::Int, |view| Value::int(view.rss_bytes())),
    field("memory_percent", Kind::Double, |view| {
        Value::double(view.memory_percent())
    }),
    field("rss_exact", Kind::Bool, |view| {
        Value::bool(view.rss_exact())
    }),
    metric!("num_threads", Threads),
    metric!("open_fds", OpenFds),
    metric!("net_conns", NetConns),
    field("ports", Kind::Ints, |view| {
        view.ports().map_or(Value::Unknown, Value::Ints)
    }),
    metric!("read_bytes", ReadBytes),
    metric!("write_bytes", WriteBytes),
    field("read_bytes_per_s", Kind::Double, |view| {
        Value::double(view.read_bytes_per_s())
    }),
    field("write_bytes_per_s", Kind::Double, |view| {
        Value::double(view.write_bytes_per_s())
    }),
    field("io_per_s", Kind::Double, |view| {
        Value::double(io_per_s(view))
    }),
    metric!("voluntary_switches", VoluntarySwitches),
    metric!("involuntary_switches", InvoluntarySwitches),
    metric!("minor_faults", MinorFaults),
    metric!("major_faults", MajorFaults),
    field("start_time", Kind::Time, |view| {
        Value::time(view.process.life.started_ns)
    }),
    field("cgroup", Kind::Text, |view| {
        Value::text(shared_text(view, Common::Cgroup, |life| {
            life.cgroup.as_deref()
        }))
    })
    .of(Common::Cgroup),
    field("container_id", Kind::Text, |view| {
        Value::text(shared_text(view, Common::Container, |life| {
            life.container_id.as_deref()
        }))
    })
    .of(Common::Container),
    field("systemd_unit", Kind::Text, |view| {
        Value::text(shared_text(view, Common::Unit, |life| {
            life.systemd_unit.as_deref()
        }))
    })
    .of(Common::Unit),
    field("pid_namespace", Kind::Int, |view| {
        Value::int(view.process.life.pid_namespace)
    }),
    field("namespace_pid", Kind::Int, |view| {
        Value::int(view.process.life.namespace_pid)
    }),
    field("observed_at", Kind::Time, |view| {
        Value::time(view.observed_ns())
    }),
    field("stale", Kind::Bool, |view| Value::Bool(view.stale)),
];

impl Row for ProcessView<'_> {
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

    fn settled_by(field: usize) -> Option<usize> {
        let common = FIELDS.get(field)?.settled_by?;
        Some(common as usize)
    }

    fn signed() -> Option<usize> {
        FIELDS.iter().position(|field| field.name == "cmdline")
    }

    fn signature(&self) -> u64 {
        self.process.life.signature()
    }

    fn mark(&self, kind: usize) -> u32 {
        self.process.life.marks().of_kind(kind)
    }
}

/// Many processes have none, and that is known without a look at them.
fn shared_text<'a>(
    view: &ProcessView<'a>,
    common: Common,
    text: impl Fn(&'a Life) -> Option<&'a str>,
) -> Option<&'a [u8]> {
    let life = &view.process.life;
    if life.marks().get(common) == ABSENT {
        return None;
    }
    text(life).map(str::as_bytes)
}

/// Unknown where an upload does not tell where one ends.
pub(crate) fn arguments(life: &Life) -> Value<'_> {
    if life.arguments().is_none() {
        return Value::Unknown;
    }
    let image = life.image.as_ref();
    image.map_or(Value::Unknown, |image| Value::Texts(&image.args))
}

fn io_per_s(view: &ProcessView<'_>) -> Option<f64> {
    sum(view.read_bytes_per_s(), view.write_bytes_per_s())
}

/// Of what is known.
pub(super) fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
    }
}
