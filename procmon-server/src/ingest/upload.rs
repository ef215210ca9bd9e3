//! Lists of processes as JSON, from scripts and foreign agents. Each is a whole snapshot: what appears or vanishes between
//! two of them becomes an event that was deduced, not seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column, Row};
use procmon_common::frame::{FrameEncoder, for_each_change};
use procmon_common::ids::{ProcessId, Start};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::commit;
use super::prepare::{AgentNews, Prepared};
use crate::app::App;
use crate::batch::{Batch, ColumnChanges, Credentials, Event, EventKind, Frame, Image, Life};
use crate::error::Problem;
use crate::live::apply::Place;
use crate::live::{AgentStatus, Health, Host, MAX_PROCESSES};
use crate::store::Door;

/// For uploads that do not say how often they come.
const DEFAULT_INTERVAL_S: f64 = 5.0;
const MAX_INTERVAL_S: f64 = 3600.0;
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

/// One process. Only `pid` is required; what is left out is unknown.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct Sample {
    pub pid: u32,
    pub ppid: Option<u32>,
    pub name: Option<String>,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub username: Option<String>,
    /// One letter as in ps, or a word such as `sleeping`.
    pub status: Option<String>,
    /// Percent of one core.
    pub cpu_percent: Option<f64>,
    /// Bytes.
    pub memory_rss: Option<u64>,
    pub memory_percent: Option<f64>,
    pub num_threads: Option<u64>,
    pub open_fds: Option<u64>,
    pub net_conns: Option<u64>,
    pub ports: Option<Vec<u16>>,
    /// Bytes since the process started.
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    /// RFC 3339, or Unix seconds. It makes the process id stable across a restart of the uploader.
    pub start_time: Option<StartTime>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum StartTime {
    Seconds(f64),
    Text(String),
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
    check(&upload.samples)?;
    let entry = app
        .live
        .entry(&agent_id)
        .ok_or_else(super::routes::too_many_agents)?;
    let mut restored = entry.order.lock().await;
    entry.restore(&mut restored, &app.store).await?;
    let received_ms = app.clock.now_ms();
    let (prepared, place) = {
        let host = entry.read();
        check_door(&host, received_ms)?;
        let batch = snapshot(&upload.samples, &host, received_ms)?;
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
        let prepared = Prepared {
            batch,
            departed: Vec::new(),
            resync: false,
            agent: news(interval_ms, received_ms),
        };
        (prepared, place)
    };
    commit(&app, &entry, prepared, place).await?;
    Ok(Accepted {
        accepted: upload.samples.len(),
    })
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

fn check(samples: &[Sample]) -> Result<(), Problem> {
    if samples.len() > MAX_PROCESSES {
        return Err(Problem::too_large(format!(
            "{} processes; the server keeps at most {MAX_PROCESSES} of one agent",
            samples.len()
        )));
    }
    let mut pids = std::collections::HashSet::with_capacity(samples.len());
    for sample in samples {
        let pid = sample.pid;
        if !pids.insert(pid) {
            return Err(Problem::invalid(format!(
                "pid {pid} occurs twice in one upload"
            )));
        }
        for (name, value) in [
            ("cpu_percent", sample.cpu_percent),
            ("memory_percent", sample.memory_percent),
        ] {
            // JSON has no infinity, but 1e999 reads as one.
            if value.is_some_and(|value| !(0.0..=1e9).contains(&value)) {
                return Err(Problem::invalid(format!(
                    "pid {pid}: {name} must be 0 or more"
                )));
            }
        }
    }
    Ok(())
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

/// The upload as a key batch: everything that is there, and what changed since the last one.
fn snapshot(samples: &[Sample], host: &Host, received_ms: i64) -> Result<Batch, Problem> {
    let before: HashMap<u32, Arc<Life>> = host
        .views(received_ms)
        .map(|view| (view.id.pid, Arc::clone(&view.process.life)))
        .collect();
    let first = !host.agent.heard() || host.agent.door != Door::Upload || host.epoch == 0;
    let ts_ns = received_ms.saturating_mul(NANOS_PER_MS);
    let event = |life: &Arc<Life>, kind| Event {
        ts_ns,
        life: Some(Arc::clone(life)),
        sampled: true,
        kind,
    };
    let mut exits = Vec::new();
    let mut execs = Vec::new();
    let mut lives = Vec::with_capacity(samples.len());
    let mut frame = Frame {
        ts_ns,
        ..Frame::default()
    };
    let mut encoder = FrameEncoder::default();
    let mut gone: BTreeMap<u32, &Arc<Life>> =
        before.iter().map(|(pid, life)| (*pid, life)).collect();
    for (handle, sample) in (1..).zip(samples) {
        let started_ms = started_ms(sample)?;
        let known = before
            .get(&sample.pid)
            .filter(|life| same_life(life, sample, started_ms));
        let id = known
            .and_then(|life| life.id)
            .unwrap_or_else(|| ProcessId::upload(sample.pid, started_ms.unwrap_or(received_ms)));
        let mut life = life(sample, id, started_ms);
        life.baseline = known.map_or(first, |known| known.baseline);
        let life = Arc::new(life);
        if known.is_some() {
            gone.remove(&sample.pid);
        }
        let other_image = known.is_some_and(|known| known.image != life.image);
        if !first && (known.is_none() || other_image) {
            execs.push(event(&life, EventKind::Exec));
        }
        encoder.push(handle, &Row::default(), &row(sample));
        if let Some(ports) = &sample.ports {
            frame.ports.push((handle, ports.clone()));
        }
        lives.push((handle, life));
    }
    if !first {
        for life in gone.values() {
            exits.push(event(life, EventKind::Exit(Box::default())));
        }
    }
    // A pid that was given again ended before it began.
    exits.append(&mut execs);
    frame.columns = columns(encoder);
    Ok(Batch {
        key: true,
        events: exits,
        lives,
        frame: Some(frame),
        ..Batch::default()
    })
}

fn columns(encoder: FrameEncoder) -> Vec<ColumnChanges> {
    let mut by_column: BTreeMap<Column, Vec<(u32, i64)>> = BTreeMap::new();
    let sample = encoder.finish();
    // What was encoded a line above is consistent.
    let _ = for_each_change(&sample, |handle, column, delta| {
        by_column.entry(column).or_default().push((handle, delta));
    });
    let numbered = COLUMNS.iter().filter_map(|column| {
        let changes = by_column.remove(column)?;
        Some(ColumnChanges {
            column: *column,
            changes,
        })
    });
    numbered.collect()
}

fn started_ms(sample: &Sample) -> Result<Option<i64>, Problem> {
    let text = match &sample.start_time {
        None => return Ok(None),
        Some(StartTime::Seconds(seconds)) => seconds.to_string(),
        Some(StartTime::Text(text)) => text.clone(),
    };
    match crate::page::instant_ns("start_time", &text) {
        Ok(ns) => Ok(Some(ns.div_euclid(NANOS_PER_MS))),
        Err(problem) => Err(Problem::invalid(format!(
            "pid {}: {}",
            sample.pid, problem.detail
        ))),
    }
}

/// Whether a sample goes on with what had its pid before: the same start where it is given; else anything but another name
/// together with another parent, since a process may exec and may be orphaned, but rarely both between two uploads.
fn same_life(life: &Life, sample: &Sample, started_ms: Option<i64>) -> bool {
    if let (Some(started_ms), Some(Start::Upload { first_seen_ms })) =
        (started_ms, life.id.map(|id| id.start))
        && life.started_ns.is_some()
    {
        return first_seen_ms == started_ms;
    }
    let same_name = life.name() == Some(sample.name.as_deref().unwrap_or_default().as_bytes());
    same_name || life.ppid == sample.ppid
}

fn life(sample: &Sample, id: ProcessId, started_ms: Option<i64>) -> Life {
    let described = sample.name.is_some() || sample.exe.is_some() || sample.cmdline.is_some();
    let bytes = |text: &Option<String>| -> Box<[u8]> {
        text.as_deref().unwrap_or_default().as_bytes().into()
    };
    // A command line is all there is: where one argument ends is not known.
    let args = bytes(&sample.cmdline);
    Life {
        id: Some(id),
        ppid: sample.ppid,
        started_ns: started_ms.map(|ms| ms.saturating_mul(NANOS_PER_MS)),
        image: described.then(|| Image {
            seq: 0,
            name: bytes(&sample.name),
            exe: bytes(&sample.exe),
            args_bytes: args.len() as u64,
            args,
        }),
        credentials: sample.username.as_deref().map(|username| Credentials {
            username: Some(username.into()),
            ..Credentials::default()
        }),
        ..Life::default()
    }
}

fn row(sample: &Sample) -> Row {
    let mut row = Row::default();
    let status = sample.status.as_deref().and_then(status_letter);
    let scaled = |value: Option<f64>, by: f64| value.map(|value| (value * by).round() as u64);
    for (column, value) in [
        (Column::Status, status.map(u64::from)),
        (Column::Ppid, sample.ppid.map(u64::from)),
        (Column::CpuCentipercent, scaled(sample.cpu_percent, 100.0)),
        (Column::RssKib, sample.memory_rss.map(|bytes| bytes / 1024)),
        (
            Column::RssExtraBytes,
            sample
                .memory_rss
                .map(|bytes| bytes % 1024)
                .filter(|rest| *rest > 0),
        ),
        (
            Column::MemoryMicropercent,
            scaled(sample.memory_percent, 1e6),
        ),
        (Column::Threads, sample.num_threads),
        (Column::OpenFds, sample.open_fds),
        (Column::NetConns, sample.net_conns),
        (Column::ReadBytes, sample.read_bytes),
        (Column::WriteBytes, sample.write_bytes),
    ] {
        row.set(column, value);
    }
    row
}

/// The letter of ps for a letter or a word of another tool; `None` for one that says nothing.
fn status_letter(status: &str) -> Option<u8> {
    let status = status.trim();
    if let [letter] = status.as_bytes() {
        return letter
            .is_ascii_alphabetic()
            .then_some(letter.to_ascii_uppercase());
    }
    Some(match status.to_ascii_lowercase().as_str() {
        "running" | "run" => b'R',
        "sleep" | "sleeping" => b'S',
        "disk-sleep" | "blocked" | "lock" | "wait" | "waiting" => b'D',
        "zombie" => b'Z',
        "stop" | "stopped" | "tracing-stop" => b'T',
        "idle" => b'I',
        _ => return None,
    })
}
