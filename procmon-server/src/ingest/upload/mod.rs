//! Lists of processes as JSON, from scripts and foreign agents. Each is a whole snapshot: what appears or vanishes between
//! two of them becomes an event that was deduced, not seen.

mod sample;
mod snapshot;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use self::sample::Sample;
use super::limits::IngestLimits;
use super::prepare::{AgentNews, Prepared, check_names, check_text};
use super::{Admitted, aside, body, commit};
use crate::app::App;
use crate::error::Problem;
use crate::live::apply::Place;
use crate::live::{AgentStatus, Health, Host};
use crate::metrics::Reject;
use crate::store::Door;

/// For uploads that do not say how often they come.
const DEFAULT_INTERVAL_S: f64 = 5.0;
const MAX_INTERVAL_S: f64 = 3600.0;
/// Keys that an answer names as ignored, and how much of each.
const MAX_IGNORED: usize = 20;
const MAX_KEY_BYTES: usize = 100;
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
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Number of samples stored.
    pub accepted: usize,
    /// Keys that mean nothing here, each once; not there when all were understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub ignored: Vec<String>,
}

/// What an upload says, checked as far as it can be without its host.
struct Read {
    upload: Upload,
    ignored: Vec<String>,
}

pub(super) async fn take(
    app: App,
    agent_id: String,
    admitted: Admitted,
) -> Result<Accepted, Problem> {
    let (read, heavy) = read(&app, &admitted).await?;
    let Read { upload, ignored } = read;
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
    let limits = *app.live.limits();
    let work = move || prepare(&host.read(), &upload.samples, news, received_ms, &limits);
    let (prepared, place) = if heavy.is_some() {
        aside(work).await?
    } else {
        work()?
    };
    drop(heavy);
    commit(&app, &entry, prepared, place).await?;
    Ok(Accepted { accepted, ignored })
}

/// The list in a body. A large one takes a turn, which its caller keeps for as long as it works on it.
async fn read(
    app: &App,
    admitted: &Admitted,
) -> Result<(Read, Option<OwnedSemaphorePermit>), Problem> {
    let limits = *app.live.limits();
    if let Some(plain) = body::decompress_small(&admitted.body, admitted.encoding) {
        admitted.charge_content(plain.len());
        return Ok((parse(&plain, &limits)?, None));
    }
    let turn = app.heavy_turn().await?;
    let (body, encoding) = (admitted.body.clone(), admitted.encoding);
    let (read, bytes) = aside(move || {
        let plain = body::decompress(body, encoding, limits.content_bytes)?;
        Ok((parse(&plain, &limits)?, plain.len()))
    })
    .await
    .inspect_err(|problem| {
        // It was decompressed up to the limit for nothing.
        if problem.reject() == Reject::ContentSize {
            admitted.charge_content(limits.content_bytes as usize);
        }
    })?;
    admitted.charge_content(bytes);
    Ok((read, Some(turn)))
}

fn parse(plain: &[u8], limits: &IngestLimits) -> Result<Read, Problem> {
    let mut ignored = BTreeSet::new();
    let mut json = serde_json::Deserializer::from_slice(plain);
    let upload = serde_ignored::deserialize(&mut json, |path| {
        if ignored.len() < MAX_IGNORED {
            ignored.insert(key_of(&path));
        }
    });
    let upload: Upload = match upload.and_then(|upload| json.end().map(|()| upload)) {
        Ok(upload) => upload,
        Err(_) => return Err(not_a_list(plain)),
    };
    sample::check(&upload.samples, limits)?;
    Ok(Read {
        upload,
        ignored: ignored.into_iter().collect(),
    })
}

/// Says where a body is not what it should be. Read once more, because keeping track of the place takes time that good bodies
/// need not spend.
fn not_a_list(plain: &[u8]) -> Problem {
    let mut json = serde_json::Deserializer::from_slice(plain);
    let detail = match serde_path_to_error::deserialize::<_, Upload>(&mut json) {
        Err(error) if error.path().iter().len() > 0 => {
            format!("{}: {}", error.path(), error.inner())
        }
        Err(error) => error.into_inner().to_string(),
        Ok(_) => "there is more after its end".to_owned(),
    };
    Problem::bad_request(format!("the body is not a list of processes: {detail}"))
}

/// The name of a key, without the number of the sample that has it.
fn key_of(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    let name = match path {
        Path::Map {
            parent: Path::Seq { .. },
            key,
        } => format!("samples[].{key}"),
        other => other.to_string(),
    };
    name[..name.floor_char_boundary(MAX_KEY_BYTES)].to_owned()
}

fn prepare(
    host: &Host,
    samples: &[Sample],
    news: AgentNews,
    received_ms: i64,
    limits: &IngestLimits,
) -> Result<(Prepared, Place), Problem> {
    check_door(host, received_ms)?;
    let batch = snapshot::snapshot(samples, host, received_ms)?;
    let lives = || batch.lives.iter().map(|(_, life)| life);
    check_text(lives().map(|life| life.text_bytes()).sum(), limits)?;
    if batch.lives.len() as u64 > limits.names {
        let names: HashSet<_> = lives().filter_map(|life| life.name()).collect();
        check_names(names.len(), limits)?;
    }
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
