//! Captures as the agent does, and waits for what a test expects.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use procmon_agent::config::Probe;
use procmon_agent::kernel::{Capture, CaptureOptions, KernelCounters, probe};
use procmon_agent::sample::Sampler;
use procmon_agent::source::Source;
use procmon_agent::table::Table;
use procmon_common::columns::Column;
use procmon_common::wire;
use wire::event::Kind;

use crate::lives::Lives;

/// An emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Watcher {
    source: Source,
    table: Table,
    pub(crate) lives: HashMap<u32, Life>,
    handles: HashMap<u32, u32>,
    pub(crate) slow: Vec<(u32, wire::SlowIo)>,
    sampler: Sampler,
    sampled: Option<Instant>,
    waits_for_totals: bool,
    /// The same by identity, for tests in which pids come round.
    pub(crate) told: Lives,
}

/// All that was seen of one pid. A pid is not reused within a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) process: wire::Process,
    pub(crate) execs: Vec<wire::Exec>,
    pub(crate) exits: Vec<wire::Exit>,
    pub(crate) ooms: Vec<wire::Oom>,
}

impl Watcher {
    pub(crate) fn start() -> Result<Self> {
        Self::with(CaptureOptions {
            io_slow_threshold: Duration::from_hours(1),
            ..CaptureOptions::default()
        })
    }

    /// Waits for the totals of an exit until they come. The agent sends an exit on without them in time; the kernel tells
    /// them when it frees the task, which on a host that is overloaded is later than that.
    pub(crate) fn start_patiently() -> Result<Self> {
        Ok(Self {
            waits_for_totals: true,
            ..Self::start()?
        })
    }

    pub(crate) fn with(options: CaptureOptions) -> Result<Self> {
        let (_, _, source) = probe::choose(Probe::Ebpf, options, None)
            .context("this test needs root and a kernel with BTF")?;
        Self::of(source)
    }

    pub(crate) fn of(mut source: Source) -> Result<Self> {
        let mut table = Table::new(false, source.knows_totals());
        table.baseline()?;
        let iterator = source.ebpf_mut().and_then(Capture::take_iterator);
        let sampler = Sampler::new(iterator)?;
        let mut watcher = Self {
            sampler,
            sampled: None,
            waits_for_totals: false,
            source,
            table,
            lives: HashMap::new(),
            handles: HashMap::new(),
            slow: Vec::new(),
            told: Lives::default(),
        };
        watcher.poll()?;
        Ok(watcher)
    }

    /// Applies what is pending.
    pub(crate) fn poll(&mut self) -> Result<()> {
        let mut undecodable = None;
        let note = |error| undecodable = Some(error);
        if self.waits_for_totals {
            self.source.drain(&mut self.table, |_| false, note)?;
        } else {
            self.source.catch_up(&mut self.table, |_| false, note)?;
        }
        if let Some(error) = undecodable {
            bail!("a record cannot be decoded: {error}");
        }
        self.take_changes()
    }

    fn take_changes(&mut self) -> Result<()> {
        let changes = self.table.take_changes();
        self.told
            .take(changes.processes.clone(), changes.events.clone())?;
        for process in changes.processes {
            self.handles.insert(process.handle, process.pid);
            let life = self.lives.entry(process.pid).or_default();
            life.process = process;
        }
        for event in changes.events {
            let pid = self.handles.get(&event.handle).copied().unwrap_or(0);
            match event.kind {
                Some(Kind::IoSlow(slow)) => self.slow.push((pid, slow)),
                Some(Kind::Exec(exec)) => self.life(pid)?.execs.push(exec),
                Some(Kind::Exit(exit)) => self.life(pid)?.exits.push(exit),
                Some(Kind::Oom(oom)) => self.life(pid)?.ooms.push(oom),
                Some(Kind::Fork(_)) | None => bail!("fork events were not asked for"),
            }
        }
        Ok(())
    }

    /// Takes a sample, which tells what records missed.
    pub(crate) fn reconcile(&mut self) -> Result<()> {
        self.poll()?;
        let sample = self.sampler.take()?;
        self.poll()?;
        let taken = sample.taken;
        self.table.merge(sample, self.sampled, Duration::ZERO);
        self.sampled = Some(taken);
        self.take_changes()
    }

    /// What the kernel counted.
    pub(crate) fn counters(&self) -> Result<KernelCounters> {
        self.source.counters()
    }

    fn life(&mut self, pid: u32) -> Result<&mut Life> {
        self.lives
            .get_mut(&pid)
            .with_context(|| format!("an event about the unknown pid {pid}"))
    }

    /// Waits until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.poll()?;
            if done(self) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
            self.source.wait(Duration::from_millis(20));
        }
    }

    /// The whole life of a pid whose end is near; fails when there is more than one end.
    pub(crate) fn life_of(&mut self, pid: u32) -> Result<Life> {
        self.until("exit event", |watcher| {
            watcher
                .lives
                .get(&pid)
                .is_some_and(|life| !life.exits.is_empty())
        })?;
        let life = self.lives[&pid].clone();
        ensure!(
            life.exits.len() == 1,
            "{} exit events for one life",
            life.exits.len()
        );
        Ok(life)
    }

    /// Takes a sample as the agent does; what ended unsampled before it.
    pub(crate) fn sample(&mut self) -> Result<Vec<wire::ShortLived>> {
        self.poll()?;
        let sample = self.sampler.take()?;
        self.poll()?;
        let taken = sample.taken;
        self.table
            .merge(sample, self.sampled, Duration::from_millis(100));
        self.sampled = Some(taken);
        Ok(self.table.take_short_lived())
    }

    /// What the last sample told of a process.
    pub(crate) fn metric(&self, pid: u32, column: Column) -> Option<u64> {
        self.table.get(pid)?.now.get(column)
    }

    /// Block requests since the last call.
    pub(crate) fn block_latency(&mut self) -> Result<Vec<wire::BlockLatency>> {
        let Some(capture) = self.source.ebpf_mut() else {
            return Ok(Vec::new());
        };
        Ok(self.table.block_latency(&capture.latencies()?))
    }

    pub(crate) fn handle(&self, pid: u32) -> Option<u32> {
        Some(self.table.get(pid)?.handle)
    }

    pub(crate) fn lost(&self) -> Result<Vec<(&'static str, &'static str, u64)>> {
        Ok(self.source.counters()?.lost().collect())
    }
}

impl Life {
    pub(crate) fn exit(&self) -> &wire::Exit {
        &self.exits[0]
    }
}

/// This binary as a child program.
pub(crate) fn child(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.arg("--child").args(arguments);
    command
}

/// Runs a child and reaps it with its resource usage.
pub(crate) fn wait4(mut command: Command) -> Result<(u32, libc::rusage)> {
    let pid = command.spawn().context("cannot start the child")?.id();
    // SAFETY: all zeroes is a valid rusage, and wait4 writes into places of the right type.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let mut status = 0;
        let reaped = libc::wait4(pid.cast_signed(), &raw mut status, 0, &raw mut usage);
        ensure!(reaped == pid.cast_signed(), "wait4 answered {reaped}");
        usage
    };
    Ok((pid, usage))
}
