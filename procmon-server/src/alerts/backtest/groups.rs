//! Processes of the past put together: what all of a group have in each evaluation.

use std::collections::HashMap;
use std::sync::Arc;

use super::grid::{Grid, Looks};
use super::replay::{Labels, Timeline};
use crate::alerts::evaluate::{Subject, Totals, group_labels, sight_of_group};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::{Aggregate, Bounds, Function, GroupLabel};
use crate::alerts::state::Sight;
use crate::batch::Life;

/// Groups, and their totals by evaluation.
#[derive(Debug, Default)]
pub(super) struct Cells {
    places: HashMap<LabelSet, usize>,
    totals: Vec<Vec<Totals>>,
    /// Totals of single evaluations.
    pub(super) count: usize,
    /// The group of the life that was looked at last.
    last: Option<(Arc<Life>, usize)>,
}

impl Cells {
    /// The group of a process.
    pub(super) fn place(
        &mut self,
        aggregate: &Aggregate,
        agent_id: Option<&str>,
        life: &Arc<Life>,
        count: u32,
    ) -> usize {
        if let Some((last, place)) = &self.last
            && Arc::ptr_eq(last, life)
        {
            return *place;
        }
        let place = self.place_of(group_labels(&aggregate.by, agent_id, Some(life)), count);
        self.last = Some((Arc::clone(life), place));
        place
    }

    /// A group by its labels.
    pub(super) fn place_of(&mut self, labels: LabelSet, count: u32) -> usize {
        let next = self.totals.len();
        let place = *self.places.entry(labels).or_insert(next);
        if place == next {
            self.totals.push(vec![Totals::default(); count as usize]);
            self.count += count as usize;
        }
        place
    }

    /// A process with a value, in the evaluations that look at its host.
    pub(super) fn add(
        &mut self,
        place: usize,
        (from, until): (u32, u32),
        looks: &Looks,
        value: Option<f64>,
    ) {
        for at in from..until {
            if !looks.is_frozen(at) {
                self.totals[place][at as usize].add(value);
            }
        }
    }

    /// Adds those of another host.
    pub(super) fn merge(&mut self, other: Self) {
        for (labels, place) in other.places {
            let totals = &other.totals[place];
            let own = self.place_of(labels, totals.len() as u32);
            for (own, more) in self.totals[own].iter_mut().zip(totals) {
                own.merge(more);
            }
        }
    }

    /// What a rule sees of each group. `partial`: evaluations to which some host is silent. `looked`: those that look at any.
    pub(super) fn timelines(
        mut self,
        aggregate: &Aggregate,
        bounds: &Bounds,
        grid: &Grid,
        agent_id: Option<&str>,
        (looked, partial): (&[bool], &[bool]),
    ) -> Vec<Timeline> {
        let by_host_alone = aggregate.by.iter().all(|label| *label == GroupLabel::Agent);
        let counted = by_host_alone && aggregate.function == Function::Count;
        if counted {
            self.place_of(group_labels(&aggregate.by, agent_id, None), grid.count);
        }
        let is = |when: &[bool], at: usize| when.get(at).copied().unwrap_or(false);
        let mut timelines = Vec::with_capacity(self.places.len());
        for (labels, place) in self.places {
            let labelled = Labels::Known(labels.clone());
            let mut timeline = Timeline::new(Subject::Group(labels), labelled);
            for (at, totals) in self.totals[place].iter().enumerate() {
                let is_there = totals.rows > 0 || (counted && is(looked, at));
                if !is_there {
                    continue;
                }
                let value = totals.value(aggregate.function);
                if let Some(sight) = sight_of_group(bounds, value, is(partial, at)) {
                    let at = at as u32;
                    timeline.push((at, at + 1), sight, value.unwrap_or_default());
                }
            }
            timelines.push(timeline);
        }
        timelines
    }

    /// When nothing was there, of those evaluations that look at a host.
    pub(super) fn absences(self, agent_id: &str, grid: &Grid, looks: &Looks) -> Timeline {
        let subject = Subject::host(agent_id);
        let labels = Labels::Known(subject.to_labels());
        let mut timeline = Timeline::new(subject, labels);
        let totals = self.totals.first();
        for at in 0..grid.count {
            let rows = totals.map_or(0, |totals| totals[at as usize].rows);
            if rows == 0 && !looks.is_frozen(at) {
                timeline.push((at, at + 1), Sight::Present, 0.0);
            }
        }
        timeline
    }
}
