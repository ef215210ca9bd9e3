//! What a running process costs: CPU time, memory, files; read from outside, without asking it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU nanoseconds of all its threads, ended ones included; exact, unlike the ticks of /proc.
pub(crate) fn cpu_ns(pid: u32) -> Result<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
        .with_context(|| format!("no CPU clock of process {pid}: has it ended?"))?;
    let time = clock_gettime(clock).with_context(|| format!("the CPU clock of process {pid}"))?;
    Ok(Duration::from(time).as_nanos() as u64)
}

/// User and system time in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> Result<[u64; 2]> {
    let fields = stat_fields(pid)?;
    let field = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    Ok([
        field(11).context("no user time")?,
        field(12).context("no system time")?,
    ])
}

/// Whether its main thread waits for something.
pub(crate) fn is_sleeping(pid: u32) -> Result<bool> {
    Ok(stat_fields(pid)?.first().is_some_and(|state| state == "S"))
}

/// Resident memory in bytes.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kib << 10)
}

/// Number of open files.
pub(crate) fn open_files(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/fd");
    let files = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(files.count() as u64)
}

/// The processes that its main thread started and that still run.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// Number of processes on this machine.
pub(crate) fn processes_on_this_host() -> Result<usize> {
    let entries = fs::read_dir("/proc").context("cannot read /proc")?;
    let is_pid = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_pid))
        .count())
}

/// What /proc/PID/stat says from the state on: the name before it, in parentheses, may hold anything.
fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn this_process_has_used_time_memory_and_files() {
        let pid = process::id();
        assert!(cpu_ns(pid).unwrap() > 0);
        assert!(rss_bytes(pid).unwrap() > 1 << 20);
        assert!(open_files(pid).unwrap() >= 3);
        assert!(cpu_ticks(pid).is_ok() && is_sleeping(pid).is_ok() && children(pid).is_ok());
        assert!(processes_on_this_host().unwrap() > 1);
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        // The highest pid that a kernel can be told to use is 4 194 304.
        let nobody = 5_000_000;
        assert!(cpu_ns(nobody).is_err());
        assert!(rss_bytes(nobody).is_err());
    }
}
