//! Processes put together: sums, maxima and counts by what they have in common. While rows are gone through a group is known by
//! marks alone; its labels are made at the end, of the few that are told about.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alerts::labels::{LabelSet, stable_hash};
use crate::alerts::rule::{Aggregate, Bounds, Function, GroupLabel};
use crate::alerts::state::Sight;
use crate::batch::{Life, lossy};
use crate::live::{Common, ProcessView, UNMARKED};

/// Labels that a group can have besides its host.
const LABELS: usize = 5;

#[derive(Debug)]
pub(super) struct Groups {
    by: Vec<GroupLabel>,
    function: Function,
    /// Of one label besides the host, which most are by.
    by_mark: HashMap<u64, Group, foldhash::fast::RandomState>,
    by_key: HashMap<[u64; LABELS], Group, foldhash::fast::RandomState>,
    /// The one label.
    only: Option<GroupLabel>,
    /// Some key was made of a text, so that two of them may stand for the same labels.
    has_texts: bool,
}

/// A group that an alert is about, or may be.
#[derive(Debug)]
pub(super) struct FoundGroup {
    pub(super) labels: LabelSet,
    pub(super) sight: Sight,
    pub(super) value: f64,
}

#[derive(Clone, Debug, Default)]
struct Group {
    life: Option<Arc<Life>>,
    totals: Totals,
}

/// What all processes of a group have together.
#[derive(Clone, Copy, Debug)]
pub(in crate::alerts) struct Totals {
    sum: f64,
    max: f64,
    pub(in crate::alerts) rows: u32,
    /// Of those the metric is known.
    valued: u32,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            sum: 0.0,
            max: f64::NEG_INFINITY,
            rows: 0,
            valued: 0,
        }
    }
}

impl Totals {
    /// A process, with its value where that is known.
    pub(in crate::alerts) fn add(&mut self, value: Option<f64>) {
        self.rows += 1;
        if let Some(value) = value {
            self.valued += 1;
            self.sum += value;
            self.max = self.max.max(value);
        }
    }

    pub(in crate::alerts) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        self.rows += other.rows;
        self.valued += other.valued;
    }

    /// `None` while no process has a value.
    pub(in crate::alerts) fn value(&self, function: Function) -> Option<f64> {
        match function {
            Function::Count => Some(f64::from(self.rows)),
            _ if self.valued == 0 => None,
            Function::Sum => Some(self.sum),
            Function::Max => Some(self.max),
        }
    }
}

impl Groups {
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        Self {
            by: aggregate.by.clone(),
            function: aggregate.function,
            by_mark: HashMap::default(),
            by_key: HashMap::default(),
            only: only_label(&aggregate.by),
            has_texts: false,
        }
    }

    pub(super) fn add(&mut self, view: &ProcessView<'_>, value: Option<f64>) {
        let fresh = || Group {
            life: Some(Arc::clone(&view.process.life)),
            ..Group::default()
        };
        let group = if let Some(label) = self.only {
            let mark = mark(label, view);
            self.has_texts |= mark >= OF_TEXT;
            self.by_mark.entry(mark).or_insert_with(fresh)
        } else {
            let mut key = [0; LABELS];
            for (place, label) in key.iter_mut().zip(&self.by) {
                *place = mark(*label, view);
                self.has_texts |= *place >= OF_TEXT;
            }
            self.by_key.entry(key).or_insert_with(fresh)
        };
        group.totals.add(value);
    }

    /// The groups that alerts are about, and forgets all. Where there are no alerts yet (`any_known`) only those that are one now.
    /// A group by nothing else than the host is there even when it is empty.
    pub(super) fn finish(
        &mut self,
        agent_id: Option<&str>,
        any_known: bool,
        sight_of: impl Fn(Option<f64>) -> Option<Sight>,
    ) -> Vec<FoundGroup> {
        let counted = self.by.iter().all(|label| *label == GroupLabel::Agent);
        if self.by_key.is_empty() && counted && self.function == Function::Count {
            self.by_key.insert([0; LABELS], Group::default());
        }
        let (by, function) = (&self.by, self.function);
        let found = |totals: &Totals, labels: &dyn Fn() -> LabelSet| {
            let value = totals.value(function);
            let sight = sight_of(value)?;
            // Most groups are fine, and need no labels.
            (sight == Sight::Present || any_known).then(|| FoundGroup {
                labels: labels(),
                sight,
                value: value.unwrap_or_default(),
            })
        };
        let of_marks = self.by_mark.drain().map(|(_, group)| group);
        let groups = of_marks.chain(self.by_key.drain().map(|(_, group)| group));
        if !std::mem::take(&mut self.has_texts) {
            return groups
                .filter_map(|group| {
                    let labels = || labels(by, agent_id, group.life.as_deref());
                    found(&group.totals, &labels)
                })
                .collect();
        }
        let mut merged: HashMap<LabelSet, Totals> = HashMap::new();
        for group in groups {
            let labels = labels(by, agent_id, group.life.as_deref());
            merged.entry(labels).or_default().merge(&group.totals);
        }
        merged
            .into_iter()
            .filter_map(|(labels, totals)| found(&totals, &|| labels.clone()))
            .collect()
    }
}

/// Marks are below, what is made of texts is not.
const OF_TEXT: u64 = 1 << 63;

fn only_label(by: &[GroupLabel]) -> Option<GroupLabel> {
    let mut labels = by.iter().filter(|label| **label != GroupLabel::Agent);
    let first = labels.next()?;
    labels.next().is_none().then_some(*first)
}

/// Equal for equal labels; those of which there are no marks are told apart by their text.
fn mark(label: GroupLabel, view: &ProcessView<'_>) -> u64 {
    let GroupLabel::Of(common) = label else {
        return 0;
    };
    let life = &view.process.life;
    match life.marks().get(common) {
        UNMARKED => {
            let text = text(common, life).unwrap_or_default();
            stable_hash(&[&text]) | OF_TEXT
        }
        mark => u64::from(mark),
    }
}

/// What an alert of a group's value is. Where some host is silent there is less than there may be, and what there is may be enough.
pub(in crate::alerts) fn sight_of_group(
    bounds: &Bounds,
    value: Option<f64>,
    partial: bool,
) -> Option<Sight> {
    match value {
        Some(value) if partial && !(bounds.operator.is_upward() && bounds.hold(value)) => {
            Some(Sight::Frozen)
        }
        value => bounds.sight(value),
    }
}

pub(in crate::alerts) fn labels(
    by: &[GroupLabel],
    agent_id: Option<&str>,
    life: Option<&Life>,
) -> LabelSet {
    let mut labels = LabelSet::default();
    for label in by {
        match label {
            GroupLabel::Agent => labels.insert_known("agent_id", agent_id),
            GroupLabel::Of(common) => {
                let text = life.and_then(|life| text(*common, life));
                labels.insert_known(label.name(), text.as_deref());
            }
        }
    }
    labels
}

fn text(common: Common, life: &Life) -> Option<String> {
    match common {
        Common::Image => None,
        Common::Name => life.name().map(lossy),
        Common::Credentials => life.username().map(str::to_owned),
        Common::Cgroup => life.cgroup.as_deref().map(str::to_owned),
        Common::Container => life.container_id.as_deref().map(str::to_owned),
        Common::Unit => life.systemd_unit.as_deref().map(str::to_owned),
    }
}
