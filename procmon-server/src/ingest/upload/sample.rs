//! One uploaded process, in the server's own words.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use procmon_common::columns::{Column, Row};
use procmon_common::ids::{ProcessId, Start};
use serde::Deserialize;
use utoipa::ToSchema;

use super::NANOS_PER_MS;
use crate::batch::{Credentials, Image, Life};
use crate::error::Problem;
use crate::ingest::limits::IngestLimits;
use crate::ingest::native::text::{ARGS_BYTES, NAME_BYTES, PATH_BYTES, clip, cut};
use crate::ingest::prepare::check_processes;

/// As a signed number of 32 bits, which every system's are.
const MAX_PID: u32 = i32::MAX as u32;
/// Of 100 000 cores.
const MAX_CPU_PERCENT: f64 = 1e7;
/// What JSON numbers can say exactly.
const MAX_COUNTER: u64 = 1 << 53;

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

/// Refuses what cannot be, before anything is looked up; the error names the sample and the field.
pub(super) fn check(samples: &[Sample], limits: &IngestLimits) -> Result<(), Problem> {
    check_processes(samples.len(), limits)?;
    let mut indices = HashMap::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        let pid = sample.pid;
        if pid > MAX_PID {
            return Err(out_of_range(index, "pid", pid, "0 to 2147483647"));
        }
        if let Some(first) = indices.insert(pid, index) {
            return Err(Problem::invalid(format!(
                "samples[{index}].pid: {pid} is that of samples[{first}] too; a pid occurs once in an upload"
            )));
        }
        for (name, value, most) in [
            ("cpu_percent", sample.cpu_percent, MAX_CPU_PERCENT),
            ("memory_percent", sample.memory_percent, 100.0),
        ] {
            // JSON has no infinity, but 1e999 reads as one.
            if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
                return Err(out_of_range(index, name, value, &format!("0 to {most}")));
            }
        }
        for (name, value) in sample.counters() {
            if let Some(value) = value.filter(|value| *value > MAX_COUNTER) {
                return Err(out_of_range(index, name, value, "0 to 2^53"));
            }
        }
        started_ms(index, sample)?;
    }
    Ok(())
}

fn out_of_range(index: usize, field: &str, value: impl Display, accepted: &str) -> Problem {
    Problem::invalid(format!(
        "samples[{index}].{field}: {value} is out of range; {accepted} is accepted"
    ))
}

impl Sample {
    fn counters(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("memory_rss", self.memory_rss),
            ("num_threads", self.num_threads),
            ("open_fds", self.open_fds),
            ("net_conns", self.net_conns),
            ("read_bytes", self.read_bytes),
            ("write_bytes", self.write_bytes),
        ]
    }
}

pub(super) fn started_ms(index: usize, sample: &Sample) -> Result<Option<i64>, Problem> {
    let text = match &sample.start_time {
        None => return Ok(None),
        Some(StartTime::Seconds(seconds)) => seconds.to_string(),
        Some(StartTime::Text(text)) => text.clone(),
    };
    match crate::page::instant_ns("start_time", &text) {
        Ok(ns) => Ok(Some(ns.div_euclid(NANOS_PER_MS))),
        Err(problem) => Err(Problem::invalid(format!(
            "samples[{index}].{}",
            problem.detail
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

fn bytes(text: Option<&String>, limit: usize) -> &[u8] {
    clip(text.map_or(&[], |text| text.as_bytes()), limit)
}

pub(super) fn life(sample: &Sample, id: ProcessId, started_ms: Option<i64>) -> Life {
    let described = sample.name.is_some() || sample.exe.is_some() || sample.cmdline.is_some();
    // A command line is all there is: where one argument ends is not known.
    let args = bytes(sample.cmdline.as_ref(), ARGS_BYTES);
    let args_bytes = sample.cmdline.as_ref().map_or(0, String::len);
    Life {
        id: Some(id),
        ppid: sample.ppid,
        started_ns: started_ms.map(|ms| ms.saturating_mul(NANOS_PER_MS)),
        image: described.then(|| {
            Arc::new(Image {
                seq: 0,
                name: bytes(sample.name.as_ref(), NAME_BYTES).into(),
                exe: bytes(sample.exe.as_ref(), PATH_BYTES).into(),
                args_bytes: args_bytes as u64,
                args_cut: args_bytes > args.len(),
                args: args.into(),
            })
        }),
        credentials: sample.username.as_deref().map(|username| {
            Arc::new(Credentials {
                username: Some(cut(username, NAME_BYTES)),
                ..Credentials::default()
            })
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
