//! The states that alerts would have gone through, evaluation by evaluation, by the same rules as those of the present.

use std::collections::HashMap;
use std::sync::Arc;

use super::Episode;
use super::grid::Grid;
use crate::alerts::evaluate::{Subject, labels_of_life};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::Rule;
use crate::alerts::state::{AlertState, Progress, Sight, Step, Timing};
use crate::batch::Life;

/// Evaluations that all see the same of an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: u32,
    /// Exclusive.
    pub(super) until: u32,
    pub(super) sight: Sight,
    pub(super) value: f64,
}

/// What an alert is labelled with when it begins.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Known(LabelSet),
    /// What its process was, from an evaluation on.
    Lives(Vec<(u32, Arc<Life>)>),
}

/// What evaluations see of one alert. Where it says nothing, they do not find it.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) subject: Subject,
    pub(super) labels: Labels,
    pub(super) spans: Vec<Span>,
}

/// What it means that an evaluation does not find an alert.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unseen<'a> {
    Absent,
    /// While its host is silent nothing is known, whatever was found.
    Frozen(&'a [bool]),
    /// While some host is silent it may be there; what was found is so.
    Partial(&'a [bool]),
}

/// An alert from its first evaluation on.
#[derive(Debug, Default)]
struct Tracked {
    progress: Progress,
    labels: LabelSet,
    episodes: Vec<Episode>,
    was_pending: bool,
}

/// The alerts of one host, or those over all hosts.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    alerts: HashMap<Subject, Tracked>,
    pub(super) evaluations: u64,
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) episodes: Vec<Episode>,
    pub(super) flapping: usize,
    pub(super) only_pending: usize,
}

impl Outcome {
    /// What came after the last evaluation that looked at everything.
    pub(super) fn forget_after(&mut self, until_ms: i64) {
        self.episodes
            .retain(|episode| episode.fired_at_ms <= until_ms);
        for episode in &mut self.episodes {
            let resolved = episode.resolved_at_ms;
            episode.resolved_at_ms = resolved.filter(|at_ms| *at_ms <= until_ms);
        }
    }
}

impl Timeline {
    pub(super) fn new(subject: Subject, labels: Labels) -> Self {
        Self {
            subject,
            labels,
            spans: Vec::new(),
        }
    }

    /// Adds what evaluations after all others see.
    pub(super) fn push(&mut self, (from, until): (u32, u32), sight: Sight, value: f64) {
        if from >= until {
            return;
        }
        if let Some(last) = self.spans.last_mut()
            && last.until == from
            && last.sight == sight
            && last.value.to_bits() == value.to_bits()
        {
            last.until = until;
            return;
        }
        self.spans.push(Span {
            from,
            until,
            sight,
            value,
        });
    }

    fn is_ever_present(&self) -> bool {
        self.spans.iter().any(|span| span.sight == Sight::Present)
    }
}

impl Labels {
    fn at(&self, subject: &Subject, evaluation: u32) -> LabelSet {
        match (self, subject) {
            (Self::Lives(lives), Subject::Process(agent_id, id)) => {
                let after = lives.partition_point(|(from, _)| *from <= evaluation);
                let life = lives.get(after.saturating_sub(1));
                life.map_or_else(LabelSet::default, |(_, life)| {
                    labels_of_life(agent_id, *id, life)
                })
            }
            (Self::Known(labels), _) | (Self::Lives(_), Subject::Group(labels)) => labels.clone(),
        }
    }
}

impl Tracker {
    /// Alerts that there are or were, and times that they fired.
    pub(super) fn len(&self) -> usize {
        let alerts = self.alerts.values();
        alerts.map(|tracked| 1 + tracked.episodes.len()).sum()
    }

    /// Goes through the evaluations of a part for all alerts that it is about, and those that there are.
    pub(super) fn advance<'u>(
        &mut self,
        rule: &Rule,
        grid: &Grid,
        tolerance_ms: i64,
        timelines: Vec<Timeline>,
        unseen: &dyn Fn(&Subject) -> Unseen<'u>,
    ) {
        let timing = Timing {
            for_ms: rule.for_ms,
            keep_firing_for_ms: rule.keep_firing_for_ms,
            tolerance_ms,
            keep_stale_for_ms: rule.keep_stale_for_ms,
        };
        let mut running: HashMap<Subject, Tracked> = HashMap::new();
        let subjects: Vec<Subject> = self
            .alerts
            .iter()
            .filter(|(_, tracked)| !tracked.progress.is_over())
            .map(|(subject, _)| subject.clone())
            .collect();
        for subject in subjects {
            if let Some((subject, tracked)) = self.alerts.remove_entry(&subject) {
                running.insert(subject, tracked);
            }
        }
        for timeline in timelines {
            let known = running.remove(&timeline.subject);
            if known.is_none() && !timeline.is_ever_present() {
                continue;
            }
            let known = known.or_else(|| self.alerts.remove(&timeline.subject));
            let mut tracked = known.unwrap_or_default();
            let unseen = unseen(&timeline.subject);
            self.evaluations += tracked.follow(rule, grid, &timing, &timeline, unseen);
            if tracked.was_pending {
                self.alerts.insert(timeline.subject, tracked);
            }
        }
        // Nothing was found of these.
        for (subject, mut tracked) in running {
            let timeline = Timeline::new(subject, Labels::Known(LabelSet::default()));
            let unseen = unseen(&timeline.subject);
            self.evaluations += tracked.follow(rule, grid, &timing, &timeline, unseen);
            self.alerts.insert(timeline.subject, tracked);
        }
    }

    pub(super) fn finish(self, outcome: &mut Outcome) {
        for tracked in self.alerts.into_values() {
            let fired = tracked.episodes.len();
            outcome.flapping += usize::from(fired > 1);
            outcome.only_pending += usize::from(tracked.was_pending && fired == 0);
            outcome.episodes.extend(tracked.episodes);
        }
    }
}

impl Tracked {
    /// Returns how many evaluations were made.
    fn follow(
        &mut self,
        rule: &Rule,
        grid: &Grid,
        timing: &Timing,
        timeline: &Timeline,
        unseen: Unseen<'_>,
    ) -> u64 {
        let mut spans = timeline.spans.iter().peekable();
        let mut evaluation = grid.warm;
        let mut made = 0;
        while evaluation < grid.count {
            if self.progress.is_over() {
                // Nothing happens until its condition holds again.
                let idle = |span: &&Span| span.sight != Sight::Present || span.until <= evaluation;
                while spans.next_if(idle).is_some() {}
                let Some(next) = spans.peek() else { break };
                evaluation = evaluation.max(next.from);
            }
            while spans.next_if(|span| span.until <= evaluation).is_some() {}
            let span = spans.peek().filter(|span| span.from <= evaluation);
            let sight = sight_of(span.copied(), unseen, evaluation);
            self.evaluate(
                rule,
                grid,
                timing,
                timeline,
                evaluation,
                (sight, span.map(|span| span.value)),
            );
            made += 1;
            evaluation += 1;
        }
        made
    }

    fn evaluate(
        &mut self,
        rule: &Rule,
        grid: &Grid,
        timing: &Timing,
        timeline: &Timeline,
        evaluation: u32,
        (sight, value): (Sight, Option<f64>),
    ) {
        let at_ms = grid.at_ms(evaluation);
        let was_over = self.progress.is_over();
        let step = Step::after(Some(at_ms - grid.interval_ms), at_ms, grid.interval_ms);
        let change = self.progress.advance(sight, &step, timing);
        if was_over && !self.progress.is_over() {
            self.was_pending = true;
            let labels = timeline.labels.at(&timeline.subject, evaluation);
            self.labels = rule.labels.iter().chain(labels.iter()).collect();
        }
        match change.map(|change| change.to) {
            Some(AlertState::Firing) => self.episodes.push(Episode {
                labels: self.labels.clone(),
                active_at_ms: self.progress.active_at_ms().unwrap_or(at_ms),
                fired_at_ms: at_ms,
                resolved_at_ms: None,
                value: value.unwrap_or_default(),
            }),
            Some(AlertState::Resolved) => {
                if let Some(episode) = self.episodes.last_mut() {
                    episode.resolved_at_ms = Some(at_ms);
                }
            }
            _ => {}
        }
        if self.progress.state == AlertState::Firing
            && sight == Sight::Present
            && let Some((value, episode)) = value.zip(self.episodes.last_mut())
        {
            episode.value = rule.more_extreme(episode.value, value);
        }
    }
}

fn sight_of(span: Option<&Span>, unseen: Unseen<'_>, evaluation: u32) -> Sight {
    let is = |when: &[bool]| when.get(evaluation as usize).copied().unwrap_or(false);
    match (unseen, span) {
        (Unseen::Frozen(frozen), _) if is(frozen) => Sight::Frozen,
        (_, Some(span)) => span.sight,
        (Unseen::Partial(partial), None) if is(partial) => Sight::Frozen,
        (_, None) => Sight::Absent,
    }
}
