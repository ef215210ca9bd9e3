//! Processes added up by what they have in common.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::figures::{Figures, METRICS, Tally};
use super::rows::Rows;
use crate::error::Problem;
use crate::keyset::{self, Key, KeyRef};
use crate::live::ProcessView;
use crate::query::{Condition, Row, Value};

/// Groups of one answer, before it is cut into pages: a bound on its memory.
const MAX_GROUPS: usize = 100_000;
const DEFAULT_SORT: &str = "-sum.cpu_percent";

/// What processes can be grouped by: the parameter's word, and the field.
const BY: [(&str, &str); 5] = [
    ("agent_id", "agent_id"),
    ("name", "name"),
    ("user", "username"),
    ("container", "container_id"),
    ("cgroup", "cgroup"),
];

/// Processes that have something in common. Fields that were not grouped by are missing; null stands for what is not known.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = ProcessGroup)]
#[expect(
    clippy::option_option,
    reason = "a field may be missing, null, or known"
)]
pub(super) struct GroupBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub agent_id: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub username: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub container_id: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cgroup: Option<Option<String>>,
    /// Processes.
    pub count: u64,
    /// Of the processes that the value is known of; null when it is known of none.
    pub sum: Figures,
    pub max: Figures,
}

/// What to group by, in the order of the parameter.
#[derive(Clone, Debug)]
pub(super) struct GroupBy(Vec<usize>);

/// A group: the values that its processes share, as far as they are known, and what they add up to.
#[derive(Debug)]
pub(super) struct Group {
    shared: Vec<Option<Vec<u8>>>,
    pub(super) tally: Tally,
}

/// The groups of a part of the hosts by their key, and room to write a key.
type Parts = (HashMap<Vec<u8>, Group>, Vec<u8>);

#[derive(Clone, Debug)]
pub(super) struct GroupSort {
    name: String,
    by: SortBy,
    descending: bool,
}

#[derive(Clone, Copy, Debug)]
enum SortBy {
    Count,
    Sum(usize),
    Max(usize),
    /// One of what is grouped by.
    Shared(usize),
}

#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    sort: String,
    key: Key,
    shared: Vec<Option<Vec<u8>>>,
}

/// Where a page of groups begins.
#[derive(Debug)]
pub(super) struct GroupPlace(Cursor);

impl GroupBy {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut fields = Vec::new();
        for word in text.split(',').map(str::trim) {
            let by = BY
                .iter()
                .find(|(parameter, field)| word == *parameter || word == *field);
            let position = by.and_then(|(_, name)| {
                let known = ProcessView::fields();
                known.iter().position(|field| field.name == *name)
            });
            let Some(position) = position else {
                let known: Vec<_> = BY.iter().map(|(parameter, _)| *parameter).collect();
                return Err(Problem::bad_request(format!(
                    "cannot group by {word}; group by {}, several separated by commas",
                    known.join(", ")
                )));
            };
            if !fields.contains(&position) {
                fields.push(position);
            }
        }
        Ok(Self(fields))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let fields = ProcessView::fields();
        self.0.iter().map(|field| fields[*field].name)
    }

    /// The groups of the rows that fulfil a condition, in no order.
    pub(super) fn collect(
        &self,
        rows: &Rows,
        condition: &Condition,
    ) -> Result<Vec<Group>, Problem> {
        let parts = rows.fold(condition, Parts::default, |(groups, key), view| {
            key.clear();
            for field in &self.0 {
                write_key(&view.value(*field), key);
            }
            if let Some(group) = groups.get_mut(key) {
                group.tally.add(view);
                return Ok(());
            }
            if groups.len() == MAX_GROUPS {
                return Err(too_many());
            }
            let shared = self.0.iter().map(|field| bytes(&view.value(*field)));
            let mut group = Group {
                shared: shared.collect(),
                tally: Tally::default(),
            };
            group.tally.add(view);
            groups.insert(key.clone(), group);
            Ok(())
        })?;
        let mut parts = parts.into_iter().map(|(groups, _)| groups);
        let mut all = parts.next().unwrap_or_default();
        for (key, group) in parts.flatten() {
            match all.entry(key) {
                Entry::Occupied(mut known) => known.get_mut().tally.merge(&group.tally),
                Entry::Vacant(place) => {
                    place.insert(group);
                }
            }
        }
        if all.len() > MAX_GROUPS {
            return Err(too_many());
        }
        Ok(all.into_values().collect())
    }

    pub(super) fn show(&self, group: &Group) -> GroupBody {
        let mut body = GroupBody {
            count: group.tally.count,
            sum: group.tally.sums(),
            max: group.tally.maxima(),
            ..GroupBody::default()
        };
        for (name, shared) in self.names().zip(group.shared()) {
            let shared = shared.map(String::from);
            match name {
                "agent_id" => body.agent_id = Some(shared),
                "name" => body.name = Some(shared),
                "username" => body.username = Some(shared),
                "container_id" => body.container_id = Some(shared),
                _ => body.cgroup = Some(shared),
            }
        }
        body
    }
}

fn too_many() -> Problem {
    Problem::invalid(format!(
        "these are more than {MAX_GROUPS} groups; group by less, or narrow the list"
    ))
}

fn bytes(value: &Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Text(text) => Some(text.bytes().to_vec()),
        _ => None,
    }
}

/// Distinct for distinct values, and for unknown.
fn write_key(value: &Value<'_>, key: &mut Vec<u8>) {
    if let Value::Text(text) = value {
        key.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
        key.extend_from_slice(text.bytes());
    } else {
        key.extend_from_slice(&[0; 4]);
    }
}

impl Group {
    pub(super) fn shared(&self) -> impl Iterator<Item = Option<std::borrow::Cow<'_, str>>> {
        self.shared
            .iter()
            .map(|bytes| bytes.as_deref().map(String::from_utf8_lossy))
    }
}

impl GroupSort {
    pub(super) fn parse(text: Option<&str>, by: &GroupBy) -> Result<Self, Problem> {
        let text = text.unwrap_or(DEFAULT_SORT);
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let metric = |prefix: &str| {
            let metric = name.strip_prefix(prefix)?;
            METRICS.iter().position(|known| *known == metric)
        };
        let sort_by = if name == "count" {
            Some(SortBy::Count)
        } else {
            let shared = by.names().position(|known| known == name);
            metric("sum.")
                .map(SortBy::Sum)
                .or_else(|| metric("max.").map(SortBy::Max))
                .or_else(|| shared.map(SortBy::Shared))
        };
        let Some(sort_by) = sort_by else {
            let shared: Vec<_> = by.names().collect();
            return Err(Problem::bad_request(format!(
                "cannot sort groups by {name}; sort by count, {}, or sum. or max. and one of {}; with - in front for descending",
                shared.join(", "),
                METRICS.join(", ")
            )));
        };
        Ok(Self {
            name: text.to_owned(),
            by: sort_by,
            descending,
        })
    }

    pub(super) fn read_cursor(&self, text: &str, by: &GroupBy) -> Result<GroupPlace, Problem> {
        let cursor = keyset::from_cursor::<Cursor>(text)
            .filter(|cursor| cursor.sort == self.name && cursor.shared.len() == by.0.len());
        cursor.map(GroupPlace).ok_or_else(|| {
            Problem::bad_request(
                "this cursor is not of this list; take next_cursor of a page with the same sort and group_by",
            )
        })
    }

    pub(super) fn to_cursor(&self, group: &Group) -> String {
        keyset::to_cursor(&Cursor {
            sort: self.name.clone(),
            key: self.key(group).to_key(),
            shared: group.shared.clone(),
        })
    }

    fn key<'g>(&self, group: &'g Group) -> KeyRef<'g> {
        let number = |value: Option<f64>| value.map_or(KeyRef::Unknown, KeyRef::Number);
        match self.by {
            SortBy::Count => KeyRef::Number(group.tally.count as f64),
            SortBy::Sum(metric) => number(group.tally.sum(metric)),
            SortBy::Max(metric) => number(group.tally.max(metric)),
            SortBy::Shared(index) => {
                let shared = group.shared.get(index).and_then(Option::as_deref);
                shared.map_or(KeyRef::Unknown, KeyRef::text)
            }
        }
    }

    pub(super) fn compare(&self, a: &Group, b: &Group) -> Ordering {
        let by_key = self.key(a).compare(self.key(b), self.descending);
        by_key.then_with(|| a.shared.cmp(&b.shared))
    }

    pub(super) fn is_after(&self, group: &Group, place: &GroupPlace) -> bool {
        let GroupPlace(place) = place;
        let by_key = self.key(group).compare(place.key.as_ref(), self.descending);
        by_key.then_with(|| group.shared.cmp(&place.shared)).is_gt()
    }
}
