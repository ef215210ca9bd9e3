//! Rules put together by what they look at, so that each process is looked at once.

use std::sync::Arc;

use crate::alerts::rule::{Bounds, Kind, Metric, Rule};
use crate::batch::KindSet;
use crate::live::Common;

/// All rules that are evaluated.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    rules: Vec<Arc<Rule>>,
    /// Rules that compare one metric of each process.
    pub(super) by_metric: Vec<(&'static Metric, Vec<(usize, Bounds)>)>,
    pub(super) zombies: Vec<usize>,
    /// Rules that look at each process of their scope: groups, absence, rates and changes.
    pub(super) scoped: Vec<usize>,
    pub(super) events: Vec<usize>,
    /// Some rule about events asks for ancestors.
    pub(super) needs_ancestors: bool,
    /// Of each rule, whether it asks for the ancestors of processes.
    pub(super) asks_for_ancestors: Vec<bool>,
    /// What the scopes of `scoped` look at besides the row.
    pub(super) needed: Vec<(Common, u64)>,
}

impl Plan {
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let mut plan = Self {
            rules: rules.into_iter().filter(|rule| rule.enabled).collect(),
            ..Self::default()
        };
        for index in 0..plan.rules.len() {
            plan.place(index);
        }
        let asks = plan.rules.iter().map(|rule| rule.asks_for_ancestors());
        plan.asks_for_ancestors = asks.collect();
        plan.needed = Common::ALL
            .into_iter()
            .filter_map(|common| {
                let conditions = plan
                    .scoped
                    .iter()
                    .map(|index| &plan.rules[*index].processes);
                let signatures =
                    conditions.filter_map(|condition| condition.remembers(common as usize));
                let signature = signatures.reduce(|one, other| one & other)?;
                Some((common, signature))
            })
            .collect();
        plan
    }

    fn place(&mut self, index: usize) {
        let rule = Arc::clone(&self.rules[index]);
        match &rule.kind {
            Kind::Threshold(Some(metric), bounds) if rule.aggregate.is_none() => {
                let known = self
                    .by_metric
                    .iter_mut()
                    .find(|(known, _)| known.name == metric.name);
                match known {
                    Some((_, rules)) => rules.push((index, *bounds)),
                    None => self.by_metric.push((metric, vec![(index, *bounds)])),
                }
            }
            Kind::Zombie => self.zombies.push(index),
            Kind::Threshold(..) | Kind::Rate { .. } | Kind::Absence | Kind::Change(_) => {
                self.scoped.push(index);
            }
            Kind::Event { .. } | Kind::CrashLoop { .. } => {
                self.events.push(index);
                self.needs_ancestors |= rule.asks_for_ancestors();
            }
            Kind::HostDown { .. } => {}
        }
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Kinds of events that are read. Who ran above others is learnt from how they begin, and from ends: a process that only forks
    /// begins without an event.
    pub fn wanted_kinds(&self) -> KindSet {
        let mut wanted = KindSet::EMPTY;
        for index in &self.events {
            let kinds = match self.rules[*index].kind {
                Kind::Event { kinds, .. } => kinds,
                _ => KindSet::of_name("exit").unwrap_or(KindSet::EMPTY),
            };
            wanted = wanted.union(kinds);
        }
        if self.needs_ancestors {
            let known = ["fork", "exec", "exit"]
                .map(|name| KindSet::of_name(name).unwrap_or(KindSet::EMPTY));
            wanted = known.into_iter().fold(wanted, KindSet::union);
        }
        wanted
    }

    /// Whether some rule asks for ancestors.
    pub fn needs_ancestors(&self) -> bool {
        self.needs_ancestors
    }

    /// Whether anybody wants to know what happens.
    pub fn reads_events(&self) -> bool {
        !self.events.is_empty()
    }
}
