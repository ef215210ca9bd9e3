//! What the agent and the server use at one moment.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::recorded;
use crate::pair::{Pair, Setup};
use crate::process_cost::{cpu_ns, open_files, processes_on_this_host, rss_bytes};
use crate::service::Service;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) rss_bytes: u64,
    pub(super) files: u64,
    /// Since it started.
    pub(super) cpu_s: f64,
    /// Of its folder.
    pub(super) disk_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) elapsed_s: f64,
    pub(super) spawned: u64,
    pub(super) agent: Usage,
    pub(super) server: Usage,
    /// On this host: what others start makes the agent and the server grow, too.
    pub(super) processes: u64,
    /// Records that the agent could not see or keep.
    pub(super) drops: u64,
}

impl Reading {
    pub(super) fn take(
        pair: &Pair,
        setup: &Setup,
        elapsed: Duration,
        spawned: u64,
    ) -> Result<Self> {
        let spool_bytes = folder_bytes(&setup.spool_dir());
        Ok(Self {
            elapsed_s: elapsed.as_secs_f64(),
            spawned,
            processes: processes_on_this_host()? as u64,
            agent: usage(&pair.agent, spool_bytes)?,
            server: usage(
                &pair.server,
                folder_bytes(setup.data_dir).saturating_sub(spool_bytes),
            )?,
            drops: recorded::drops(&pair.url)?,
        })
    }
}

fn usage(service: &Service, disk_bytes: u64) -> Result<Usage> {
    let pid = service.pid();
    Ok(Usage {
        rss_bytes: rss_bytes(pid)?,
        files: open_files(pid)?,
        cpu_s: cpu_ns(pid)? as f64 / 1e9,
        disk_bytes,
    })
}

/// Files may come and go meanwhile; those that are gone count nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// One line for each reading, written at once: a soak that is cut short leaves what it saw.
pub(super) struct Csv(File);

impl Csv {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        writeln!(
            file,
            "elapsed_s,spawned,agent_rss_bytes,agent_files,agent_cpu_s,spool_bytes,server_rss_bytes,server_files,\
             server_cpu_s,store_bytes,processes,drops"
        )?;
        Ok(Self(file))
    }

    pub(super) fn write(&mut self, reading: &Reading) -> Result<()> {
        let usage = |usage: &Usage| {
            format!(
                "{},{},{:.3},{}",
                usage.rss_bytes, usage.files, usage.cpu_s, usage.disk_bytes
            )
        };
        writeln!(
            self.0,
            "{:.1},{},{},{},{},{}",
            reading.elapsed_s,
            reading.spawned,
            usage(&reading.agent),
            usage(&reading.server),
            reading.processes,
            reading.drops
        )
        .context("cannot write a reading")
    }
}
