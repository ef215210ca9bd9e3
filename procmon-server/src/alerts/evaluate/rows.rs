//! The processes of all hosts, gone through once for all rules.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::ancestry::Running;
use super::groups::{FoundGroup, Groups, sight_of_group};
use super::hosts::{find_down, is_complete, is_current, unheard_ms};
use super::series::{Remembered, Seen, Series, SeriesMemory, hash_value};
use super::{Found, Known, LiveHost, Moment, Plan, Sighting, Subject};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::{AlertProcess, Bounds, Kind, Metric, Rule};
use crate::alerts::state::Sight;
use crate::batch::{Life, lossy};
use crate::live::{Host, HostEntry, ProcessView};
use crate::query::{Meter, Row};

/// Goes through all hosts.
pub fn scan(
    plan: &Plan,
    hosts: &[Arc<HostEntry>],
    known: &Known,
    memory: &mut SeriesMemory,
    moment: Moment,
) -> Found {
    let mut found = Found::default();
    memory.unsettle();
    // While it is held marks mean the same on all hosts.
    let _marks = hosts.first().map(|entry| entry.read().scan());
    let mut pass = Pass {
        plan,
        known,
        moment,
        meters: plan.rules().iter().map(|_| Meter::default()).collect(),
        fleet: HashMap::new(),
        emptied: HashMap::new(),
        has_groups: known.groups.iter().map(|(index, _)| *index).collect(),
    };
    for entry in hosts {
        let host = entry.read();
        find_down(plan, &host, moment, &mut found);
        if is_current(&host, moment.now_ms) {
            let live = LiveHost {
                interval_ms: i64::from(host.agent.interval_ms),
                complete: is_complete(&host),
            };
            found.live.insert(Arc::clone(&host.agent_id), live);
            pass.host(&host, memory, &mut found);
        } else {
            found.frozen.insert(Arc::clone(&host.agent_id));
            let silent_ms = unheard_ms(&host, moment);
            for (index, rule) in plan.rules().iter().enumerate() {
                // One that is silent for longer is no more, and nobody waits for it.
                let counts = rule.is_about_processes() && silent_ms < rule.keep_stale_for_ms;
                if counts && rule.hosts.takes(&host.agent_id, &host.agent) {
                    found.partial.insert(index);
                }
            }
        }
    }
    pass.finish(&mut found);
    found
}

/// One look at everything.
struct Pass<'p> {
    plan: &'p Plan,
    known: &'p Known,
    moment: Moment,
    /// One for each rule: a rule that costs too much hurts no other.
    meters: Vec<Meter>,
    /// Groups over all hosts, by rule.
    fleet: HashMap<usize, Groups>,
    /// Groups of one host, for the next one.
    emptied: HashMap<usize, Groups>,
    /// Rules that there are alerts of, of groups.
    has_groups: HashSet<usize>,
}

/// A rule that looks at every process of its scope on a host.
struct Scoped<'p> {
    index: usize,
    rule: &'p Rule,
    work: Work,
}

enum Work {
    Count(u64),
    /// On this host; those of all hosts are in the pass.
    Groups(Groups),
    Fleet,
    Rate(Remembered<Series>),
    Change(Remembered<Seen>),
}

impl<'p> Pass<'p> {
    fn host(&mut self, host: &Host, memory: &mut SeriesMemory, found: &mut Found) {
        let rules = self.plan.rules();
        let takes: Vec<bool> = rules
            .iter()
            .map(|rule| rule.hosts.takes(&host.agent_id, &host.agent))
            .collect();
        let of_metric = |(metric, of): &'p (&'static Metric, Vec<(usize, Bounds)>)| {
            let here: Vec<_> = of.iter().filter(|(index, _)| takes[*index]).collect();
            (!here.is_empty()).then_some((*metric, here))
        };
        let metrics: Vec<_> = self.plan.by_metric.iter().filter_map(of_metric).collect();
        let zombies: Vec<_> = self
            .plan
            .zombies
            .iter()
            .filter(|index| takes[**index])
            .collect();
        let mut scoped: Vec<_> = self
            .plan
            .scoped
            .iter()
            .filter(|index| takes[**index])
            .map(|index| self.scoped(*index, host, memory))
            .collect();
        if metrics.is_empty() && zombies.is_empty() && scoped.is_empty() {
            return;
        }
        let known = self.known.processes.get(&host.agent_id);
        let running = OnceCell::new();
        for view in host.views_with(self.moment.now_ms, &self.plan.needed) {
            let known_rules = known.and_then(|known| known.get(&view.id));
            for (metric, of) in &metrics {
                let value = (metric.get)(&view);
                for (index, bounds) in of {
                    let known = known_rules.is_some_and(|rules| rules.contains(index));
                    let sight = match value {
                        Some(value) if bounds.hold(value) => Sight::Present,
                        Some(value) if known && bounds.is_between(value) => Sight::Between,
                        None if known => Sight::Missing,
                        _ => continue,
                    };
                    if self.meets(*index, &view, &running) {
                        let value = value.unwrap_or_default();
                        found.see(*index, &view, known, sight, value);
                    }
                }
            }
            if !zombies.is_empty() && view.status() == Some('Z') {
                for index in &zombies {
                    let known = known_rules.is_some_and(|rules| rules.contains(index));
                    if self.meets(**index, &view, &running) {
                        found.see(**index, &view, known, Sight::Present, 1.0);
                    }
                }
            }
            for scoped in &mut scoped {
                if self.meets(scoped.index, &view, &running) {
                    let known = known_rules.is_some_and(|rules| rules.contains(&scoped.index));
                    self.look(scoped, &view, known, found);
                }
            }
        }
        for scoped in scoped {
            self.close(scoped, host, memory, found);
        }
    }

    /// Whether a process is one of a rule's. Those that run beside it are put together for the first rule that asks for them.
    fn meets(&self, index: usize, view: &ProcessView<'_>, running: &OnceCell<Running>) -> bool {
        let (condition, meter) = (&self.plan.rules()[index].processes, &self.meters[index]);
        if !self.plan.asks_for_ancestors[index] {
            return condition.holds(view, meter);
        }
        let above = || {
            let running = running.get_or_init(|| Running::of(view.host, self.moment.now_ms));
            running.above(view.ppid())
        };
        condition.holds(&AlertProcess::new(view, &above), meter)
    }

    fn scoped(&mut self, index: usize, host: &Host, memory: &mut SeriesMemory) -> Scoped<'p> {
        let rule: &'p Rule = &self.plan.rules()[index];
        let work = match (&rule.kind, &rule.aggregate) {
            (Kind::Rate { .. }, _) => Work::Rate(memory.take_rates(&rule.id, &host.agent_id)),
            (Kind::Change(_), _) => Work::Change(memory.take_changes(&rule.id, &host.agent_id)),
            (_, Some(aggregate)) if aggregate.is_by_host() => {
                let emptied = self.emptied.remove(&index);
                Work::Groups(emptied.unwrap_or_else(|| Groups::new(aggregate)))
            }
            (_, Some(aggregate)) => {
                let groups = self.fleet.entry(index);
                groups.or_insert_with(|| Groups::new(aggregate));
                Work::Fleet
            }
            (_, None) => Work::Count(0),
        };
        Scoped { index, rule, work }
    }

    fn look(
        &mut self,
        scoped: &mut Scoped<'_>,
        view: &ProcessView<'_>,
        known: bool,
        found: &mut Found,
    ) {
        let index = scoped.index;
        match (&mut scoped.work, &scoped.rule.kind) {
            (Work::Count(count), _) => *count += 1,
            (Work::Groups(groups), Kind::Threshold(metric, _)) => {
                groups.add(view, metric.and_then(|metric| (metric.get)(view)));
            }
            (Work::Fleet, Kind::Threshold(metric, _)) => {
                if let Some(groups) = self.fleet.get_mut(&index) {
                    groups.add(view, metric.and_then(|metric| (metric.get)(view)));
                }
            }
            (
                Work::Rate(series),
                Kind::Rate {
                    metric,
                    bounds,
                    window_ms,
                },
            ) => {
                let at_ms = view.host.frame_ns.unwrap_or(0) / 1_000_000;
                let Some(value) = (metric.get)(view) else {
                    if known {
                        found.see(index, view, known, Sight::Missing, 0.0);
                    }
                    return;
                };
                let rate = series.rate(view.id, at_ms, value, *window_ms);
                let sight = match rate {
                    Some(_) => bounds.sight(rate),
                    // After a restart the window is empty: what fires goes on until more is known.
                    None => Some(Sight::Frozen),
                };
                if let Some(sight) = sight {
                    found.see(index, view, known, sight, rate.unwrap_or_default());
                }
            }
            (Work::Change(seen), Kind::Change(field)) => match hash_value(&view.value(*field)) {
                Some(hash) if seen.is_changed(view.id, hash) => {
                    found.see(index, view, known, Sight::Present, 1.0);
                }
                Some(_) => {}
                None => seen.touch(view.id),
            },
            _ => {}
        }
    }

    /// After the last row of a host.
    fn close(
        &mut self,
        scoped: Scoped<'_>,
        host: &Host,
        memory: &mut SeriesMemory,
        found: &mut Found,
    ) {
        let Scoped { index, rule, work } = scoped;
        match work {
            Work::Count(count) => {
                let subject = Subject::host(&host.agent_id);
                let sight = match count {
                    _ if !is_complete(host) => Sight::Missing,
                    0 => Sight::Present,
                    _ => Sight::Absent,
                };
                found.sightings.push(Sighting {
                    rule: index,
                    labels: subject.to_labels(),
                    subject,
                    sight,
                    value: 0.0,
                });
            }
            Work::Groups(mut groups) => {
                let agent_id = Some(&*host.agent_id);
                self.see_groups(index, rule, &mut groups, (agent_id, false), found);
                self.emptied.insert(index, groups);
            }
            Work::Fleet => {}
            Work::Rate(kept) => {
                left_out(found, index, kept.refused);
                memory.put_rates(&rule.id, &host.agent_id, kept);
            }
            Work::Change(kept) => {
                left_out(found, index, kept.refused);
                memory.put_changes(&rule.id, &host.agent_id, kept);
            }
        }
    }

    fn see_groups(
        &self,
        index: usize,
        rule: &Rule,
        groups: &mut Groups,
        (agent_id, partial): (Option<&str>, bool),
        found: &mut Found,
    ) {
        let Kind::Threshold(_, bounds) = &rule.kind else {
            return;
        };
        let any_known = self.has_groups.contains(&index);
        let groups = groups.finish(agent_id, any_known, |value| {
            sight_of_group(bounds, value, partial)
        });
        for group in groups {
            let FoundGroup {
                labels,
                sight,
                value,
            } = group;
            let sighting = Sighting {
                rule: index,
                subject: Subject::Group(labels.clone()),
                sight,
                value,
                labels,
            };
            if sight == Sight::Present {
                found.push_new(sighting);
            } else {
                let known = (index, sighting.labels.clone());
                if self.known.groups.contains(&known) {
                    found.sightings.push(sighting);
                }
            }
        }
    }

    /// After the last host.
    fn finish(mut self, found: &mut Found) {
        for (index, rule) in self.plan.rules().iter().enumerate() {
            if self.meters[index].exhausted() {
                // What was found may be wrong, and what was not found as well.
                found.sightings.retain(|sighting| sighting.rule != index);
                found.partial.insert(index);
                left_out(found, index, 1);
                continue;
            }
            let partial = found.partial.contains(&index);
            if let Some(mut groups) = self.fleet.remove(&index) {
                self.see_groups(index, rule, &mut groups, (None, partial), found);
            }
        }
    }
}

fn left_out(found: &mut Found, index: usize, count: u64) {
    if count > 0 {
        *found.left_out.entry(index).or_default() += count;
    }
}

impl Found {
    /// An alert of a process.
    fn see(&mut self, rule: usize, view: &ProcessView<'_>, known: bool, sight: Sight, value: f64) {
        let subject = Subject::Process(Arc::clone(&view.host.agent_id), view.id);
        if known {
            self.see_known(rule, subject, sight, value);
        } else if sight == Sight::Present {
            self.push_new(Sighting {
                rule,
                subject,
                sight,
                value,
                labels: process_labels(view),
            });
        }
    }

    fn see_known(&mut self, rule: usize, subject: Subject, sight: Sight, value: f64) {
        self.sightings.push(Sighting {
            rule,
            subject,
            sight,
            value,
            labels: LabelSet::default(),
        });
    }
}

fn process_labels(view: &ProcessView<'_>) -> LabelSet {
    labels_of_life(&view.host.agent_id, view.id, &view.process.life)
}

/// What tells the alert of a process apart.
pub(in crate::alerts) fn labels_of_life(agent_id: &str, id: ProcessId, life: &Life) -> LabelSet {
    let mut labels = LabelSet::default()
        .with("agent_id", agent_id)
        .with("pid", id.pid.to_string())
        .with("process_id", id.to_string());
    labels.insert_known("name", life.name().map(lossy).as_deref());
    labels.insert_known("username", life.username());
    labels.insert_known("container_id", life.container_id.as_deref());
    labels
}
