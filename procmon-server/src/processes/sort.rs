//! The order of a list, and where its next page begins.

use std::cmp::Ordering;
use std::sync::Arc;

use procmon_common::ids::ProcessId;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::keyset::{self, Key, KeyRef};
use crate::live::{Common, ProcessView};
use crate::query::{Kind, Row};

const DEFAULT: &str = "-cpu_percent";
/// Fields in one order: the first few decide nearly always.
const MAX_KEYS: usize = 4;

/// An order of processes.
#[derive(Clone, Debug)]
pub struct Sort {
    keys: Vec<SortKey>,
}

#[derive(Clone, Copy, Debug)]
struct SortKey {
    field: usize,
    descending: bool,
}

/// A row's place in the order: the identity settles ties, so that pages never overlap.
#[derive(Clone, Debug)]
pub struct Place {
    first: Key,
    /// Of the second field on.
    others: Vec<Key>,
    pub(super) agent_id: Arc<str>,
    pub(super) id: ProcessId,
    /// Where it stood; not known from a cursor.
    pub(super) row: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    sort: String,
    keys: Vec<Key>,
    agent_id: String,
    process_id: String,
}

impl Sort {
    /// Fields separated by commas, each with a minus for descending.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let keys: Vec<_> = text
            .unwrap_or(DEFAULT)
            .split(',')
            .map(|part| SortKey::parse(part.trim()))
            .collect::<Result<_, _>>()?;
        if keys.len() > MAX_KEYS {
            return Err(Problem::bad_request(format!(
                "sort has {} fields; at most {MAX_KEYS} are taken",
                keys.len()
            )));
        }
        Ok(Self { keys })
    }

    pub(super) fn place(&self, view: &ProcessView<'_>) -> Place {
        let mut keys = self
            .keys
            .iter()
            .map(|key| KeyRef::of(&view.value(key.field)).to_key());
        Place {
            first: keys.next().unwrap_or(Key::Unknown),
            others: keys.collect(),
            agent_id: Arc::clone(&view.host.agent_id),
            id: view.id,
            row: Some(view.row),
        }
    }

    /// Where a row stands to a place, and whether the first field says so already; nothing is copied for it.
    pub(super) fn compare_view(&self, view: &ProcessView<'_>, place: &Place) -> (Ordering, bool) {
        for (index, (key, other)) in self.keys.iter().zip(place.keys()).enumerate() {
            let value = view.value(key.field);
            let ordering = KeyRef::of(&value).compare(other.as_ref(), key.descending);
            if ordering.is_ne() {
                return (ordering, index == 0);
            }
        }
        let agent = view.host.agent_id.cmp(&place.agent_id);
        (agent.then_with(|| view.id.cmp(&place.id)), false)
    }

    /// The kind of marks that settles the first field.
    pub(super) fn settled_by(&self) -> Option<usize> {
        ProcessView::settled_by(self.keys.first()?.field)
    }

    /// What is looked at in every row.
    pub(super) fn needed(&self) -> Vec<Common> {
        let kinds: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| ProcessView::settled_by(key.field))
            .collect();
        Common::of_kinds(&kinds)
    }

    pub(super) fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let keys = self.keys.iter().zip(a.keys().zip(b.keys()));
        let by_keys = keys
            .map(|(key, (a, b))| a.as_ref().compare(b.as_ref(), key.descending))
            .find(|ordering| ordering.is_ne());
        by_keys
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.agent_id.cmp(&b.agent_id))
            .then_with(|| a.id.cmp(&b.id))
    }

    pub fn to_cursor(&self, place: &Place) -> String {
        keyset::to_cursor(&Cursor {
            sort: self.name(),
            keys: place.keys().cloned().collect(),
            agent_id: place.agent_id.to_string(),
            process_id: place.id.to_string(),
        })
    }

    pub fn read_cursor(&self, text: &str) -> Result<Place, Problem> {
        let wrong = || {
            Problem::bad_request(
                "this cursor is not of this list; take next_cursor of a page with the same sort",
            )
        };
        let cursor: Cursor = keyset::from_cursor(text).ok_or_else(wrong)?;
        if cursor.sort != self.name() || cursor.keys.len() != self.keys.len() {
            return Err(wrong());
        }
        let mut keys = cursor.keys.into_iter();
        Ok(Place {
            first: keys.next().ok_or_else(wrong)?,
            others: keys.collect(),
            agent_id: cursor.agent_id.into(),
            id: cursor.process_id.parse().map_err(|_| wrong())?,
            row: None,
        })
    }

    fn name(&self) -> String {
        let fields = ProcessView::fields();
        let names = self.keys.iter().map(|key| {
            let sign = if key.descending { "-" } else { "" };
            format!("{sign}{}", fields[key.field].name)
        });
        names.collect::<Vec<_>>().join(",")
    }
}

impl SortKey {
    fn parse(text: &str) -> Result<Self, Problem> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let fields = ProcessView::fields();
        let sortable = |kind| !matches!(kind, Kind::Texts | Kind::Object);
        let found = fields
            .iter()
            .position(|field| field.name == name && sortable(field.kind));
        let Some(field) = found else {
            let known: Vec<_> = fields
                .iter()
                .filter(|field| sortable(field.kind))
                .map(|field| field.name)
                .collect();
            return Err(Problem::bad_request(format!(
                "sort={name} is not known; sort by {}, with - in front for descending, several separated by commas",
                known.join(", ")
            )));
        };
        Ok(Self { field, descending })
    }
}

impl Place {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(keys: Vec<Key>, pid: u32) -> Place {
        let mut keys = keys.into_iter();
        Place {
            first: keys.next().expect("one"),
            others: keys.collect(),
            agent_id: "a".into(),
            id: ProcessId::upload(pid, 0),
            row: None,
        }
    }

    fn key() -> impl Strategy<Value = Key> {
        prop_oneof![
            Just(Key::Unknown),
            (-1e12..1e12_f64).prop_map(Key::Number),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(Key::Text),
        ]
    }

    #[test]
    fn unknown_is_last_in_both_directions() {
        for text in ["cpu_percent", "-cpu_percent"] {
            let sort = Sort::parse(Some(text)).expect("a field");
            let known = place(vec![Key::Number(0.0)], 1);
            let unknown = place(vec![Key::Unknown], 0);
            assert_eq!(sort.compare(&known, &unknown), Ordering::Less);
        }
    }

    #[test]
    fn the_second_field_settles_what_the_first_leaves_open() {
        let sort = Sort::parse(Some("name,-pid")).expect("fields");
        let at = |name: &[u8], pid: f64| {
            place(vec![Key::Text(name.to_vec()), Key::Number(pid)], pid as u32)
        };
        assert_eq!(sort.compare(&at(b"a", 1.0), &at(b"b", 2.0)), Ordering::Less);
        assert_eq!(sort.compare(&at(b"a", 2.0), &at(b"a", 1.0)), Ordering::Less);
        assert!(Sort::parse(Some("name,args")).is_err());
        assert!(Sort::parse(Some("pid,pid,pid,pid,pid")).is_err());
    }

    proptest! {
        #[test]
        fn cursors_round_trip(first in key(), second in key(), pid: u32) {
            let sort = Sort::parse(Some("-name,pid")).expect("fields");
            let before = place(vec![first, second], pid);
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
