//! From what was written to what is evaluated: everything that can be wrong with a rule is found here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::aggregate::{Aggregate, aggregate_of, check_aggregate};
use super::check::{NAME_RULE, check_keys, check_name, id_of, labels_of};
use super::duration::{duration, for_ms};
use super::kind::{Kind, kind_of};
use super::{AlertProcess, HostScope, RuleBody, RuleError, Template, scope};
use crate::alerts::labels::{LabelSet, is_label_name};
use crate::query::Condition;

/// A rule that was checked.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub kind: Kind,
    pub aggregate: Option<Aggregate>,
    pub hosts: HostScope,
    /// Of processes; that of events is in their kind.
    pub processes: Condition,
    pub for_ms: i64,
    pub keep_firing_for_ms: i64,
    pub keep_stale_for_ms: i64,
    /// What every alert of it has, besides what tells them apart.
    pub labels: LabelSet,
    pub annotations: Vec<(String, Template)>,
    pub enabled: bool,
    pub source: Source,
    /// As written, with its id.
    pub body: RuleBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Api,
    /// Written there, and read-only here.
    File(PathBuf),
}

/// Events are over as soon as they happened: their alerts fire for so long, unless the rule says otherwise.
const EVENT_KEEP_MS: i64 = 300_000;
/// What a silent host hides may still be; a host that is silent for so long is no more.
const STALE_KEEP_MS: i64 = 86_400_000;

impl Rule {
    pub fn new(mut body: RuleBody, source: Source) -> Result<Self, RuleError> {
        let id = id_of(&body)?;
        body.id = Some(id.clone());
        check_name(&body)?;
        check_keys(&body)?;
        let kind = kind_of(&body)?;
        let aggregate = body.aggregate.as_ref().map(aggregate_of).transpose()?;
        check_aggregate(body.kind, aggregate.as_ref(), &kind)?;
        let for_ms = for_ms(&body)?;
        let keep_ms = duration(body.keep_firing_for.as_deref(), "keep_firing_for")?;
        let stale_ms = duration(body.keep_stale_for.as_deref(), "keep_stale_for")?;
        let is_momentary = matches!(kind, Kind::Event { .. } | Kind::Change(_));
        let labels = labels_of(&id, &body)?;
        let about_events = matches!(kind, Kind::Event { .. } | Kind::CrashLoop { .. });
        let mut rule = Self {
            hosts: HostScope::new(&body)?,
            processes: if about_events {
                Condition::always()
            } else {
                scope::condition::<AlertProcess<'_>>(&body)?
            },
            for_ms,
            keep_firing_for_ms: keep_ms.unwrap_or(if is_momentary { EVENT_KEEP_MS } else { 0 }),
            keep_stale_for_ms: stale_ms.unwrap_or(STALE_KEEP_MS),
            enabled: body.enabled,
            annotations: Vec::new(),
            id,
            kind,
            aggregate,
            labels,
            source,
            body,
        };
        rule.annotations = rule.templates()?;
        Ok(rule)
    }

    /// The names of what tells its alerts apart.
    pub fn identity(&self) -> Vec<&'static str> {
        if let Some(aggregate) = &self.aggregate {
            return aggregate.by.iter().map(|label| label.name()).collect();
        }
        match self.kind {
            Kind::Absence | Kind::HostDown { .. } => vec!["agent_id"],
            Kind::Event { .. } => vec!["agent_id", "name", "type"],
            Kind::CrashLoop { .. } => vec!["agent_id", "name"],
            _ => vec![
                "agent_id",
                "name",
                "pid",
                "process_id",
                "username",
                "container_id",
            ],
        }
    }

    /// Whether its alerts say that a host is gone.
    pub fn is_host_down(&self) -> bool {
        matches!(self.kind, Kind::HostDown { .. })
    }

    /// Whether it looks at the processes that run.
    pub fn is_about_processes(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Event { .. } | Kind::CrashLoop { .. } | Kind::HostDown { .. }
        )
    }

    /// Whether it may ask for ancestors.
    pub fn asks_for_ancestors(&self) -> bool {
        let source = self.body.q.as_deref().unwrap_or_default();
        source.contains(scope::ANCESTORS)
    }

    /// Whether it looks at the same as another one does, so that what was remembered for that is good for this.
    pub fn looks_as(&self, other: &Self) -> bool {
        let looks = |rule: &Self| RuleBody {
            name: String::new(),
            operator: None,
            threshold: None,
            recovery: None,
            count: None,
            r#for: None,
            duration: None,
            keep_firing_for: None,
            keep_stale_for: None,
            severity: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ..rule.body.clone()
        };
        looks(self) == looks(other)
    }

    /// Of two values that it fires at, the one that is farther away from where it does not.
    pub(in crate::alerts) fn more_extreme(&self, one: f64, other: f64) -> f64 {
        match &self.kind {
            Kind::Threshold(_, bounds) | Kind::Rate { bounds, .. }
                if bounds.operator.is_downward() =>
            {
                one.min(other)
            }
            _ => one.max(other),
        }
    }

    pub fn annotations(&self, labels: &LabelSet, value: f64) -> LabelSet {
        let filled = self.annotations.iter();
        filled
            .map(|(name, template)| (name.clone(), template.fill(labels, value)))
            .collect()
    }

    fn templates(&self) -> Result<Vec<(String, Template)>, RuleError> {
        let known: Vec<String> = self
            .labels
            .iter()
            .map(|(name, _)| name.to_owned())
            .chain(self.identity().into_iter().map(str::to_owned))
            .collect();
        let pairs = self.body.annotations.iter();
        pairs
            .map(|(name, text)| {
                let key = format!("annotations.{name}");
                if !is_label_name(name) {
                    return Err(RuleError::new(key, NAME_RULE));
                }
                let template = Template::parse(text, &known);
                let template = template.map_err(|message| RuleError::new(key, message))?;
                Ok((name.clone(), template))
            })
            .collect()
    }
}
