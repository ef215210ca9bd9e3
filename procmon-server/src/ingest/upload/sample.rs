//! One uploaded process, in the server's own words.

use procmon_common::columns::{Column, Row};
use procmon_common::ids::{ProcessId, Start};
use serde::Deserialize;
use utoipa::ToSchema;

use super::NANOS_PER_MS;
use crate::batch::{Credentials, Image, Life};
use crate::error::Problem;
use crate::live::MAX_PROCESSES;

/// One process. Only `pid` is required; what is left out is unknown.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(in crate::ingest) struct Sample {
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
pub(in crate::ingest) enum StartTime {
    Seconds(f64),
    Text(String),
}

/// Refuses what cannot be, before anything is looked up.
pub(super) fn check(samples: &[Sample]) -> Result<(), Problem> {
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

pub(super) fn started_ms(sample: &Sample) -> Result<Option<i64>, Problem> {
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
pub(super) fn same_life(life: &Life, sample: &Sample, started_ms: Option<i64>) -> bool {
    if let (Some(started_ms), Some(Start::Upload { first_seen_ms })) =
        (started_ms, life.id.map(|id| id.start))
        && life.started_ns.is_some()
    {
        return first_seen_ms == started_ms;
    }
    let same_name = life.name() == Some(sample.name.as_deref().unwrap_or_default().as_bytes());
    same_name || life.ppid == sample.ppid
}

pub(super) fn life(sample: &Sample, id: ProcessId, started_ms: Option<i64>) -> Life {
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
            args_cut: false,
            args,
        }),
        credentials: sample.username.as_deref().map(|username| Credentials {
            username: Some(username.into()),
            ..Credentials::default()
        }),
        ..Life::default()
    }
}

pub(super) fn row(sample: &Sample) -> Row {
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
