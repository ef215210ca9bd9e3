//! What evaluations of the past see of processes: each life is gone through from sample to sample, and asked what the present is
//! asked.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::asked::Asked;
use super::grid::{Grid, Looks};
use super::groups::Cells;
use super::replay::{Labels, Timeline};
use super::{MAX_CELLS, MAX_EVALUATIONS};
use crate::alerts::evaluate::{Series, Subject, hash_value};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::{Kind, Rule};
use crate::alerts::state::Sight;
use crate::batch::Life;
use crate::live::{Host, PastRows, ProcessView};
use crate::query::{Meter, Row};
use crate::store::history::{HostSamples, LifeSamples};

/// What rules remember of a host's processes from one part of the time to the next.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    rates: HashMap<ProcessId, Series>,
    /// The hash of a field as it was seen last.
    changes: HashMap<ProcessId, u64>,
}

/// A part of the past of one host.
pub(super) struct Past<'a> {
    pub(super) rule: &'a Rule,
    pub(super) asked: &'a Asked,
    pub(super) host: &'a Host,
    pub(super) samples: &'a HostSamples,
    pub(super) grid: &'a Grid,
    pub(super) looks: &'a Looks,
}

/// What was found in it.
#[derive(Debug, Default)]
pub(super) struct FoundPast {
    pub(super) timelines: Vec<Timeline>,
    pub(super) cells: Cells,
    /// Values that were looked at, evaluation by evaluation.
    pub(super) evaluations: u64,
    /// It is more than one answer may cost, and not all of it.
    pub(super) too_much: bool,
}

/// Evaluations (until is exclusive) that see the same of a process of the scope.
type Look<'l> = dyn FnMut((u32, u32), &ProcessView<'_>) + 'l;

impl Past<'_> {
    pub(super) fn find(&self, remembered: &mut Remembered) -> FoundPast {
        let mut found = FoundPast::default();
        let meter = Meter::default();
        let mut kept = Remembered::default();
        let mut spans = 0;
        for life in &self.samples.lives {
            if found.cells.count > MAX_CELLS || spans > MAX_CELLS {
                found.too_much = true;
                break;
            }
            match (&self.rule.kind, &self.rule.aggregate) {
                (Kind::Threshold(metric, _), Some(aggregate)) => {
                    let agent_id = &self.host.agent_id;
                    let agent_id = aggregate.is_by_host().then_some(&**agent_id);
                    let cells = &mut found.cells;
                    let mut evaluations = 0;
                    self.each(life, &meter, &mut |range, view| {
                        let value = metric.and_then(|metric| (metric.get)(view));
                        let place =
                            cells.place(aggregate, agent_id, &view.process.life, self.grid.count);
                        cells.add(place, range, self.looks, value);
                        evaluations += u64::from(range.1 - range.0);
                    });
                    found.evaluations += evaluations;
                }
                (Kind::Absence, _) => {
                    let cells = &mut found.cells;
                    self.each(life, &meter, &mut |range, _| {
                        let place = cells.place_of(LabelSet::default(), self.grid.count);
                        cells.add(place, range, self.looks, None);
                    });
                }
                _ => {
                    if let Some(timeline) =
                        self.process(life, &meter, remembered, &mut kept, &mut found.evaluations)
                    {
                        spans += timeline.spans.len();
                        found.timelines.push(timeline);
                    }
                }
            }
        }
        if !self.samples.sample_ms.is_empty() {
            *remembered = kept;
        }
        found.too_much |= meter.exhausted() || found.evaluations > MAX_EVALUATIONS;
        found
    }

    /// Goes through a life, where it is of the scope.
    fn each(&self, life: &LifeSamples, meter: &Meter, look: &mut Look<'_>) {
        let rows = PastRows {
            host: self.host,
            samples: self.samples,
            columns: &self.asked.columns,
        };
        let mut in_scope = false;
        // It is listed from when it was heard of, which is before its first sample.
        let begun_ms = life.life.started_ns.map_or(i64::MAX, |ns| {
            ns.div_euclid(1_000_000).saturating_sub(self.asked.ahead_ms)
        });
        let (first, _) = self.looks.of_samples(life.first, life.first + 1);
        let early = self.grid.after(begun_ms);
        let before_ms = life.first.checked_sub(1);
        let before_ms = before_ms.and_then(|before| self.samples.sample_ms.get(before));
        if early < first && before_ms.is_some_and(|before_ms| *before_ms < begun_ms) {
            rows.unsampled(life, |view| {
                if self.rule.processes.holds(view, meter) {
                    look((early, first), view);
                }
            });
        }
        rows.each(life, |step| {
            if step.is_new_life || !self.asked.settled {
                in_scope = self.rule.processes.holds(&step.view, meter);
            }
            let range = self.looks.of_samples(step.first, step.until);
            if in_scope && range.0 < range.1 {
                look(range, &step.view);
            }
        });
    }

    /// The alert of one process.
    fn process(
        &self,
        life: &LifeSamples,
        meter: &Meter,
        before: &mut Remembered,
        kept: &mut Remembered,
        evaluations: &mut u64,
    ) -> Option<Timeline> {
        let id = life.life.id?;
        let subject = Subject::Process(Arc::clone(&self.host.agent_id), id);
        let mut timeline = Timeline::new(subject, Labels::Known(LabelSet::default()));
        let mut lives: Vec<(u32, Arc<Life>)> = Vec::new();
        let mut series = before.rates.remove(&id);
        let mut seen = before.changes.remove(&id);
        let mut end = None;
        self.each(life, meter, &mut |range, view| {
            let life: &Arc<Life> = &view.process.life;
            if lives
                .last()
                .is_none_or(|(_, known)| !Arc::ptr_eq(known, life))
            {
                lives.push((range.0, Arc::clone(life)));
            }
            // Whoever was away, or was not looked at, begins anew.
            if end.is_some_and(|end| end < range.0) && !self.is_frozen(end, range.0) {
                (series, seen) = (None, None);
            }
            end = Some(range.1);
            match &self.rule.kind {
                Kind::Threshold(Some(metric), bounds) => {
                    let value = (metric.get)(view);
                    if let Some(sight) = bounds.sight(value) {
                        timeline.push(range, sight, value.unwrap_or_default());
                    }
                }
                Kind::Zombie if view.status() == Some('Z') => {
                    timeline.push(range, Sight::Present, 1.0);
                }
                Kind::Rate { metric, .. } => {
                    *evaluations += u64::from(range.1 - range.0);
                    if let Some(value) = (metric.get)(view) {
                        self.rate(range, value, &mut series, &mut timeline);
                    } else {
                        series = None;
                        timeline.push(range, Sight::Missing, 0.0);
                    }
                }
                Kind::Change(field) => {
                    let looked = (range.0..range.1).find(|at| !self.looks.is_frozen(*at));
                    let hash = hash_value(&view.value(*field));
                    if let (Some(at), Some(hash)) = (looked, hash)
                        && seen.replace(hash).is_some_and(|seen| seen != hash)
                    {
                        timeline.push((at, at + 1), Sight::Present, 1.0);
                    }
                }
                _ => {}
            }
        });
        if let Some(series) = series {
            kept.rates.insert(id, series);
        }
        if let Some(seen) = seen {
            kept.changes.insert(id, seen);
        }
        timeline.labels = Labels::Lives(lives);
        Some(timeline).filter(|timeline| !timeline.spans.is_empty())
    }

    fn is_frozen(&self, from: Option<u32>, until: u32) -> bool {
        (from.unwrap_or(until)..until).all(|at| self.looks.is_frozen(at))
    }

    /// How fast a value grew, at each evaluation in which it is the same.
    fn rate(
        &self,
        (from, until): (u32, u32),
        value: f64,
        series: &mut Option<Series>,
        timeline: &mut Timeline,
    ) {
        let Kind::Rate {
            bounds, window_ms, ..
        } = &self.rule.kind
        else {
            return;
        };
        for at in from..until {
            if self.looks.is_frozen(at) {
                continue;
            }
            let sample = self
                .looks
                .sample(at)
                .and_then(|sample| self.samples.sample_ms.get(sample));
            let Some(sampled_ms) = sample else { continue };
            let series = series.get_or_insert_default();
            let sight = match series.note(*sampled_ms, value, *window_ms) {
                Some(rate) => bounds.sight(Some(rate)).map(|sight| (sight, rate)),
                None => Some((Sight::Frozen, 0.0)),
            };
            if let Some((sight, rate)) = sight {
                timeline.push((at, at + 1), sight, rate);
            }
        }
    }
}
