//! A process as [`super::ProcessBody`] describes it, written as JSON straight from its row: a tree of thousands is asked for every few
//! seconds.

use procmon_common::columns::Column;
use serde::Serialize;
use serde::ser::SerializeSeq;

use crate::clock::rfc3339_ns;
use crate::live::ProcessView;
use crate::query::Text;

/// Writes processes. All of a sample are of the same instant, which is put into words once.
#[derive(Debug, Default)]
pub(super) struct ProcessWriter {
    observed: Option<(i64, String)>,
}

/// Bytes as people and JSON read them.
struct Lossy<'a>(&'a [u8]);

impl Serialize for Lossy<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

/// Items that are there once.
struct Each<I>(std::cell::Cell<Option<I>>);

impl<'a, I: Iterator<Item = &'a [u8]>> Serialize for Each<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in self.0.take().into_iter().flatten() {
            list.serialize_element(&Lossy(item))?;
        }
        list.end()
    }
}

/// `"name":value`, and a comma in front of it.
macro_rules! field {
    ($out:expr, $name:literal, $value:expr) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
        write_value($out, $value);
    };
}

/// A vector takes all that is written to it, and these values can be written.
pub(super) fn write_value(out: &mut Vec<u8>, value: impl Serialize) {
    let _ = serde_json::to_writer(out, &value);
}

impl ProcessWriter {
    pub(super) fn write(&mut self, view: &ProcessView<'_>, out: &mut Vec<u8>) {
        self.write_open(view, out);
        out.push(b'}');
    }

    /// All but the brace at the end.
    pub(super) fn write_open(&mut self, view: &ProcessView<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"agent_id\":");
        write_value(out, &*view.host.agent_id);
        write_identity(view, out);
        write_metrics(view, out);
        let life = &view.process.life;
        field!(out, "start_time", life.started_ns.map(rfc3339_ns));
        field!(out, "cgroup", life.cgroup.as_deref());
        field!(out, "container_id", life.container_id.as_deref());
        field!(out, "systemd_unit", life.systemd_unit.as_deref());
        field!(out, "pid_namespace", life.pid_namespace);
        field!(out, "namespace_pid", life.namespace_pid);
        field!(out, "observed_at", self.observed_at(view));
        field!(out, "stale", view.stale);
    }

    fn observed_at(&mut self, view: &ProcessView<'_>) -> Option<&str> {
        let observed_ns = view.observed_ns()?;
        if !matches!(self.observed, Some((known_ns, _)) if known_ns == observed_ns) {
            self.observed = Some((observed_ns, rfc3339_ns(observed_ns)));
        }
        self.observed.as_ref().map(|(_, text)| text.as_str())
    }
}

fn write_identity(view: &ProcessView<'_>, out: &mut Vec<u8>) {
    let life = &view.process.life;
    field!(out, "process_id", format_args!("{}", view.id));
    field!(out, "pid", view.id.pid);
    field!(out, "ppid", view.ppid());
    field!(out, "name", life.name().map(Lossy));
    let exe = life.image().map(|image| &*image.exe);
    field!(out, "exe", exe.filter(|exe| !exe.is_empty()).map(Lossy));
    let command = life.command().map(|image| Text::joined(&image.args));
    field!(out, "cmdline", command.as_ref().map(Text::shown));
    let arguments = life.arguments().map(|each| Each(Some(each).into()));
    field!(out, "args", arguments);
    field!(out, "username", life.username());
    let credentials = life.credentials.as_ref();
    field!(out, "uid", credentials.and_then(|known| known.uid));
    field!(out, "euid", credentials.and_then(|known| known.euid));
    field!(out, "status", view.status());
}

fn write_metrics(view: &ProcessView<'_>, out: &mut Vec<u8>) {
    field!(out, "cpu_percent", view.cpu_percent());
    let short_lived = view.short_lived_cpu_percent();
    field!(out, "short_lived_cpu_percent", short_lived);
    field!(out, "cpu_time_ms", view.metric(Column::CpuTimeMs));
    field!(out, "memory_rss", view.rss_bytes());
    field!(out, "memory_percent", view.memory_percent());
    field!(out, "rss_exact", view.rss_exact());
    field!(out, "num_threads", view.metric(Column::Threads));
    field!(out, "open_fds", view.metric(Column::OpenFds));
    field!(out, "net_conns", view.metric(Column::NetConns));
    field!(out, "ports", view.ports());
    field!(out, "read_bytes", view.metric(Column::ReadBytes));
    field!(out, "write_bytes", view.metric(Column::WriteBytes));
    field!(out, "read_bytes_per_s", view.read_bytes_per_s());
    field!(out, "write_bytes_per_s", view.write_bytes_per_s());
    let switches = view.metric(Column::VoluntarySwitches);
    field!(out, "voluntary_switches", switches);
    let switches = view.metric(Column::InvoluntarySwitches);
    field!(out, "involuntary_switches", switches);
    field!(out, "minor_faults", view.metric(Column::MinorFaults));
    field!(out, "major_faults", view.metric(Column::MajorFaults));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use procmon_common::ids::ProcessId;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{Batch, ColumnChanges, Credentials, Frame, Image, Life, Totals};
    use crate::clock::Clock;
    use crate::ingest::limits::IngestLimits;
    use crate::live::Live;
    use crate::live::apply::Place;
    use crate::processes::ProcessBody;

    fn life() -> impl Strategy<Value = Life> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
        let text = || proptest::option::of("\\PC{0,8}");
        let image = (
            bytes(),
            bytes(),
            proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..16),
        );
        let known = (
            proptest::option::of(image),
            proptest::option::of((any::<Option<u32>>(), text())),
        );
        let more = (
            text(),
            text(),
            any::<Option<u32>>(),
            any::<Option<i32>>(),
            any::<bool>(),
        );
        (any::<u32>(), known, more).prop_map(|(pid, (image, credentials), more)| {
            let (cgroup, container_id, ppid, started, upload) = more;
            let id = if upload {
                ProcessId::upload(pid, 7)
            } else {
                ProcessId::booted(pid, 9, procmon_common::ids::BootId::default())
            };
            Life {
                id: Some(id),
                ppid,
                started_ns: started.map(|started| i64::from(started) * 1_000_003),
                image: image.map(|(name, exe, args)| {
                    Arc::new(Image {
                        name: name.into(),
                        exe: exe.into(),
                        args: args.into(),
                        ..Image::default()
                    })
                }),
                credentials: credentials.map(|(uid, username)| {
                    Arc::new(Credentials {
                        uid,
                        username: username.map(Into::into),
                        ..Credentials::default()
                    })
                }),
                cgroup: cgroup.map(Into::into),
                container_id: container_id.map(Into::into),
                ..Life::default()
            }
        })
    }

    proptest! {
        #[test]
        fn it_is_what_the_body_is(
            lives in proptest::collection::vec(life(), 1..4),
            values in proptest::collection::vec((0..procmon_common::columns::COLUMN_COUNT, 0..3_u32, 1..1_i64 << 50), 0..20),
            port: Option<u16>,
            totals: bool,
        ) {
            let live = Live::new(Clock::manual(1), IngestLimits::default());
            let entry = live.entry("a \"host\"").expect("a place");
            let mut host = entry.write();
            let columns = values.into_iter().map(|(column, handle, value)| ColumnChanges {
                column: procmon_common::columns::COLUMNS[column],
                changes: vec![(handle, value)],
            });
            let batch = Batch {
                key: true,
                lives: (0..).zip(lives.into_iter().map(Arc::new)).collect(),
                frame: Some(Frame {
                    ts_ns: 1_769_860_800_123_456_789,
                    columns: columns.collect(),
                    ports: port.map(|port| (0, vec![port, 1])).into_iter().collect(),
                    ..Frame::default()
                }),
                totals: totals.then(|| Totals { memory_total_bytes: 1 << 35, ..Totals::default() }),
                ..Batch::default()
            };
            host.apply(&batch, Place { epoch: 1, seq: 1, received_ms: 1 }, Vec::new());
            let mut writer = ProcessWriter::default();
            for view in host.views(1) {
                let mut written = Vec::new();
                writer.write(&view, &mut written);
                let body = serde_json::to_string(&ProcessBody::new(&view)).expect("JSON");
                prop_assert_eq!(String::from_utf8(written).expect("UTF-8"), body);
            }
        }
    }
}
