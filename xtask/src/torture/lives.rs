//! A storm of numbered processes under a name of their own, with the time in which each lived.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) from_ns: i64,
    pub(super) until_ns: i64,
}

pub(super) struct Lives {
    /// Of the program, and so of the command.
    pub(super) name: String,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Result<Vec<Life>>>>,
}

impl Lives {
    /// Starts them from so many threads, each after a pause; the program is a copy of /bin/true in this folder.
    pub(super) fn start(folder: &Path, threads: u32, pause: Duration) -> Result<Self> {
        let name = format!("torture-{}", std::process::id());
        let program = folder.join(&name);
        fs::copy("/bin/true", &program).context("cannot copy /bin/true")?;
        let (stop, next): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let workers = (0..threads)
            .map(|_| {
                let (stop, next, program) = (Arc::clone(&stop), Arc::clone(&next), program.clone());
                thread::spawn(move || spawn(&program, pause, &stop, &next))
            })
            .collect();
        Ok(Self {
            name,
            stop,
            workers,
        })
    }

    /// Ends the storm, and returns who lived.
    pub(super) fn stop(self) -> Result<Vec<Life>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut lives = Vec::new();
        for worker in self.workers {
            lives.extend(
                worker
                    .join()
                    .unwrap_or_else(|_| bail!("a spawner panicked"))?,
            );
        }
        Ok(lives)
    }
}

fn spawn(
    program: &PathBuf,
    pause: Duration,
    stop: &AtomicBool,
    next: &AtomicU64,
) -> Result<Vec<Life>> {
    let mut lives = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let from_ns = unix_ns()?;
        let mut command = Command::new(program);
        let status = command
            .arg(number.to_string())
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        if !status.success() {
            bail!("{} failed: {status}", program.display());
        }
        lives.push(Life {
            number,
            from_ns,
            until_ns: unix_ns()?,
        });
        thread::sleep(pause);
    }
    Ok(lives)
}

fn unix_ns() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_nanos())?)
}
