//! Rules about what happened: events that match, and programs that fail again and again. Events are read from the log, each once;
//! how far is kept with the alerts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::ancestry::{Ancestry, Running};
use super::groups::labels as group_labels;
use super::{Found, Plan, Sighting, Subject};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::{AlertEvent, Kind, Rule};
use crate::alerts::state::Sight;
use crate::batch::{Event, EventKind, lossy};
use crate::events::EventRow;
use crate::live::{Agent, HostEntry, Live};
use crate::query::Meter;
use crate::store::StoredEvents;

/// An event that arrives so long after it happened, because its agent or the server was away, is history.
const LATE_MS: i64 = 300_000;
/// Programs of which exits are remembered, for each rule.
const MAX_LOOPS: usize = 10_000;
/// Kinds of things that happened between two evaluations, for each rule.
const MAX_MATCHES: usize = 10_000;

#[cfg(test)]
mod tests;

/// What was seen of the log and is not evaluated yet, and what has to be remembered of it.
#[derive(Debug)]
pub struct EventMemory {
    ancestry: Ancestry,
    /// How often something matched, by rule.
    matches: HashMap<Arc<str>, HashMap<LabelSet, u64>>,
    /// When programs failed, by rule.
    exits: HashMap<Arc<str>, HashMap<LabelSet, VecDeque<i64>>>,
    /// Of each rule, events that there was no room for, and events of which it cost too much to know whether they match.
    left_out: HashMap<Arc<str>, u64>,
    /// What each rule may still cost in this evaluation: one that costs too much hurts no other.
    steps_left: HashMap<Arc<str>, u64>,
    steps: u64,
}

impl Default for EventMemory {
    fn default() -> Self {
        Self {
            ancestry: Ancestry::default(),
            matches: HashMap::new(),
            exits: HashMap::new(),
            left_out: HashMap::new(),
            steps_left: HashMap::new(),
            steps: Meter::default().left(),
        }
    }
}

impl EventMemory {
    /// Takes in a batch of the log.
    pub fn feed(&mut self, plan: &Plan, live: &Live, batch: &StoredEvents, now_ms: i64) {
        // A host that was heard for the first time just before the server was killed is known by its events alone.
        let entry = live.get(&batch.agent_id);
        let unknown = Agent::default();
        // Made for the first event that needs it.
        let mut running = None;
        for event in &batch.events {
            if let Some(life) = event.life.as_deref().filter(|_| plan.needs_ancestors) {
                self.ancestry.note(&batch.agent_id, life);
            }
            let host = entry.as_ref().map(|entry| entry.read());
            let agent = host.as_ref().map_or(&unknown, |host| &host.agent);
            let at_ms = agent.server_time_ns(event.ts_ns) / 1_000_000;
            let wanted: Vec<usize> = plan
                .events
                .iter()
                .copied()
                .filter(|index| wants(&plan.rules()[*index], event, now_ms - at_ms))
                .filter(|index| plan.rules()[*index].hosts.takes(&batch.agent_id, agent))
                .collect();
            drop(host);
            if wanted.is_empty() {
                continue;
            }
            let ancestors = plan.needs_ancestors.then(|| {
                let running = running.get_or_insert_with(|| running_on(entry.as_deref(), now_ms));
                let process = event.life.as_deref()?;
                self.ancestry.of(&batch.agent_id, process, running)
            });
            let row = AlertEvent {
                row: EventRow {
                    stored: batch,
                    event,
                },
                ancestors: ancestors.as_ref().and_then(Option::as_deref),
            };
            for index in wanted {
                let rule = &plan.rules()[index];
                match self.condition_holds(rule, &row) {
                    Some(true) => self.note(rule, batch, event, at_ms),
                    Some(false) => {}
                    None => self.leave_out(rule),
                }
            }
        }
    }

    fn note(&mut self, rule: &Rule, batch: &StoredEvents, event: &Event, at_ms: i64) {
        let labels = labels(rule, &batch.agent_id, event);
        let rule_id: Arc<str> = rule.id.as_str().into();
        let refused = if let Kind::CrashLoop { count, .. } = rule.kind {
            let exits = self.exits.entry(rule_id).or_default();
            let full = exits.len() >= MAX_LOOPS && !exits.contains_key(&labels);
            if !full {
                let exits = exits.entry(labels).or_default();
                exits.push_back(at_ms);
                // More than that says nothing more.
                if exits.len() > 4 * count as usize {
                    exits.pop_front();
                }
            }
            full
        } else {
            let matches = self.matches.entry(rule_id).or_default();
            let full = matches.len() >= MAX_MATCHES && !matches.contains_key(&labels);
            if !full {
                *matches.entry(labels).or_default() += 1;
            }
            full
        };
        if refused {
            self.leave_out(rule);
        }
    }

    /// `None` when it costs too much to know.
    fn condition_holds(&mut self, rule: &Rule, row: &AlertEvent<'_>) -> Option<bool> {
        let (Kind::Event { condition, .. } | Kind::CrashLoop { condition, .. }) = &rule.kind else {
            return Some(false);
        };
        if !self.steps_left.contains_key(rule.id.as_str()) {
            let rule_id = rule.id.as_str().into();
            self.steps_left.insert(rule_id, self.steps);
        }
        let left = self.steps_left.get_mut(rule.id.as_str())?;
        let meter = Meter::with_budget(*left);
        let holds = condition.holds(row, &meter);
        *left = meter.left();
        (!meter.exhausted()).then_some(holds)
    }

    fn leave_out(&mut self, rule: &Rule) {
        *self.left_out.entry(rule.id.as_str().into()).or_default() += 1;
    }

    /// What is present now.
    pub fn find(&mut self, plan: &Plan, now_ms: i64, found: &mut Found) {
        for index in &plan.events {
            let rule = &plan.rules()[*index];
            if let Some(count) = self.left_out.get(rule.id.as_str()) {
                *found.left_out.entry(*index).or_default() += count;
            }
            match rule.kind {
                Kind::Event { .. } => {
                    let matches = self.matches.get(rule.id.as_str());
                    for (labels, count) in matches.into_iter().flatten() {
                        found.push_new(present(*index, labels, *count as f64));
                    }
                }
                Kind::CrashLoop {
                    count, window_ms, ..
                } => {
                    let Some(programs) = self.exits.get_mut(rule.id.as_str()) else {
                        continue;
                    };
                    programs.retain(|_, exits| {
                        exits.retain(|at_ms| now_ms.saturating_sub(*at_ms) <= window_ms);
                        !exits.is_empty()
                    });
                    for (labels, exits) in programs {
                        if exits.len() >= count as usize {
                            found.push_new(present(*index, labels, exits.len() as f64));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// After what was found is kept: it is not found again.
    pub fn settle(&mut self) {
        self.matches.clear();
        self.left_out.clear();
        self.steps_left.clear();
    }

    /// Forgets rules that are no more.
    pub fn retain_rules(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.exits.retain(|rule, _| is_kept(rule));
        self.matches.retain(|rule, _| is_kept(rule));
        self.left_out.retain(|rule, _| is_kept(rule));
        self.steps_left.retain(|rule, _| is_kept(rule));
    }
}

fn running_on(entry: Option<&HostEntry>, now_ms: i64) -> Running {
    entry.map_or_else(Running::default, |entry| Running::of(&entry.read(), now_ms))
}

/// Whether a rule is about events of this kind, and this one is news.
fn wants(rule: &Rule, event: &Event, age_ms: i64) -> bool {
    match (&rule.kind, &event.kind) {
        (Kind::Event { kinds, .. }, kind) => kinds.contains(kind) && age_ms <= LATE_MS,
        (Kind::CrashLoop { window_ms, .. }, EventKind::Exit(exit)) => {
            let failed = exit.signal.is_some() || exit.code.is_some_and(|code| code != 0);
            failed && age_ms <= *window_ms
        }
        _ => false,
    }
}

fn labels(rule: &Rule, agent_id: &Arc<str>, event: &Event) -> LabelSet {
    let life = event.life.as_deref();
    if let Some(aggregate) = &rule.aggregate {
        return group_labels(&aggregate.by, Some(agent_id), life);
    }
    let mut labels = LabelSet::default().with("agent_id", &**agent_id);
    let name = life.and_then(|life| life.name()).map(lossy);
    labels.insert_known("name", name.as_deref());
    if matches!(rule.kind, Kind::Event { .. }) {
        labels.insert("type", event.kind.name());
    }
    labels
}

fn present(rule: usize, labels: &LabelSet, value: f64) -> Sighting {
    Sighting {
        rule,
        subject: Subject::Group(labels.clone()),
        sight: Sight::Present,
        value,
        labels: labels.clone(),
    }
}
