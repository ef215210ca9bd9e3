//! Processes added up by what they have in common.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::figures::{Figures, METRICS, Tally};
use super::rows::Rows;
use crate::error::Problem;
use crate::keyset::{self, Key, KeyRef};
use crate::live::{Common, ProcessView, UNMARKED};
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
#[derive(Debug, Default)]
pub(super) struct Group {
    shared: Vec<Option<Vec<u8>>>,
    pub(super) tally: Tally,
}

/// The groups of a part of the hosts.
#[derive(Default)]
struct Part {
    groups: Vec<Group>,
    by_key: HashMap<Vec<u8>, usize>,
    /// A shorter way to them, for rows that have marks: by the only one, as 1 + index, or by all of them.
    by_mark: Vec<u32>,
    by_marks: HashMap<Marks, usize, foldhash::quality::RandomState>,
    /// Room to write a key.
    key: Vec<u8>,
}

/// A mark for each of what is grouped by.
type Marks = [usize; BY.len()];

/// The marks of a row.
#[derive(Clone, Copy)]
enum MarksOf {
    One(u32),
    All(Marks),
}

impl Part {
    fn known(&self, marks: MarksOf) -> Option<usize> {
        match marks {
            MarksOf::One(mark) => {
                let known = *self.by_mark.get(mark as usize)?;
                known.checked_sub(1).map(|index| index as usize)
            }
            MarksOf::All(marks) => self.by_marks.get(&marks).copied(),
        }
    }

    fn remember(&mut self, marks: Option<MarksOf>, index: usize) {
        match marks {
            Some(MarksOf::One(mark)) => {
                let mark = mark as usize;
                if mark >= self.by_mark.len() {
                    self.by_mark.resize((mark + 1).next_power_of_two(), 0);
                }
                self.by_mark[mark] = index as u32 + 1;
            }
            Some(MarksOf::All(marks)) if self.by_marks.len() < MAX_GROUPS => {
                self.by_marks.insert(marks, index);
            }
            _ => {}
        }
    }
}

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
        let parts = rows.fold(condition, &self.needed(), Part::default, |part, view| {
            let marks = self.marks(view);
            let known = marks.and_then(|marks| part.known(marks));
            let index = if let Some(index) = known {
                index
            } else {
                let index = self.find(part, view)?;
                part.remember(marks, index);
                index
            };
            part.groups[index].tally.add(view);
            Ok(())
        })?;
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        for mut part in parts {
            for (key, index) in part.by_key {
                let group = &mut part.groups[index];
                match all.by_key.entry(key) {
                    Entry::Occupied(known) => {
                        all.groups[*known.get()].tally.merge(&group.tally);
                    }
                    Entry::Vacant(place) => {
                        place.insert(all.groups.len());
                        all.groups.push(std::mem::take(group));
                    }
                }
            }
        }
        if all.groups.len() > MAX_GROUPS {
            return Err(too_many());
        }
        Ok(all.groups)
    }

    /// The group of a row, which may be new.
    fn find(&self, part: &mut Part, view: &ProcessView<'_>) -> Result<usize, Problem> {
        part.key.clear();
        for field in &self.0 {
            write_key(&view.value(*field), &mut part.key);
        }
        if let Some(index) = part.by_key.get(&part.key) {
            return Ok(*index);
        }
        if part.groups.len() == MAX_GROUPS {
            return Err(too_many());
        }
        let shared = self.0.iter().map(|field| bytes(&view.value(*field)));
        part.groups.push(Group {
            shared: shared.collect(),
            tally: Tally::default(),
        });
        let index = part.groups.len() - 1;
        part.by_key.insert(part.key.clone(), index);
        Ok(index)
    }

    /// Equal for rows of one group, as far as there are marks that say so.
    fn marks(&self, view: &ProcessView<'_>) -> Option<MarksOf> {
        if let [only] = self.0[..]
            && let Some(kind) = ProcessView::settled_by(only)
        {
            let mark = view.mark(kind);
            return (mark != UNMARKED).then_some(MarksOf::One(mark));
        }
        let mut marks = [0; BY.len()];
        for (place, field) in marks.iter_mut().zip(&self.0) {
            *place = match ProcessView::settled_by(*field) {
                Some(kind) => view.mark(kind) as usize,
                // Nothing but the host is without: where its name is kept tells it from all others.
                None => Arc::as_ptr(&view.host.agent_id).addr(),
            };
            if *place == UNMARKED as usize {
                return None;
            }
        }
        Some(MarksOf::All(marks))
    }

    fn needed(&self) -> Vec<Common> {
        let kinds = self.0.iter().copied().filter_map(ProcessView::settled_by);
        Common::of_kinds(&kinds.collect::<Vec<_>>())
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
