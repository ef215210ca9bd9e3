//! Lists of processes as JSON, from scripts and foreign agents. Each is a whole snapshot: what appears or vanishes between
//! two of them becomes an event that was deduced, not seen.

mod sample;
mod snapshot;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::sample::Sample;
use super::prepare::{AgentNews, Prepared};
use super::{aside, commit};
use crate::app::App;
use crate::error::Problem;
use crate::live::apply::Place;
use crate::live::{AgentStatus, Health, Host};
use crate::store::Door;

/// For uploads that do not say how often they come.
const DEFAULT_INTERVAL_S: f64 = 5.0;
const MAX_INTERVAL_S: f64 = 3600.0;
/// Lists above this are worked on beside the tasks that serve others.
const HEAVY_SAMPLES: usize = 1_000;
const NANOS_PER_MS: i64 = 1_000_000;

/// A list of all processes of a host.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct Upload {
    /// As in the path, when given.
    pub agent_id: Option<String>,
    /// Seconds from one upload to the next.
    pub interval_s: Option<f64>,
    pub samples: Vec<Sample>,
}

/// The answer to an upload.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Number of samples stored.
    pub accepted: usize,
}

pub(super) async fn take(app: App, agent_id: String, upload: Upload) -> Result<Accepted, Problem> {
    if upload
        .agent_id
        .as_ref()
        .is_some_and(|named| *named != agent_id)
    {
        return Err(Problem::conflict(format!(
            "the path names agent {agent_id}, the body another; make them agree, or leave agent_id out of the body"
        )));
    }
    let interval_ms = interval_ms(upload.interval_s)?;
    sample::check(&upload.samples)?;
    let entry = app
        .live
        .entry(&agent_id)
        .ok_or_else(super::routes::too_many_agents)?;
    let mut restored = entry.order.lock().await;
    entry.restore(&mut restored, &app.store).await?;
    let received_ms = app.clock.now_ms();
    let accepted = upload.samples.len();
    let news = news(interval_ms, received_ms);
    let host = Arc::clone(&entry);
    let work = move || prepare(&host.read(), &upload.samples, news, received_ms);
    let (prepared, place) = if accepted > HEAVY_SAMPLES {
        aside(work).await?
    } else {
        work()?
    };
    commit(&app, &entry, prepared, place).await?;
    Ok(Accepted { accepted })
}

fn prepare(
    host: &Host,
    samples: &[Sample],
    news: AgentNews,
    received_ms: i64,
) -> Result<(Prepared, Place), Problem> {
    check_door(host, received_ms)?;
    let batch = snapshot::snapshot(samples, host, received_ms)?;
    let goes_on = host.agent.heard() && host.agent.door == Door::Upload && host.epoch != 0;
    let place = Place {
        epoch: if goes_on {
            host.epoch
        } else {
            received_ms.max(1) as u64 * NANOS_PER_MS as u64
        },
        seq: if goes_on { host.durable_seq + 1 } else { 1 },
        received_ms,
    };
    Ok((Prepared::new(batch, Vec::new(), false, news), place))
}

fn interval_ms(interval_s: Option<f64>) -> Result<u32, Problem> {
    let seconds = interval_s.unwrap_or(DEFAULT_INTERVAL_S);
    if !(seconds > 0.0 && seconds <= MAX_INTERVAL_S) {
        return Err(Problem::invalid(
            "interval_s must be more than 0 and at most 3600 seconds",
        ));
    }
    Ok((seconds * 1000.0).ceil() as u32)
}

/// A name that procmon's own agent uses now is not for uploads.
fn check_door(host: &Host, now_ms: i64) -> Result<(), Problem> {
    let agent = &host.agent;
    if agent.heard() && agent.door == Door::Native && agent.status(now_ms) == AgentStatus::Live {
        return Err(Problem::conflict(format!(
            "a procmon agent reports as {}; upload under another agent_id",
            host.agent_id
        )));
    }
    Ok(())
}

fn news(interval_ms: u32, received_ms: i64) -> AgentNews {
    AgentNews {
        door: Door::Upload,
        machine_id: Vec::new(),
        boot_id: None,
        interval_ms,
        built_ms: received_ms,
        sent_ms: Some(received_ms),
        health: Some(Health {
            probe: Some("upload".to_owned()),
            probe_reason: Some("process lists are uploaded as JSON".to_owned()),
            ..Health::default()
        }),
    }
}
