//! What a rule would have done: the states that its alerts would have gone through over what is stored. Conditions, groups, events
//! and states are those of the present; only what they look at is read from history.

mod asked;
mod grid;
mod groups;
mod happened;
mod hosts;
mod lives;
mod replay;
mod sent;

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::book::TOLERATED_INTERVALS;
use super::labels::LabelSet;
use super::rule::{Kind, Rule};
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use grid::Grid;
use hosts::PastHost;
use replay::{Outcome, Tracker};

pub(super) use sent::sent;

/// Hosts of one backtest.
const MAX_HOSTS: usize = 200;
/// Time of samples in memory at once.
const PART_MS: i64 = 6 * 3_600_000;
/// Looks at single values or alerts in one backtest: some seconds of one core.
const MAX_EVALUATIONS: u64 = 60_000_000;
/// Alerts, and times that they fire, that are kept in memory.
const MAX_ALERTS: usize = 100_000;
/// Groups times evaluations, or values beyond a bound, of a part of one host, or of all of them together.
const MAX_CELLS: usize = 4_000_000;

/// When an alert would have fired.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    pub(super) labels: LabelSet,
    pub(super) active_at_ms: i64,
    pub(super) fired_at_ms: i64,
    /// `None` when it would fire still.
    pub(super) resolved_at_ms: Option<i64>,
    /// The most extreme value meanwhile.
    pub(super) value: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Backtest {
    pub(super) hosts: usize,
    /// The last evaluation.
    pub(super) until_ms: i64,
    /// In the order in which they would have fired.
    pub(super) episodes: Vec<Episode>,
    /// Alerts that would have fired more than once.
    pub(super) flapping: usize,
    /// Alerts that would have been pending and never fired.
    pub(super) only_pending: usize,
    /// What was left out, and why.
    pub(super) cut_off: Option<String>,
}

/// Tries a rule on the past; `Err` inside says why that cannot be done with this one.
pub(super) async fn backtest(
    app: &App,
    rule: &Rule,
    from_ms: i64,
    to_ms: i64,
) -> Result<Result<Backtest, String>, Problem> {
    let asked = match asked::asked(rule) {
        Ok(asked) => asked,
        Err(reason) => return Ok(Err(reason)),
    };
    let _turn = app.past_turn().await?;
    let mut hosts: Vec<PastHost> = app
        .live
        .hosts(None)
        .iter()
        .filter_map(|entry| {
            let host = entry.read();
            let takes = rule.hosts.takes(&host.agent_id, &host.agent);
            takes.then(|| PastHost::new(&host, &asked, from_ms))
        })
        .collect();
    hosts.sort_by(|one, other| one.agent_id.cmp(&other.agent_id));
    let known = hosts.len();
    let is_over_hosts = rule
        .aggregate
        .as_ref()
        .is_some_and(|aggregate| !aggregate.is_by_host());
    if known > MAX_HOSTS && is_over_hosts {
        return Ok(Err(format!(
            "it puts {known} hosts together, and one answer looks back on at most {MAX_HOSTS}; choose some with agent_id"
        )));
    }
    hosts.truncate(MAX_HOSTS);
    let hosts_cut = (known > MAX_HOSTS).then(|| {
        format!(
            "only the first {MAX_HOSTS} of {known} hosts were looked at; choose some with agent_id"
        )
    });
    let looked = hosts.len();
    let grid = Grid::new(from_ms, to_ms, app.alerts.eval_interval_ms);
    let work = Work {
        app,
        rule: Arc::new(rule.clone()),
        grid,
    };
    let (outcome, until_ms) = if matches!(rule.kind, Kind::Event { .. } | Kind::CrashLoop { .. }) {
        happened::backtest(&work, hosts).await?
    } else {
        work.samples(hosts, &asked).await?
    };
    let time_cut = (until_ms < grid.last_ms()).then(|| {
        format!(
            "it costs more than one answer may: only the time until {} was looked at; choose hosts with agent_id, or a shorter time",
            rfc3339_ms(until_ms)
        )
    });
    let mut episodes = outcome.episodes;
    episodes.sort_by(|one, other| {
        (one.fired_at_ms, &one.labels).cmp(&(other.fired_at_ms, &other.labels))
    });
    let cuts: Vec<String> = hosts_cut.into_iter().chain(time_cut).collect();
    Ok(Ok(Backtest {
        hosts: looked,
        until_ms: until_ms.min(to_ms),
        episodes,
        flapping: outcome.flapping,
        only_pending: outcome.only_pending,
        cut_off: (!cuts.is_empty()).then(|| cuts.join("; ")),
    }))
}

/// What is to be done.
struct Work<'a> {
    app: &'a App,
    rule: Arc<Rule>,
    grid: Grid,
}

impl Work<'_> {
    /// Goes through the samples of all hosts, a part of the time after the other; until when it came.
    async fn samples(
        &self,
        mut hosts: Vec<PastHost>,
        asked: &asked::Asked,
    ) -> Result<(Outcome, i64), Problem> {
        let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
        let mut over_hosts = Tracker::default();
        let mut until_ms = self.grid.first_ms;
        for part in self.grid.parts(PART_MS, asked.warm_ms) {
            let advancing = hosts.into_iter().map(|host| host.advance(self, part));
            let mut advanced = stream::iter(advancing).buffer_unordered(at_a_time);
            let (mut next, mut fleet) = (Vec::new(), hosts::Fleet::new(part, &self.rule));
            let mut too_much = false;
            while let Some(host) = advanced.next().await {
                let (host, found) = host?;
                too_much |= fleet.add(found);
                next.push(host);
            }
            hosts = next;
            if too_much {
                break;
            }
            fleet.finish(&self.rule, &mut over_hosts);
            until_ms = part.last_ms();
            let trackers = || hosts.iter().map(|host| &host.tracker).chain([&over_hosts]);
            let evaluations: u64 = trackers().map(|tracker| tracker.evaluations).sum();
            let alerts: usize = trackers().map(Tracker::len).sum();
            if evaluations > MAX_EVALUATIONS || alerts > MAX_ALERTS {
                break;
            }
        }
        let mut outcome = Outcome::default();
        for host in hosts {
            host.tracker.finish(&mut outcome);
        }
        over_hosts.finish(&mut outcome);
        outcome.forget_after(until_ms);
        Ok((outcome, until_ms))
    }

    /// How long data of a host may be missing.
    fn tolerance_ms(&self, interval_ms: i64) -> i64 {
        TOLERATED_INTERVALS * interval_ms.max(self.grid.interval_ms)
    }
}
