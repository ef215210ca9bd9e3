//! What processes on this machine use, read from outside.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU time of this process.
pub(super) fn own_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A process, or one with all its children.
#[derive(Debug)]
pub(super) struct Meter {
    pid: u32,
    with_children: bool,
    /// Highest reading of each: one that has ended keeps its last.
    cpu: HashMap<u32, Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) cpu: Duration,
    pub(super) rss_bytes: u64,
}

impl Meter {
    pub(super) fn new(pid: u32, with_children: bool) -> Self {
        Self {
            pid,
            with_children,
            cpu: HashMap::new(),
        }
    }

    pub(super) fn read(&mut self) -> Result<Reading> {
        let mut rss_bytes = rss_bytes(self.pid)?;
        self.cpu.insert(self.pid, cpu(self.pid)?);
        if self.with_children {
            for child in children(self.pid)? {
                // It may have ended in between.
                if let Ok(used) = cpu(child) {
                    self.cpu.insert(child, used);
                    // Without what it shares with the others.
                    rss_bytes += private_bytes(child).unwrap_or(0);
                }
            }
        }
        Ok(Reading {
            cpu: self.cpu.values().sum(),
            rss_bytes,
        })
    }
}

fn cpu(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
        .with_context(|| format!("process {pid} is not there: has it ended?"))?;
    Ok(clock_gettime(clock)?.into())
}

fn rss_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

fn private_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "RssAnon:")
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {field}"))? << 10)
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let pids = children.split_whitespace();
    Ok(pids.filter_map(|pid| pid.parse().ok()).collect())
}

/// Space on disk that a folder takes, all below it included.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    const BLOCK_BYTES: u64 = 512;
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        // A file that was there a moment ago.
        Err(_) => 0,
    });
    sizes.sum()
}
