//! The past of each host, a part of the time after the other, and what all of them are together.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::asked::Asked;
use super::grid::{Grid, Looks};
use super::groups::Cells;
use super::lives::{FoundPast, Past, Remembered};
use super::replay::{Labels, Timeline, Tracker, Unseen};
use super::{MAX_CELLS, Work};
use crate::alerts::engine::aside;
use crate::alerts::evaluate::{Subject, down_labels};
use crate::alerts::rule::{Kind, Rule};
use crate::alerts::state::Sight;
use crate::error::Problem;
use crate::history::{PastQuery, past_samples};
use crate::live::{Agent, Host};
use crate::store::history::{HostSamples, LifeFilter};

/// A host, and how far its past was gone through.
pub(super) struct PastHost {
    pub(super) agent_id: Arc<str>,
    /// Without its processes.
    host: Host,
    asked: Asked,
    pub(super) tracker: Tracker,
    remembered: Remembered,
    heard_ms: Option<i64>,
}

/// What a part of a host's past is to others.
#[derive(Default)]
pub(super) struct FoundHost {
    cells: Cells,
    looks: Looks,
    too_much: bool,
}

impl PastHost {
    pub(super) fn new(host: &Host, asked: &Asked, from_ms: i64) -> Self {
        let agent = &host.agent;
        let mut asked = asked.clone();
        asked.ahead_ms = if agent.skewed() {
            agent.clock_offset_ms
        } else {
            0
        };
        Self {
            agent_id: Arc::clone(&host.agent_id),
            host: Host::of_lives(Arc::clone(&host.agent_id), agent, &[]),
            asked,
            tracker: Tracker::default(),
            remembered: Remembered::default(),
            // It was not heard since.
            heard_ms: Some(agent.last_seen_ms)
                .filter(|seen_ms| agent.heard() && *seen_ms < from_ms),
        }
    }

    /// The samples that the evaluations of a part see.
    pub(super) async fn read(&self, work: &Work<'_>, part: &Grid) -> Result<HostSamples, Problem> {
        let patience_ms = self.host.agent.patience_ms();
        let mut asked = PastQuery {
            agent_id: Arc::clone(&self.agent_id),
            from_ms: part.first_ms.saturating_sub(patience_ms),
            to_ms: part.last_ms().saturating_add(1),
            lives: self.asked.lives,
            columns: self.asked.columns.clone(),
            ports: self.asked.ports,
            reaching: self.asked.reaching.clone(),
        };
        if let Kind::HostDown { after_ms } = work.rule.kind {
            asked.from_ms = asked.from_ms.min(part.first_ms.saturating_sub(after_ms));
        }
        past_samples(work.app, &asked).await
    }

    /// Who ran at the evaluations of a part, and below whom.
    pub(super) async fn read_running(
        &self,
        work: &Work<'_>,
        part: &Grid,
    ) -> Result<HostSamples, Problem> {
        let patience_ms = self.host.agent.patience_ms();
        let asked = PastQuery {
            agent_id: Arc::clone(&self.agent_id),
            from_ms: part.first_ms.saturating_sub(patience_ms),
            to_ms: part.last_ms().saturating_add(1),
            lives: LifeFilter::All,
            columns: vec![Column::Ppid],
            ports: false,
            reaching: Vec::new(),
        };
        past_samples(work.app, &asked).await
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.host.agent
    }

    pub(super) fn looks(&self, part: &Grid, samples: &HostSamples, silence_ms: i64) -> Looks {
        let patience_ms = self.host.agent.patience_ms().max(silence_ms);
        Looks::new(part, samples, patience_ms, self.heard_ms)
    }

    /// Goes on through a part.
    pub(super) async fn advance(
        mut self,
        work: &Work<'_>,
        part: Grid,
    ) -> Result<(Self, FoundHost), Problem> {
        let samples = self.read(work, &part).await?;
        let interval_ms = i64::from(self.host.agent.interval_ms);
        let tolerance_ms = work.tolerance_ms(interval_ms);
        let rule = Arc::clone(&work.rule);
        let advanced = aside(move || {
            let found = self.follow(&rule, &part, &samples, tolerance_ms);
            (self, found)
        });
        Ok(advanced.await)
    }

    fn follow(
        &mut self,
        rule: &Rule,
        part: &Grid,
        samples: &HostSamples,
        tolerance_ms: i64,
    ) -> FoundHost {
        let silence_ms = crate::history::silence_ms(&samples.sample_ms);
        let looks = self.looks(part, samples, silence_ms);
        self.heard_ms = looks.last_heard_ms();
        let mut found = FoundPast::default();
        if let Kind::HostDown { after_ms } = rule.kind {
            found.timelines.push(self.down(part, &looks, after_ms));
            self.tracker
                .advance(rule, part, tolerance_ms, found.timelines, &|_| {
                    Unseen::Absent
                });
            return FoundHost::default();
        }
        let whole = Past {
            rule,
            asked: &self.asked,
            host: &self.host,
            samples,
            grid: part,
            looks: &looks,
        };
        found = whole.find(&mut self.remembered);
        if found.too_much {
            return FoundHost {
                too_much: true,
                ..FoundHost::default()
            };
        }
        let mut cells = found.cells;
        let mut timelines = found.timelines;
        self.tracker.evaluations += found.evaluations;
        match (&rule.kind, &rule.aggregate) {
            (Kind::Absence, _) => {
                timelines.push(std::mem::take(&mut cells).absences(&self.agent_id, part, &looks));
            }
            (Kind::Threshold(_, bounds), Some(aggregate)) if aggregate.is_by_host() => {
                let looked: Vec<bool> = looks.frozen.iter().map(|frozen| !frozen).collect();
                let agent_id = Some(&*self.agent_id);
                timelines = std::mem::take(&mut cells).timelines(
                    aggregate,
                    bounds,
                    part,
                    agent_id,
                    (&looked, &[]),
                );
            }
            _ => {}
        }
        self.tracker
            .advance(rule, part, tolerance_ms, timelines, &|_| {
                Unseen::Frozen(&looks.frozen)
            });
        FoundHost {
            cells,
            looks,
            too_much: false,
        }
    }

    /// When it was silent for too long.
    fn down(&self, part: &Grid, looks: &Looks, after_ms: i64) -> Timeline {
        let labels = Labels::Known(down_labels(&self.host));
        let mut timeline = Timeline::new(Subject::host(&self.agent_id), labels);
        for (at, heard_ms) in (0..).zip(&looks.heard_ms) {
            let silent_ms = heard_ms.map_or(0, |heard_ms| part.at_ms(at) - heard_ms);
            if silent_ms > after_ms.max(self.host.agent.patience_ms()) {
                timeline.push((at, at + 1), Sight::Present, silent_ms as f64 / 1000.0);
            }
        }
        timeline
    }
}

/// A part of the time, of all hosts.
pub(super) struct Fleet {
    part: Grid,
    cells: Cells,
    /// Some host is silent; some host is heard.
    partial: Vec<bool>,
    looked: Vec<bool>,
    /// Nobody waits for a host that is silent for longer.
    keep_stale_for_ms: i64,
}

impl Fleet {
    pub(super) fn new(part: Grid, rule: &Rule) -> Self {
        let none = vec![false; part.count as usize];
        Self {
            part,
            cells: Cells::default(),
            partial: none.clone(),
            looked: none,
            keep_stale_for_ms: rule.keep_stale_for_ms,
        }
    }

    /// Whether it is more than may be kept.
    pub(super) fn add(&mut self, found: FoundHost) -> bool {
        let looks = found.looks.frozen.iter().zip(&found.looks.heard_ms);
        for (number, (frozen, heard_ms)) in (0..).zip(looks) {
            let silent_ms = heard_ms.map(|heard_ms| self.part.at_ms(number) - heard_ms);
            let counts = silent_ms.is_some_and(|silent_ms| silent_ms < self.keep_stale_for_ms);
            let at = number as usize;
            self.partial[at] |= *frozen && counts;
            self.looked[at] |= !frozen;
        }
        self.cells.merge(found.cells);
        found.too_much || self.cells.count > MAX_CELLS
    }

    pub(super) fn finish(self, rule: &Rule, tracker: &mut Tracker) {
        let (Kind::Threshold(_, bounds), Some(aggregate)) = (&rule.kind, &rule.aggregate) else {
            return;
        };
        if aggregate.is_by_host() {
            return;
        }
        let when = (&*self.looked, &*self.partial);
        let timelines = self
            .cells
            .timelines(aggregate, bounds, &self.part, None, when);
        let tolerance_ms = super::TOLERATED_INTERVALS * self.part.interval_ms;
        tracker.advance(rule, &self.part, tolerance_ms, timelines, &|_| {
            Unseen::Partial(&self.partial)
        });
    }
}
