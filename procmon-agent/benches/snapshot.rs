//! What one snapshot of all processes costs: `cargo xtask bench agent` runs this, ours on the host and sysinfo's beside its
//! peers. It prints a line `scan CPU_NS PROCESSES` for each, and `rss BYTES` at the end.
//!
//! `snapshot procmon|sysinfo [--scans N]`

use std::time::Duration;

use anyhow::{Context, Result, bail};
use procmon_agent::kernel::{Capture, CaptureOptions};
use procmon_agent::sample::Sampler;
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// As between two samples of an agent: what a scan finds in the processor's caches is part of its cost.
const INTERVAL: Duration = Duration::from_secs(1);

/// Scans that fill caches, and are not printed.
const WARM_UP: usize = 2;

fn main() -> Result<()> {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (sampler, scans) = match words.as_slice() {
        [] => ("procmon", 9),
        [sampler] => (*sampler, 9),
        [sampler, "--scans", scans] => (*sampler, scans.parse().context("--scans needs a number")?),
        _ => bail!("usage: snapshot procmon|sysinfo [--scans N]"),
    };
    match sampler {
        "procmon" => {
            let mut capture = Capture::start(CaptureOptions::default())?;
            let mut sampler = Sampler::new(capture.take_iterator())?;
            measure(scans, || Ok(sampler.take()?.processes.len()))
        }
        "sysinfo" => {
            let mut system = System::new()?;
            measure(scans, || Ok(sysinfo_scan(&mut system)))
        }
        other => bail!("{other} is neither procmon nor sysinfo"),
    }
}

fn measure(scans: usize, mut scan: impl FnMut() -> Result<usize>) -> Result<()> {
    for number in 0..scans + WARM_UP {
        let before_ns = cpu_ns();
        let processes = scan()?;
        let cpu_ns = cpu_ns() - before_ns;
        if number >= WARM_UP {
            println!("scan {cpu_ns} {processes}");
        }
        std::thread::sleep(INTERVAL);
    }
    println!("rss {}", rss_bytes()?);
    Ok(())
}

/// The least that a monitor asks sysinfo for: no threads, no files, no sockets.
fn sysinfo_scan(system: &mut System) -> usize {
    let kinds = ProcessRefreshKind::nothing()
        .with_cpu()
        .with_memory()
        .with_disk_usage()
        .with_user(UpdateKind::OnlyIfNotSet)
        .with_cmd(UpdateKind::OnlyIfNotSet)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kinds);
    system.processes().len()
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn rss_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|text| text.split_whitespace().next())
        .context("/proc/self/status has no VmRSS")?
        .parse()?;
    Ok(kib << 10)
}
