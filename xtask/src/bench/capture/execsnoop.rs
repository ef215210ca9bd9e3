//! bpftrace's execsnoop.bt: a line for each exec.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::super::bpf_stats;
use super::Seen;
use super::meter::Meter;
use super::ours::own_programs;
use crate::prerequisites::ensure_packages;
use crate::sandbox::send;
use crate::service::{Echo, Service};
use crate::spawning::{Storm, marker};

/// It compiles its programs first.
const START_LIMIT: Duration = Duration::from_mins(1);

/// For its last lines.
const SETTLE: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// bpftrace looks for events where debugfs shows them; the mounts are gone with the program. Its output is a file: as a
/// pipe it would depend on how fast we read.
const SCRIPT: &str = "mount -t debugfs debugfs /sys/kernel/debug && mount -t tracefs tracefs /sys/kernel/debug/tracing \
    && exec bpftrace -o \"$0\" /usr/sbin/execsnoop.bt";

pub(super) fn measure(storm: Storm, folder: &Path) -> Result<Seen> {
    ensure_packages(&["bpftrace"])?;
    let others: BTreeSet<u32> = bpf_stats::programs()?.into_keys().collect();
    let output = folder.join(format!("execsnoop-{}.txt", storm.load.name()));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).arg(&output);
    let log = folder.join("bpftrace.log");
    let mut tracer = Service::start("bpftrace", &mut command, &log, Echo::Off)?;
    wait_until_attached(&mut tracer, &output)?;

    let marker = marker(900);
    let meter = Meter::start(tracer.pid())?;
    let kernel_ns = run_time_ns(&others)?;
    storm.run(&marker)?;
    thread::sleep(SETTLE);
    let busy_s = meter.busy_s()?;
    let kernel_ns = run_time_ns(&others)? - kernel_ns;
    // It writes its last lines when it is interrupted.
    send(tracer.pid(), Signal::SIGINT)?;
    thread::sleep(SETTLE);
    tracer.stop(STOP_LIMIT)?;

    let lives = f64::from(storm.processes);
    Ok(Seen {
        starts: Some(lines_with(&output, &marker)?),
        exits: None,
        cpu_us_per_life: busy_s * 1e6 / lives,
        kernel_us_per_life: kernel_ns as f64 / 1e3 / lives,
    })
}

fn wait_until_attached(tracer: &mut Service, output: &Path) -> Result<()> {
    let deadline = std::time::Instant::now() + START_LIMIT;
    while !fs::read_to_string(output).is_ok_and(|text| text.contains("ARGS")) {
        tracer.require_running()?;
        if std::time::Instant::now() >= deadline {
            anyhow::bail!("bpftrace did not attach in time: {}", tracer.last_lines(3));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn run_time_ns(others: &BTreeSet<u32>) -> Result<u64> {
    let programs = own_programs(others)?;
    Ok(programs.values().map(|program| program.run_time_ns).sum())
}

/// Each is an exec with the marker among its arguments.
fn lines_with(output: &Path, marker: &str) -> Result<u64> {
    let text = fs::read(output).with_context(|| format!("cannot read {}", output.display()))?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter(|line| line.contains(marker)).count() as u64)
}
