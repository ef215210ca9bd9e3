//! So many processes each second, evenly.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Threads that start them, so that a slow start of one delays few others.
const WORKERS: u32 = 4;

pub(super) struct Spawner {
    stop: Arc<AtomicBool>,
    spawned: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Result<()>>>,
}

impl Spawner {
    pub(super) fn start(per_second: u32, marker: &str) -> Self {
        let (stop, spawned) = (Arc::default(), Arc::default());
        let gap = Duration::from_secs(1) * WORKERS / per_second.max(1);
        let workers = (0..WORKERS)
            .map(|worker| {
                let (stop, spawned) = (Arc::clone(&stop), Arc::clone(&spawned));
                let (marker, first) = (marker.to_owned(), gap * worker / WORKERS);
                thread::spawn(move || spawn(&marker, first, gap, &stop, &spawned))
            })
            .collect();
        Self {
            stop,
            spawned,
            workers,
        }
    }

    /// Processes that have started and ended so far.
    pub(super) fn spawned(&self) -> u64 {
        self.spawned.load(Ordering::Relaxed)
    }

    /// Stops, and returns how many there were.
    pub(super) fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker
                .join()
                .unwrap_or_else(|_| bail!("a spawner panicked"))?;
        }
        Ok(self.spawned.load(Ordering::Relaxed))
    }
}

fn spawn(
    marker: &str,
    first: Duration,
    gap: Duration,
    stop: &AtomicBool,
    spawned: &AtomicU64,
) -> Result<()> {
    let mut due = Instant::now() + first;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut command = Command::new("/bin/true");
        let status = command
            .arg(marker)
            .stdin(Stdio::null())
            .status()
            .context("cannot start /bin/true")?;
        if !status.success() {
            bail!("/bin/true failed: {status}");
        }
        spawned.fetch_add(1, Ordering::Relaxed);
        // A machine too busy for the rate gets a lower one, not a storm afterwards.
        due = (due + gap).max(Instant::now());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spawned_is_counted() {
        let spawner = Spawner::start(200, "procmon-spawner-test");
        while spawner.spawned() < 5 {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(spawner.stop().unwrap() >= 5);
    }
}
