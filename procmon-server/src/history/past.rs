//! Hosts as they were at an instant.

use std::ops::ControlFlow;
use std::sync::Arc;

use procmon_common::columns::COLUMNS;

use super::gaps::{Reason, explain};
use super::host::PastHost;
use super::life_events::{About, for_each_event};
use super::metric::silence_ms;
use super::range::Range;
use crate::app::App;
use crate::batch::EventKind;
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::live::{Host, HostEntry};
use crate::page::instant_ms;
use crate::store::history::{HostSamples, LifeFilter};

/// Hosts, and processes, that one answer about the past may need at once.
const MAX_HOSTS: usize = 200;
const MAX_PROCESSES: usize = 200_000;
/// As in the present, processes stay listed for that long after their agent was last heard.
const LISTED_WHEN_STALE_MS: i64 = 600_000;

/// The hosts that a request about an instant means, as they were then; and that instant, by the server's clock.
pub(crate) async fn hosts_at(
    app: &App,
    agent_id: Option<&str>,
    at: &str,
) -> Result<(Vec<Arc<HostEntry>>, i64), Problem> {
    let at_ms = instant_ms("at", at)?;
    let now_ms = app.clock.now_ms();
    if at_ms > now_ms {
        return Err(Problem::bad_request(format!(
            "at={at} has not come yet: it is {}",
            rfc3339_ms(now_ms)
        )));
    }
    let _turn = app.past_turn().await?;
    let entries = app.live.hosts(agent_id);
    if entries.len() > MAX_HOSTS {
        return Err(Problem::bad_request(format!(
            "at={at} of {} hosts is more than one answer can bring back (at most {MAX_HOSTS}); name one with agent_id",
            entries.len()
        )));
    }
    let mut hosts = Vec::new();
    let mut processes = 0;
    let mut unknown = None;
    for entry in &entries {
        let host = PastHost::find(app, Some(&entry.agent_id))?;
        match host_at(app, &host, at_ms).await? {
            Ok(past) => {
                processes += past.process_count();
                hosts.push(HostEntry::past(past));
            }
            Err(reason) => unknown = Some((Arc::clone(&entry.agent_id), reason)),
        }
        if processes > MAX_PROCESSES {
            return Err(Problem::bad_request(format!(
                "at={at} of all hosts is more than {MAX_PROCESSES} processes; name one host with agent_id"
            )));
        }
    }
    match unknown {
        Some((agent_id, reason)) if hosts.is_empty() => Err(not_known(&agent_id, at_ms, reason)),
        _ => Ok((hosts, at_ms)),
    }
}

pub(super) fn not_known(agent_id: &str, at_ms: i64, reason: Reason) -> Problem {
    let why = match reason {
        Reason::AgentDown => "its agent did not run",
        Reason::Dropped => "what its agent saw was lost",
        _ => "nothing is kept of that time",
    };
    Problem::not_found(format!(
        "it is not known what ran on {agent_id} at {}: {why}; GET /api/v1/agents/{agent_id} lists when it was watched",
        rfc3339_ms(at_ms)
    ))
}

/// One host at an instant of the server's clock; or why that is not known.
pub(super) async fn host_at(
    app: &App,
    host: &PastHost,
    at_ms: i64,
) -> Result<Result<Host, Reason>, Problem> {
    let there_ms = at_ms.saturating_add(host.ahead_ms);
    let mut samples = samples_before(app, host, there_ms, host.patience_ms).await?;
    if samples.sample_ms.is_empty() {
        let back_ms = host.patience_ms + LISTED_WHEN_STALE_MS;
        samples = samples_before(app, host, there_ms, back_ms).await?;
    }
    let Some(sampled_ms) = samples.sample_ms.last().copied() else {
        return Ok(Err(why(app, host, there_ms).await?));
    };
    let entry = crate::hosts::find(app, Some(&host.agent_id))?;
    let agent = entry.read().agent.clone();
    let mut past = Host::past(Arc::clone(&host.agent_id), &agent, &samples, &COLUMNS);
    follow_events(app, &mut past, sampled_ms, there_ms).await?;
    Ok(Ok(past))
}

async fn samples_before(
    app: &App,
    host: &PastHost,
    there_ms: i64,
    back_ms: i64,
) -> Result<HostSamples, Problem> {
    let range = Range {
        from_ms: there_ms.saturating_sub(back_ms),
        to_ms: there_ms.saturating_add(1),
    };
    let mut query = host.query(range, LifeFilter::All);
    query.columns = COLUMNS.to_vec();
    query.ports = true;
    Ok(app.store.samples(&query).await?)
}

async fn why(app: &App, host: &PastHost, there_ms: i64) -> Result<Reason, Problem> {
    let instant = Range {
        from_ms: there_ms,
        to_ms: there_ms.saturating_add(1),
    };
    let outages = host.outages(app, instant).await?;
    let explained = explain(&[instant], &[], &outages, silence_ms(&[]));
    Ok(explained.first().map_or(Reason::NoData, |hole| hole.reason))
}

/// What began and ended between the last sample and the instant.
async fn follow_events(
    app: &App,
    past: &mut Host,
    sampled_ms: i64,
    there_ms: i64,
) -> Result<(), Problem> {
    let range = Range {
        from_ms: sampled_ms,
        to_ms: there_ms.saturating_add(1),
    };
    let agent_id = Arc::clone(&past.agent_id);
    for_each_event(app, &agent_id, About::default(), range, |_, _, event| {
        if let Some(life) = &event.life
            && let Some(id) = life.id
        {
            match &event.kind {
                EventKind::Exit(exit) if exit.totals_final || event.sampled => {
                    past.note_past_end(id);
                }
                EventKind::Fork | EventKind::Exec => past.note_past_life(life),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    })
    .await?;
    Ok(())
}
