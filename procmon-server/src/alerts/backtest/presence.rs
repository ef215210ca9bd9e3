//! When the condition of a rule held, of each process of a host.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use crate::alerts::rule::{Bounds, Rule};
use crate::batch::Life;
use crate::history::PastRuns;
use crate::live::{Agent, Host};
use crate::query::Meter;

/// A stretch of time in which the condition held, or was between its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    /// Exclusive.
    pub(super) until_ms: i64,
    pub(super) holds: bool,
    /// The most extreme.
    pub(super) value: f64,
}

#[derive(Debug)]
pub(super) struct Presence {
    pub(super) life: Arc<Life>,
    pub(super) spans: Vec<Span>,
    /// Its last span goes up to the end of a part.
    open: bool,
}

/// Of one host.
#[derive(Debug)]
pub(super) struct Presences {
    pub(super) agent_id: Arc<str>,
    agent: Agent,
    pub(super) by_id: HashMap<ProcessId, Presence>,
    /// When nobody looked for too long.
    pub(super) silences: Vec<(i64, i64)>,
    last_sample_ms: Option<i64>,
}

impl Presences {
    pub(super) fn new(agent_id: &Arc<str>, agent: Agent) -> Self {
        Self {
            agent_id: Arc::clone(agent_id),
            agent,
            by_id: HashMap::new(),
            silences: Vec::new(),
            last_sample_ms: None,
        }
    }

    /// Adds what came next.
    pub(super) fn add(&mut self, rule: &Rule, bounds: &Bounds, runs: &PastRuns) {
        for sampled_ms in &runs.sample_ms {
            if let Some(before_ms) = self.last_sample_ms
                && sampled_ms - before_ms > runs.silence_ms
            {
                self.silences
                    .push((before_ms + runs.silence_ms, *sampled_ms));
            }
            self.last_sample_ms = Some(*sampled_ms);
        }
        let wanted = self.wanted(rule, bounds, runs);
        let last = runs.sample_ms.len().saturating_sub(1);
        for past in &runs.lives {
            let Some(id) = past.life.id.filter(|id| wanted.contains(id)) else {
                continue;
            };
            let presence = self.by_id.entry(id).or_insert_with(|| Presence {
                life: Arc::clone(&past.life),
                spans: Vec::new(),
                open: false,
            });
            let was_open = std::mem::take(&mut presence.open);
            for (first_run, end, value) in &past.runs {
                let holds = bounds.hold(*value);
                if !holds && !bounds.is_between(*value) {
                    continue;
                }
                let next_ms = runs.sample_ms.get(end + 1);
                let span = Span {
                    from_ms: runs.sample_ms[*first_run],
                    until_ms: next_ms.map_or(runs.sample_ms[*end] + 1, |next_ms| *next_ms),
                    holds,
                    value: *value,
                };
                // How fast something grew is not known of the first sample of a part.
                let goes_on = was_open && *first_run <= 1;
                presence.push(span, goes_on, bounds);
                presence.open = *end == last;
            }
        }
    }

    /// Processes of the scope that were ever beyond a bound.
    fn wanted(&self, rule: &Rule, bounds: &Bounds, runs: &PastRuns) -> HashSet<ProcessId> {
        let beyond = runs.lives.iter().filter(|past| {
            let mut values = past.runs.iter().map(|(_, _, value)| *value);
            values.any(|value| bounds.hold(value) || bounds.is_between(value))
        });
        let lives: Vec<_> = beyond.map(|past| Arc::clone(&past.life)).collect();
        let host = Host::of_lives(Arc::clone(&self.agent_id), &self.agent, &lives);
        let meter = Meter::default();
        let views = host.views(self.agent.last_seen_ms);
        views
            .filter(|view| rule.processes.holds(view, &meter))
            .map(|view| view.id)
            .collect()
    }
}

impl Presence {
    fn push(&mut self, span: Span, goes_on: bool, bounds: &Bounds) {
        let upward = bounds.operator.is_upward();
        let last = self.spans.last_mut();
        match last {
            Some(last)
                if last.holds == span.holds && (goes_on || last.until_ms >= span.from_ms) =>
            {
                last.until_ms = span.until_ms;
                last.value = if upward {
                    last.value.max(span.value)
                } else {
                    last.value.min(span.value)
                };
            }
            _ => self.spans.push(span),
        }
    }
}
