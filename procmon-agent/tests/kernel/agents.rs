//! Real agents with a spool and a BPF file system of their own, and what they spooled.

use std::collections::HashMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use procmon_agent::spool::{self, SpoolOptions};
use procmon_common::wire;

use crate::bpffs::Bpffs;
use crate::lives::Lives;

/// More of both for `cargo xtask`: `PROCMON_STORM=50000 PROCMON_RESTARTS=20`.
const PROCESSES: u32 = 1500;
const RESTARTS: u32 = 5;
/// A pinned ring of 4 MiB holds about twice as many lives.
const UNWATCHED: u32 = 3000;
const PATIENCE: Duration = Duration::from_mins(1);
/// Named as no other program is, so that nobody else's processes are counted.
pub(crate) const PROBE: &str = "storm-probe";

/// Every agent sees the processes of all tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A BPF file system, a spool and a program of its own.
pub(crate) struct Host {
    bpffs: Bpffs,
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Host {
    pub(crate) fn new() -> Result<Self> {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir()?;
        std::fs::copy("/bin/true", folder.path().join(PROBE)).context("no /bin/true")?;
        Ok(Self {
            bpffs: Bpffs::mount()?,
            folder,
            _alone: alone,
        })
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Busybox goes by the name it is called by.
    pub(crate) fn probe(&self, number: u32) -> Command {
        let mut command = Command::new(self.folder.path().join(PROBE));
        command.arg0("true").arg(number.to_string());
        command
    }

    pub(crate) fn agent(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(agent_binary());
        command
            .args(arguments)
            .args(["--agent-id=storm", "--server-url=http://127.0.0.1:1"])
            .args(["--probe=ebpf", "--interval=1s"])
            .arg("--spool-dir")
            .arg(self.spool())
            .env("PROCMON_BPFFS", self.bpffs.path())
            .env("PROCMON_LOG", "error");
        command
    }

    pub(crate) fn start(&self, arguments: &[String]) -> Result<Agent> {
        let mut arguments = arguments.to_vec();
        if !arguments
            .iter()
            .any(|argument| argument.starts_with("--pin"))
        {
            arguments.push("--pin=true".into());
        }
        let mut command = self.agent(&arguments);
        let found = self.newest_segment()?;
        let child = command.stdin(Stdio::null()).spawn()?;
        Ok(Agent { child, found })
    }

    fn newest_segment(&self) -> Result<Option<PathBuf>> {
        let mut segments = list(&self.spool())?;
        segments.retain(|path| path.extension().is_some_and(|ext| ext == "seg"));
        segments.sort();
        Ok(segments.pop())
    }

    pub(crate) fn versions(&self) -> Result<Vec<PathBuf>> {
        let mut versions = Vec::new();
        for instance in list(&self.bpffs.path().join("procmon"))? {
            versions.extend(list(&instance)?);
        }
        Ok(versions)
    }

    /// Starts processes without a pause, and meanwhile ends agents and starts the next.
    pub(crate) fn storm(
        &self,
        end: impl Fn(u32, &mut Agent) -> Result<()>,
        arguments: impl Fn(u32) -> Vec<String>,
    ) -> Result<Told> {
        let processes = from_environment("PROCMON_STORM", PROCESSES);
        let restarts = from_environment("PROCMON_RESTARTS", RESTARTS);
        let mut agent = self.start(&arguments(0))?;
        agent.until_spooled(self)?;
        let unwatched = AtomicU32::new(0);
        std::thread::scope(|scope| -> Result<()> {
            let storm = scope.spawn(|| -> Result<()> {
                for number in 0..processes {
                    self.probe(number).spawn()?.wait()?;
                    // However long an agent takes to start here, the ring holds what happens until then.
                    unwatched.fetch_add(1, Ordering::Relaxed);
                    while unwatched.load(Ordering::Relaxed) > UNWATCHED {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                Ok(())
            });
            let watching = || unwatched.store(0, Ordering::Relaxed);
            for restart in 0..restarts {
                // At any point of the agent's round.
                for _ in 0..4 {
                    watching();
                    std::thread::sleep(Duration::from_millis(77 + u64::from(restart) * 9));
                }
                end(restart, &mut agent)?;
                watching();
                std::thread::sleep(Duration::from_millis(50));
                agent = self.start(&arguments(restart + 1))?;
                agent.until_spooled(self)?;
            }
            while !storm.is_finished() {
                watching();
                std::thread::sleep(Duration::from_millis(77));
            }
            storm
                .join()
                .map_err(|_| anyhow::anyhow!("the storm panicked"))?
        })?;
        // Its last records are at most one round away.
        std::thread::sleep(Duration::from_millis(500));
        agent.stop()?;
        let mut told = self.told()?;
        told.processes = processes;
        told.restarts = restarts;
        Ok(told)
    }

    /// All that is in the spool.
    pub(crate) fn told(&self) -> Result<Told> {
        let (_writer, mut reader) = spool::open(&self.spool(), SpoolOptions::new(256 << 20))?;
        let mut told = Told::default();
        while let Some(spooled) = reader.try_next() {
            let batch = wire::decode(&spooled.payload, wire::MAX_DECODED_BYTES)?;
            told.take(batch)?;
            reader.ack(spooled.epoch, spooled.seq);
        }
        Ok(told)
    }
}

fn agent_binary() -> PathBuf {
    std::env::var_os("PROCMON_AGENT_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_procmon-agent")),
        PathBuf::from,
    )
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) struct Agent {
    child: Child,
    /// The newest segment before it was started.
    found: Option<PathBuf>,
}

impl Agent {
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(
            status.signal() == Some(libc::SIGKILL),
            "it ended before: {status}"
        );
        Ok(())
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().cast_signed();
        // SAFETY: a plain system call about a child of ours that is not reaped yet.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let status = self.child.wait()?;
        ensure!(status.success(), "the agent: {status}");
        Ok(())
    }

    /// It has written a batch into a segment of its own: from here on it is at work, and what it told is there when it is
    /// killed.
    pub(crate) fn until_spooled(&mut self, host: &Host) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes_before = 0;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended: {status}");
            }
            let newest = host.newest_segment()?;
            if let Some(segment) = newest.filter(|newest| self.found.as_ref() != Some(newest)) {
                let bytes = std::fs::metadata(segment).map_or(0, |data| data.len());
                // Not in the middle of writing it.
                if bytes > 0 && bytes == bytes_before {
                    return Ok(());
                }
                bytes_before = bytes;
            }
            ensure!(Instant::now() < deadline, "the agent spools nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only when a test failed: it is reaped already otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run of an agent.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) epoch: u64,
    pub(crate) covered_since: i64,
    pub(crate) continued: bool,
    pub(crate) last_built: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) lives: Lives,
    pub(crate) runs: Vec<Run>,
    pub(crate) losses: HashMap<String, u64>,
    pub(crate) processes: u32,
    pub(crate) restarts: u32,
}

impl Told {
    pub(crate) fn take(&mut self, batch: wire::Batch) -> Result<()> {
        if batch.key {
            self.lives.forget_handles();
        }
        if self.runs.last().is_none_or(|run| run.epoch != batch.epoch) {
            self.runs.push(Run {
                epoch: batch.epoch,
                ..Run::default()
            });
        }
        if let Some(run) = self.runs.last_mut() {
            run.last_built = batch.built_unix_ns;
            if let Some(health) = &batch.health {
                run.covered_since = health.covered_since_unix_ns;
                run.continued = health.continued;
            }
        }
        for loss in batch.losses {
            *self
                .losses
                .entry(format!("{}.{}", loss.kind, loss.reason))
                .or_default() += loss.count;
        }
        self.lives.take(batch.processes, batch.events)
    }

    /// Each process once: one start, one end, by the kernel's own word.
    pub(crate) fn ensure_complete(&self) -> Result<()> {
        ensure!(self.losses.is_empty(), "lost: {:?}", self.losses);
        let mut numbers = HashMap::new();
        for life in self.lives.of(PROBE) {
            let [(exec, false)] = &life.execs[..] else {
                bail!("{} execs of one life: {life:?}", life.execs.len())
            };
            let [(exit, false)] = &life.exits[..] else {
                bail!("{} exits of one life: {life:?}", life.exits.len())
            };
            ensure!(exit.code == Some(0), "{life:?}");
            let image = exec.image.clone().unwrap_or_default();
            let number = String::from_utf8_lossy(&image.args).into_owned();
            *numbers.entry(number).or_insert(0) += 1;
        }
        ensure!(
            numbers.len() == self.processes as usize && numbers.values().all(|count| *count == 1),
            "{} of {} processes were seen",
            numbers.len(),
            self.processes
        );
        ensure!(
            self.runs.len() == self.restarts as usize + 1,
            "{:?}",
            self.runs
        );
        let since = self.runs[0].covered_since;
        for run in &self.runs[1..] {
            ensure!(
                run.continued && run.covered_since == since,
                "{:?}",
                self.runs
            );
        }
        Ok(())
    }
}

fn from_environment(name: &str, default: u32) -> u32 {
    let value = std::env::var(name).ok();
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}
