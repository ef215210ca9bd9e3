//! What a rule would have done: its condition on stored samples, and the states that its alerts would have gone through.

mod presence;
mod replay;

use crate::app::App;
use crate::error::Problem;
use crate::history::{PastMetric, PastRuns};

use super::engine::aside;
use super::labels::LabelSet;
use super::rule::{AlertProcess, Bounds, Kind, Operator, Rule};
use presence::Presences;
use replay::{Replayed, replay};

/// Hosts of one backtest.
const MAX_HOSTS: usize = 200;
/// Time of samples in memory at once.
const PART_MS: i64 = 6 * 3_600_000;

/// What stays the same while a process runs, besides what it has in common with others.
const STAYING: &[&str] = &["pid", "process_id", "agent_id", "start_time"];

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
    /// In the order in which they would have fired.
    pub(super) episodes: Vec<Episode>,
    /// Alerts that would have fired more than once.
    pub(super) flapping: usize,
    /// Alerts that would have been pending and never fired.
    pub(super) only_pending: usize,
}

/// What is compared, where history has it.
#[derive(Clone, Copy, Debug)]
struct Compared {
    metric: PastMetric,
    bounds: Bounds,
}

/// Why a rule cannot be tried on the past.
fn compared(rule: &Rule) -> Result<Compared, &'static str> {
    if rule.aggregate.is_some() {
        return Err("rules that put processes together are not tried on the past");
    }
    if !rule.processes.is_settled::<AlertProcess<'_>>(STAYING) {
        return Err(
            "q looks at what changes while a process runs; only metric, operator and threshold are tried on the past",
        );
    }
    match &rule.kind {
        Kind::Threshold(Some(metric), bounds) => {
            let metric =
                PastMetric::of_name(metric.name).ok_or("no history is kept of this metric")?;
            Ok(Compared {
                metric,
                bounds: *bounds,
            })
        }
        Kind::Zombie => Ok(Compared {
            metric: PastMetric::status(b'Z'),
            bounds: Bounds {
                operator: Operator::GreaterOrEqual,
                threshold: 1.0,
                recovery: None,
            },
        }),
        _ => Err("only rules of the kinds threshold and zombie are tried on the past"),
    }
}

/// Tries a rule on the past; `Err` inside says why that cannot be done with this one.
pub(super) async fn backtest(
    app: &App,
    rule: &Rule,
    from_ms: i64,
    to_ms: i64,
) -> Result<Result<Backtest, &'static str>, Problem> {
    let compared = match compared(rule) {
        Ok(compared) => compared,
        Err(reason) => return Ok(Err(reason)),
    };
    let _turn = app.past_turn().await?;
    let mut hosts = app.live.hosts(None);
    hosts.retain(|entry| {
        let host = entry.read();
        rule.hosts.takes(&host.agent_id, &host.agent)
    });
    if hosts.len() > MAX_HOSTS {
        return Err(Problem::invalid(format!(
            "{} hosts are more than one answer can look back on (at most {MAX_HOSTS}); choose some with agent_id",
            hosts.len()
        )));
    }
    let mut replayed = Replayed::default();
    for entry in &hosts {
        let agent = entry.read().agent.clone();
        let mut presences = Presences::new(&entry.agent_id, agent);
        let mut part_ms = from_ms;
        while part_ms < to_ms {
            let end_ms = part_ms.saturating_add(PART_MS).min(to_ms);
            let runs =
                PastRuns::read(app, &entry.agent_id, compared.metric, part_ms, end_ms).await?;
            let rule = rule.clone();
            presences = aside(move || {
                presences.add(&rule, &compared.bounds, &runs);
                presences
            })
            .await;
            part_ms = end_ms;
        }
        let (rule, eval_interval_ms) = (rule.clone(), app.alerts.eval_interval_ms);
        replayed = aside(move || {
            replay(&rule, &presences, eval_interval_ms, to_ms, &mut replayed);
            replayed
        })
        .await;
        if replayed.is_too_much() {
            return Err(Problem::too_costly());
        }
    }
    Ok(Ok(replayed.finish(hosts.len())))
}
