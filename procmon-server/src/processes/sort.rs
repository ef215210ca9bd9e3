//! The order of a list, and where its next page begins.

use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;
use serde::{Deserialize, Serialize};

use super::filter::io_per_s;
use crate::batch::lossy;
use crate::error::Problem;
use crate::live::ProcessView;

/// A field to sort by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    field: &'static str,
    descending: bool,
    key: fn(&ProcessView<'_>) -> Key,
}

/// What rows are compared by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Key {
    Unknown,
    /// Written as its bits: a decimal that is not quite the same would skip or repeat rows.
    #[serde(with = "bits")]
    Number(f64),
    Text(String),
}

/// A row's place in the order: the identity settles ties, so that pages never overlap.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) agent_id: Arc<str>,
    pub(super) id: ProcessId,
}

type Extract = fn(&ProcessView<'_>) -> Key;

const FIELDS: &[(&str, Extract)] = &[
    ("cpu_percent", |view| number(view.cpu_percent())),
    ("memory_rss", |view| count(view.rss_bytes())),
    ("memory_percent", |view| number(view.memory_percent())),
    ("pid", |view| count(Some(u64::from(view.id.pid)))),
    ("ppid", |view| count(view.ppid().map(u64::from))),
    ("name", |view| text(view.process.life.name())),
    ("exe", |view| {
        let image = view.process.life.image.as_ref();
        text(image.map(|image| &*image.exe).filter(|exe| !exe.is_empty()))
    }),
    ("cmdline", |view| {
        text(view.process.life.image.as_ref().map(|image| &*image.args))
    }),
    ("username", |view| {
        text(view.process.life.username().map(str::as_bytes))
    }),
    ("uid", |view| {
        let known = view.process.life.credentials.as_ref();
        count(known.and_then(|known| known.uid).map(u64::from))
    }),
    ("status", |view| {
        view.status()
            .map_or(Key::Unknown, |letter| Key::Text(letter.into()))
    }),
    ("agent_id", |view| text(Some(view.host.agent_id.as_bytes()))),
    ("process_id", |view| Key::Text(view.id.to_string())),
    ("num_threads", |view| count(view.metric(Column::Threads))),
    ("open_fds", |view| count(view.metric(Column::OpenFds))),
    ("net_conns", |view| count(view.metric(Column::NetConns))),
    ("ports", |view| {
        count(
            view.ports()
                .and_then(|ports| ports.iter().min())
                .map(|port| u64::from(*port)),
        )
    }),
    ("read_bytes", |view| count(view.metric(Column::ReadBytes))),
    ("write_bytes", |view| count(view.metric(Column::WriteBytes))),
    ("read_bytes_per_s", |view| number(view.read_bytes_per_s())),
    ("write_bytes_per_s", |view| number(view.write_bytes_per_s())),
    ("io_per_s", |view| number(io_per_s(view))),
    ("cpu_time_ms", |view| count(view.metric(Column::CpuTimeMs))),
    ("short_lived_cpu_percent", |view| {
        number(view.short_lived_cpu_percent())
    }),
    ("voluntary_switches", |view| {
        count(view.metric(Column::VoluntarySwitches))
    }),
    ("involuntary_switches", |view| {
        count(view.metric(Column::InvoluntarySwitches))
    }),
    ("minor_faults", |view| {
        count(view.metric(Column::MinorFaults))
    }),
    ("major_faults", |view| {
        count(view.metric(Column::MajorFaults))
    }),
    ("start_time", |view| {
        number(view.process.life.started_ns.map(|ns| ns as f64))
    }),
    ("cgroup", |view| {
        text(view.process.life.cgroup.as_deref().map(str::as_bytes))
    }),
    ("container_id", |view| {
        text(view.process.life.container_id.as_deref().map(str::as_bytes))
    }),
    ("systemd_unit", |view| {
        text(view.process.life.systemd_unit.as_deref().map(str::as_bytes))
    }),
];

fn number(value: Option<f64>) -> Key {
    value.map_or(Key::Unknown, Key::Number)
}

fn count(value: Option<u64>) -> Key {
    number(value.map(|value| value as f64))
}

fn text(value: Option<&[u8]>) -> Key {
    value.map_or(Key::Unknown, |value| Key::Text(lossy(value)))
}

impl Sort {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let text = text.unwrap_or("-cpu_percent");
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let found = FIELDS.iter().find(|(field, _)| *field == name);
        let Some((field, key)) = found else {
            let known: Vec<_> = FIELDS.iter().map(|(field, _)| *field).collect();
            return Err(Problem::bad_request(format!(
                "cannot sort by {name}; sort by one of {}, with - in front for descending",
                known.join(", ")
            )));
        };
        Ok(Self {
            field,
            descending,
            key: *key,
        })
    }

    pub(super) fn place(&self, view: &ProcessView<'_>) -> Place {
        Place {
            key: (self.key)(view),
            agent_id: Arc::clone(&view.host.agent_id),
            id: view.id,
        }
    }

    pub(super) fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let by_key = match (&a.key, &b.key) {
            (Key::Unknown, Key::Unknown) => Ordering::Equal,
            // Unknown is last in either direction.
            (Key::Unknown, _) => return Ordering::Greater,
            (_, Key::Unknown) => return Ordering::Less,
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        };
        let by_key = if self.descending {
            by_key.reverse()
        } else {
            by_key
        };
        by_key
            .then_with(|| a.agent_id.cmp(&b.agent_id))
            .then_with(|| a.id.cmp(&b.id))
    }

    pub(super) fn to_cursor(self, place: &Place) -> String {
        let cursor = Cursor {
            sort: self.name(),
            key: place.key.clone(),
            agent_id: place.agent_id.to_string(),
            process_id: place.id.to_string(),
        };
        let json = serde_json::to_vec(&cursor).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    pub(super) fn read_cursor(self, text: &str) -> Result<Place, Problem> {
        let wrong = || {
            Problem::bad_request(
                "this cursor is not of this list; take next_cursor of a page with the same sort",
            )
        };
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let cursor: Cursor = serde_json::from_slice(&json).map_err(|_| wrong())?;
        if cursor.sort != self.name() {
            return Err(wrong());
        }
        Ok(Place {
            key: cursor.key,
            agent_id: cursor.agent_id.into(),
            id: cursor.process_id.parse().map_err(|_| wrong())?,
        })
    }

    fn name(self) -> String {
        let sign = if self.descending { "-" } else { "" };
        format!("{sign}{}", self.field)
    }
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    sort: String,
    key: Key,
    agent_id: String,
    process_id: String,
}

mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(key: Key, pid: u32) -> Place {
        Place {
            key,
            agent_id: "a".into(),
            id: ProcessId::upload(pid, 0),
        }
    }

    #[test]
    fn unknown_is_last_in_both_directions() {
        for text in ["cpu_percent", "-cpu_percent"] {
            let sort = Sort::parse(Some(text)).expect("a field");
            let known = place(Key::Number(0.0), 1);
            let unknown = place(Key::Unknown, 0);
            assert_eq!(sort.compare(&known, &unknown), Ordering::Less);
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(value in proptest::option::of(-1e12..1e12_f64), pid: u32) {
            let sort = Sort::parse(None).expect("the default");
            let key = value.map_or(Key::Unknown, Key::Number);
            let before = place(key, pid);
            let after = sort.read_cursor(&sort.to_cursor(&before)).expect("its own cursor");
            prop_assert_eq!(sort.compare(&before, &after), Ordering::Equal);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = Sort::parse(None).expect("the default").read_cursor(&text);
            let _ = Sort::parse(Some(&text));
        }
    }
}
