//! Short-lived processes, as fast as the machine starts them.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs `/bin/true MARKER` so many times, from several threads, and returns how long that took. The standard library
/// starts such a plain command with `posix_spawn`, which shares the parent's memory until the exec: little of the
/// time is ours.
pub(super) fn run(processes: u32, workers: u32, marker: &str) -> Result<Duration> {
    let started = Instant::now();
    thread::scope(|scope| {
        let share = |worker: u32| processes / workers + u32::from(worker < processes % workers);
        let threads: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || spawn(share(worker), marker)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| bail!("a spawner panicked"))
        })
    })?;
    Ok(started.elapsed())
}

fn spawn(count: u32, marker: &str) -> Result<()> {
    for _ in 0..count {
        let mut command = Command::new("/bin/true");
        let status = command
            .arg(marker)
            .stdin(Stdio::inherit())
            .status()
            .context("cannot start /bin/true")?;
        if !status.success() {
            bail!("/bin/true failed: {status}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_of_a_storm_runs() {
        assert!(run(5, 2, "procmon-storm-test").is_ok());
    }
}
