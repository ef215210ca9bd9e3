//! What is to be known of a host before its past is read: how its clock stands, and when nobody watched it.

use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::gaps::{Outages, Presence, started_ms};
use super::range::Range;
use crate::app::App;
use crate::batch::{EventKind, KindSet, Loss};
use crate::error::Problem;
use crate::hosts;
use crate::live::{AgentStatus, Host};
use crate::store::history::{HostSamples, LifeFilter, SampleQuery};
use crate::store::{EventQuery, Position};

/// Batches of losses read at a time.
const CHUNK: u32 = 256;
/// Losses read for one answer: enough for a ring that overflows every minute for a day. Older ones are read first.
const MAX_LOSSES: usize = 2_000;

/// A host whose past is asked for.
#[derive(Clone, Debug)]
pub(super) struct PastHost {
    pub(super) agent_id: Arc<str>,
    /// How far the host's clock is ahead of the server's, as measured.
    clock_offset_ms: i64,
    /// The same where the two are known to disagree: what is taken out of times that are shown.
    pub(super) ahead_ms: i64,
    pub(super) memory_total_bytes: Option<u64>,
    /// How long it may be silent.
    pub(super) patience_ms: i64,
    /// Beginning of its boot's id, and when that boot was.
    boot: Option<(u32, i64)>,
    outages: Outages,
    /// By its own clock.
    pub(super) now_ms: i64,
}

/// The process that a path names: by its pid, or by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) pid: u32,
    pub(super) id: Option<ProcessId>,
}

impl Subject {
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        if let Ok(pid) = text.parse() {
            return Ok(Self { pid, id: None });
        }
        match text.parse::<ProcessId>() {
            Ok(id) => Ok(Self {
                pid: id.pid,
                id: Some(id),
            }),
            Err(_) => Err(Problem::bad_request(format!(
                "pid={text} is neither a pid nor a process_id; write 1234, or 1234-567890-0f2c9f1e as in GET /api/v1/processes"
            ))),
        }
    }

    pub(super) fn filter(self) -> LifeFilter {
        self.id.map_or(LifeFilter::Pid(self.pid), LifeFilter::Id)
    }
}

impl PastHost {
    /// The host of a request; it may be left out when there is only one.
    pub(super) fn find(app: &App, agent_id: Option<&str>) -> Result<Self, Problem> {
        let entry = hosts::find(app, agent_id)?;
        let host = entry.read();
        Ok(Self::of(&host, app.clock.now_ms()))
    }

    fn of(host: &Host, now_ms: i64) -> Self {
        let agent = &host.agent;
        let ahead_ms = if agent.skewed() {
            agent.clock_offset_ms
        } else {
            0
        };
        let now_ms_there = now_ms.saturating_add(ahead_ms);
        let mut outages = Outages::default();
        for gap in &agent.gaps {
            note(&mut outages, &gap.loss, gap.until_ns);
        }
        if agent.status(now_ms) == AgentStatus::Stale && agent.last_built_ms != 0 {
            outages.agent_down.push(Range {
                from_ms: agent.last_built_ms,
                to_ms: i64::MAX,
            });
        }
        let boot = agent.boot_id.zip(agent.totals);
        Self {
            agent_id: Arc::clone(&host.agent_id),
            clock_offset_ms: agent.clock_offset_ms,
            ahead_ms,
            memory_total_bytes: agent.totals.map(|totals| totals.memory_total_bytes),
            patience_ms: agent.patience_ms(),
            boot: boot
                .filter(|(_, totals)| totals.boot_ns != 0)
                .map(|(boot, totals)| (boot.short(), totals.boot_ns.div_euclid(1_000_000))),
            outages,
            now_ms: now_ms_there,
        }
    }

    /// Samples by the host's clock, with all columns of the query.
    pub(super) fn query(&self, range: Range, lives: LifeFilter) -> SampleQuery {
        SampleQuery {
            agent_id: Arc::clone(&self.agent_id),
            from_ms: range.from_ms,
            to_ms: range.to_ms,
            clock_offset_ms: self.clock_offset_ms,
            lives,
            columns: Vec::new(),
            ports: false,
            short_lived: false,
            reaching: Vec::new(),
        }
    }

    /// When nobody watched within a range by the host's clock: the losses that are stored are added to what is remembered.
    pub(super) async fn outages(&self, app: &App, range: Range) -> Result<Outages, Problem> {
        let mut outages = self.outages.clone();
        let query = EventQuery {
            agent_id: Some(self.agent_id.to_string()),
            kinds: KindSet::EMPTY.with(&EventKind::Loss(Box::default())).0,
            since_ms: Some(range.from_ms),
            ..EventQuery::default()
        };
        let mut after = Position::START;
        let mut read = 0;
        loop {
            let batches = app.store.events_after(&query, after, CHUNK).await?;
            let Some(last) = batches.last() else { break };
            after = Position::after_batch(last.slice, last.batch);
            for event in batches.iter().flat_map(|stored| &stored.events) {
                if let EventKind::Loss(loss) = &event.kind {
                    note(&mut outages, loss, event.ts_ns);
                    read += 1;
                }
            }
            if read >= MAX_LOSSES {
                break;
            }
        }
        Ok(outages)
    }

    /// When a process was there. Where no sample has it, its id and the present may tell.
    pub(super) fn presences(
        &self,
        app: &App,
        subject: Subject,
        samples: &HostSamples,
        silence_ms: i64,
    ) -> Vec<Presence> {
        if !samples.lives.is_empty() {
            let lives = samples.lives.iter();
            return lives
                .filter_map(|life| Presence::of(life, samples, silence_ms))
                .collect();
        }
        if let Some(started_ns) = self.running_since_ns(app, subject) {
            return vec![Presence {
                from_ms: started_ns.div_euclid(1_000_000),
                to_ms: None,
            }];
        }
        let started_ms = subject.id.and_then(|id| started_ms(id, self.boot));
        match started_ms {
            Some(started_ms) if !samples.sample_ms.is_empty() => vec![Presence {
                from_ms: started_ms,
                to_ms: Some(started_ms),
            }],
            _ => Vec::new(),
        }
    }

    fn running_since_ns(&self, app: &App, subject: Subject) -> Option<i64> {
        let entry = app.live.get(&self.agent_id)?;
        let host = entry.read();
        let mut running = host.views(0).filter(|view| match subject.id {
            Some(id) => view.id == id,
            None => view.id.pid == subject.pid,
        });
        running.find_map(|view| view.process.life.started_ns)
    }

    /// When a life began, by its id.
    pub(super) fn started_ms(&self, id: ProcessId) -> Option<i64> {
        started_ms(id, self.boot)
    }
}

/// Only what keeps samples from being there is an outage: a lost record of an event leaves none.
fn note(outages: &mut Outages, loss: &Loss, until_ns: i64) {
    let range = Range {
        from_ms: loss.from_ns.div_euclid(1_000_000),
        to_ms: until_ns.div_euclid(1_000_000),
    };
    match (&*loss.kind, &*loss.reason) {
        (_, "agent_down") => outages.agent_down.push(range),
        ("batch" | "sample", _) => outages.dropped.push(range),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_pid_or_id() {
        assert_eq!(
            Subject::read("12").expect("a pid").filter(),
            LifeFilter::Pid(12)
        );
        let subject = Subject::read("12-34-0f0f0f0f").expect("an id");
        assert!(matches!(subject.filter(), LifeFilter::Id(id) if id.pid == 12));
        for text in ["", "x", "12-", "-1", "4294967296"] {
            let problem = Subject::read(text).expect_err(text);
            assert!(problem.detail.starts_with("pid="), "{}", problem.detail);
        }
    }
}
