//! Rules on the live state: which alerts are present now. Each host's processes are gone through once for all rules; what rules
//! remember from one evaluation to the next (rates, changes, exits) is kept here, in memory and within bounds. What becomes of an
//! alert is decided elsewhere.

mod ancestry;
mod events;
mod groups;
mod hosts;
mod plan;
mod rows;
mod series;

pub(in crate::alerts) use ancestry::Running;
pub use events::EventMemory;
pub(in crate::alerts) use groups::{Totals, labels as group_labels, sight_of_group};
pub(in crate::alerts) use hosts::down_labels;
pub use plan::Plan;
pub(in crate::alerts) use rows::labels_of_life;
pub use rows::scan;
pub use series::SeriesMemory;
pub(in crate::alerts) use series::{Series, hash_value};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::labels::LabelSet;
use super::state::Sight;

/// New alerts of one rule that an evaluation finds, at most: a rule that matches everything must not fill the memory. Those that
/// are known already are always found.
pub const MAX_FOUND_PER_RULE: usize = 10_000;

/// What an alert of a rule is about. It tells its alerts apart, whatever else changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    Process(Arc<str>, ProcessId),
    Group(LabelSet),
}

impl Subject {
    pub(in crate::alerts) fn host(agent_id: &str) -> Self {
        Self::Group(LabelSet::default().with("agent_id", agent_id))
    }

    /// The one host that it is about, if it is one.
    pub fn agent_id(&self) -> Option<&str> {
        match self {
            Self::Process(agent_id, _) => Some(agent_id),
            Self::Group(labels) => labels.get("agent_id"),
        }
    }

    pub(in crate::alerts) fn to_labels(&self) -> LabelSet {
        match self {
            Self::Process(agent_id, id) => LabelSet::default()
                .with("agent_id", &**agent_id)
                .with("process_id", id.to_string()),
            Self::Group(labels) => labels.clone(),
        }
    }

    pub(super) fn from_labels(labels: LabelSet) -> Self {
        let process_id = labels.get("process_id").and_then(|id| id.parse().ok());
        match (labels.get("agent_id"), process_id) {
            (Some(agent_id), Some(id)) => Self::Process(agent_id.into(), id),
            _ => Self::Group(labels),
        }
    }
}

/// What an evaluation saw of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Of the plan.
    pub rule: usize,
    pub subject: Subject,
    pub sight: Sight,
    pub value: f64,
    /// What a new alert is labelled with, besides what all of its rule have; empty where it is known already.
    pub labels: LabelSet,
}

/// The alerts that there are: of the processes of each host, the rules that have one.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub processes: HashMap<Arc<str>, HashMap<ProcessId, Vec<usize>>>,
    pub groups: HashSet<(usize, LabelSet)>,
}

/// All that an evaluation found.
#[derive(Debug, Default)]
pub struct Found {
    pub sightings: Vec<Sighting>,
    /// Hosts that are silent, or of which only old data are known.
    pub frozen: HashSet<Arc<str>>,
    /// Hosts of which new data are known.
    pub live: HashMap<Arc<str>, LiveHost>,
    /// Rules that look at a host that is silent.
    pub partial: HashSet<usize>,
    /// Rules that found more than is taken, or cost more: how many were left out.
    pub left_out: HashMap<usize, u64>,
    /// Of each rule, how many were found so far.
    counts: HashMap<usize, usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct LiveHost {
    /// How often it is sampled.
    pub interval_ms: i64,
    /// All of its processes are listed.
    pub complete: bool,
}

/// When an evaluation is made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_ms: i64,
    /// Since then the server is up, and its clock was not set.
    pub quiet_since_ms: i64,
}

impl Found {
    /// A new alert, unless the rule has too many.
    fn push_new(&mut self, sighting: Sighting) {
        let count = self.counts.entry(sighting.rule).or_default();
        if *count >= MAX_FOUND_PER_RULE {
            *self.left_out.entry(sighting.rule).or_default() += 1;
            return;
        }
        *count += 1;
        self.sightings.push(sighting);
    }
}
