//! Rules about what happened, on what is stored of it: events are taken in as they arrived, in the order of the log, by the same
//! memory that the present has.

use std::collections::HashMap;
use std::sync::Arc;

use super::grid::{Grid, Looks};
use super::hosts::PastHost;
use super::replay::{Labels, Outcome, Timeline, Tracker, Unseen};
use super::{PART_MS, Work};
use crate::alerts::engine::aside;
use crate::alerts::evaluate::{EventMemory, Found, Plan, Running, Subject};
use crate::alerts::rule::Kind;
use crate::error::Problem;
use crate::store::history::HostSamples;
use crate::store::{EventQuery, Position, StoredEvents};

/// Batches read at a time.
const CHUNK: u32 = 256;
/// Events of one backtest.
const MAX_EVENTS: usize = 2_000_000;
/// A batch may wait so long in a spool before it arrives, and its events still be news.
const LATE_MS: i64 = 600_000;

pub(super) async fn backtest(
    work: &Work<'_>,
    hosts: Vec<PastHost>,
) -> Result<(Outcome, i64), Problem> {
    let window_ms = match work.rule.kind {
        Kind::CrashLoop { window_ms, .. } => window_ms,
        _ => 0,
    };
    let grid = work.grid;
    let mut log = Log::new(work, hosts).await?;
    let query = EventQuery {
        agent_id: log.only_host(),
        kinds: log.plan.wanted_kinds().0,
        since_ms: Some(grid.first_ms.saturating_sub(window_ms.max(LATE_MS))),
        ..EventQuery::default()
    };
    let (mut after, mut read) = (Position::START, 0_usize);
    loop {
        let batches = work.app.store.events_after(&query, after, CHUNK).await?;
        let Some(last) = batches.last() else { break };
        after = Position::after_batch(last.slice, last.batch);
        read += batches
            .iter()
            .map(|batch| batch.events.len())
            .sum::<usize>();
        let is_over = last.received_ms > grid.last_ms();
        log = log.take(work, batches).await?;
        if is_over {
            break;
        }
        if read > MAX_EVENTS {
            let reached = log.next.saturating_sub(1);
            return Ok(log.finish(work, reached));
        }
    }
    log.evaluate_until(grid.count);
    Ok(log.finish(work, grid.count.saturating_sub(1)))
}

/// How far the log was read.
struct Log {
    plan: Arc<Plan>,
    grid: Grid,
    hosts: HashMap<Arc<str>, PastOf>,
    memory: EventMemory,
    /// The next evaluation to be made.
    next: u32,
    timelines: HashMap<Subject, Timeline>,
}

struct PastOf {
    host: PastHost,
    looks: Looks,
    /// Who ran, in a part of the time.
    running: Option<(Grid, Looks, HostSamples)>,
}

impl Log {
    async fn new(work: &Work<'_>, hosts: Vec<PastHost>) -> Result<Self, Problem> {
        let mut known = HashMap::new();
        for host in hosts {
            let samples = host.read(work, &work.grid).await?;
            let silence_ms = crate::history::silence_ms(&samples.sample_ms);
            let past = PastOf {
                looks: host.looks(&work.grid, &samples, silence_ms),
                host,
                running: None,
            };
            known.insert(Arc::clone(&past.host.agent_id), past);
        }
        Ok(Self {
            plan: Arc::new(Plan::new([Arc::clone(&work.rule)])),
            grid: work.grid,
            hosts: known,
            memory: EventMemory::default(),
            next: 0,
            timelines: HashMap::new(),
        })
    }

    fn only_host(&self) -> Option<String> {
        let mut hosts = self.hosts.keys();
        let first = hosts.next()?;
        hosts.next().is_none().then(|| first.to_string())
    }

    /// Takes in what comes next.
    async fn take(mut self, work: &Work<'_>, batches: Vec<StoredEvents>) -> Result<Self, Problem> {
        if self.plan.needs_ancestors() {
            for batch in &batches {
                let evaluation = self.grid.after(batch.received_ms);
                if let Some(past) = self.hosts.get_mut(&batch.agent_id) {
                    past.read_running(work, self.grid.at_ms(evaluation)).await?;
                }
                // What comes later may need another part.
                self = self.feed(batch.clone()).await;
            }
            return Ok(self);
        }
        let log = aside(move || {
            for batch in &batches {
                self.feed_one(batch);
            }
            self
        });
        Ok(log.await)
    }

    async fn feed(mut self, batch: StoredEvents) -> Self {
        aside(move || {
            self.feed_one(&batch);
            self
        })
        .await
    }

    fn feed_one(&mut self, batch: &StoredEvents) {
        let evaluation = self.grid.after(batch.received_ms);
        // What arrived before the first evaluation was evaluated before it, and only a crash loop looks back.
        let is_old = batch.received_ms <= self.grid.first_ms - self.grid.interval_ms;
        let is_loop = matches!(self.plan.rules()[0].kind, Kind::CrashLoop { .. });
        if evaluation >= self.grid.count || (is_old && !is_loop) {
            return;
        }
        self.evaluate_until(evaluation);
        let Some(past) = self.hosts.get(&batch.agent_id) else {
            return;
        };
        let at_ms = if is_old {
            batch.received_ms
        } else {
            self.grid.at_ms(evaluation)
        };
        let plan = Arc::clone(&self.plan);
        self.memory
            .take(&plan, past.host.agent(), batch, at_ms, &|| {
                past.who_ran(at_ms)
            });
    }

    /// Makes the evaluations before one.
    fn evaluate_until(&mut self, evaluation: u32) {
        while self.next < evaluation {
            let mut found = Found::default();
            self.memory
                .find(&self.plan, self.grid.at_ms(self.next), &mut found);
            self.memory.settle();
            for sighting in found.sightings {
                let labels = || Labels::Known(sighting.labels.clone());
                let timeline = self
                    .timelines
                    .entry(sighting.subject.clone())
                    .or_insert_with(|| Timeline::new(sighting.subject.clone(), labels()));
                timeline.push((self.next, self.next + 1), sighting.sight, sighting.value);
            }
            self.next += 1;
        }
    }

    fn finish(self, work: &Work<'_>, last: u32) -> (Outcome, i64) {
        let mut tracker = Tracker::default();
        let mut grid = self.grid;
        grid.count = grid.count.min(last + 1);
        let hosts = &self.hosts;
        let unseen = |subject: &Subject| match subject.agent_id().and_then(|id| hosts.get(id)) {
            Some(past) => Unseen::Frozen(&past.looks.frozen),
            None => Unseen::Absent,
        };
        let timelines = self.timelines.into_values().collect();
        tracker.advance(&work.rule, &grid, work.tolerance_ms(0), timelines, &unseen);
        let mut outcome = Outcome::default();
        tracker.finish(&mut outcome);
        (outcome, grid.last_ms())
    }
}

impl PastOf {
    /// Makes sure that it is known who ran at an evaluation.
    async fn read_running(&mut self, work: &Work<'_>, at_ms: i64) -> Result<(), Problem> {
        let covers = |part: &Grid| (part.first_ms..=part.last_ms()).contains(&at_ms);
        if self.running.as_ref().is_some_and(|(part, ..)| covers(part)) {
            return Ok(());
        }
        let until_ms = at_ms.saturating_add(PART_MS).min(work.grid.last_ms());
        let part = Grid::new(at_ms, until_ms.max(at_ms), work.grid.interval_ms);
        let samples = self.host.read_running(work, &part).await?;
        let silence_ms = crate::history::silence_ms(&samples.sample_ms);
        let looks = self.host.looks(&part, &samples, silence_ms);
        self.running = Some((part, looks, samples));
        Ok(())
    }

    /// Who ran at an evaluation, as far as samples tell.
    fn who_ran(&self, at_ms: i64) -> Running {
        let Some((part, looks, samples)) = &self.running else {
            return Running::default();
        };
        let Some(sample) = looks.sample(part.after(at_ms)) else {
            return Running::default();
        };
        let there = samples
            .lives
            .iter()
            .filter(|life| (life.first..=life.last).contains(&sample));
        Running::of_lives(there.filter_map(|life| {
            let told = life.value_at(0, sample).map(|ppid| ppid as u32);
            let before = life
                .before
                .iter()
                .find(|(until, _)| *until as usize > sample);
            let was = before.map_or(&life.life, |(_, life)| life);
            Some((was.id?.pid, told.or(was.ppid), was.image.as_ref()?))
        }))
    }
}
