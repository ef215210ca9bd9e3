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
    by_key: HashMap<[u64; LABELS], Group, foldhash::quality::RandomState>,
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
            by_key: HashMap::default(),
        }
    }

    pub(super) fn add(&mut self, view: &ProcessView<'_>, value: Option<f64>) {
        let mut key = [0; LABELS];
        for (place, label) in key.iter_mut().zip(&self.by) {
            *place = mark(*label, view);
        }
        let group = self.by_key.entry(key).or_insert_with(|| Group {
            life: Some(Arc::clone(&view.process.life)),
            ..Group::default()
        });
        group.totals.add(value);
    }

    /// All groups with their values, and forgets them. A group by nothing else than the host is there even when it is empty.
    pub(super) fn finish(&mut self, agent_id: Option<&str>) -> Vec<(LabelSet, Option<f64>)> {
        let counted = self.by.iter().all(|label| *label == GroupLabel::Agent);
        if self.by_key.is_empty() && counted && self.function == Function::Count {
            self.by_key.insert([0; LABELS], Group::default());
        }
        let mut merged: HashMap<LabelSet, Totals> = HashMap::new();
        for (_, group) in self.by_key.drain() {
            let labels = labels(&self.by, agent_id, group.life.as_deref());
            merged.entry(labels).or_default().merge(&group.totals);
        }
        let function = self.function;
        merged
            .into_iter()
            .map(|(labels, totals)| (labels, totals.value(function)))
            .collect()
    }
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
            stable_hash(&[&text]) | 1 << 63
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
