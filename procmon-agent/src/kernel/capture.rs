//! The loaded programs: attach, wait, drain, count.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader};
use procmon_common::kernel::{COUNTERS, Counter, KINDS, Kind, Latency, LatencyKey, Settings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::btf::Btf;
use super::iterator::TaskIterator;
use super::latency::LatencyTable;
use super::offsets::resolve;
use super::program_info::recursion_misses;

/// The committed object. `cargo xtask build-ebpf` makes it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../procmon-ebpf/prebuilt/procmon-ebpf.o");

/// Another object to load in its place, for tests of a rebuilt one.
const OBJECT_VARIABLE: &str = "PROCMON_EBPF_OBJECT";

/// Program, tracepoint, and the kind of record that a miss of it loses.
const PROGRAMS: [(&str, &str, Option<Kind>); 9] = [
    ("process_free", "sched_process_free", Some(Kind::Free)),
    ("process_exit", "sched_process_exit", Some(Kind::Exit)),
    ("process_exec", "sched_process_exec", Some(Kind::Exec)),
    ("process_fork", "sched_process_fork", Some(Kind::Fork)),
    ("block_complete", "block_rq_complete", Some(Kind::SlowIo)),
    ("block_issue", "block_rq_issue", Some(Kind::SlowIo)),
    ("block_insert", "block_rq_insert", Some(Kind::SlowIo)),
    ("oom_victim", "mark_victim", Some(Kind::Oom)),
    // Missed, an exit does not name who sent the signal.
    ("signal_sent", "signal_generate", None),
];

const LOAD_ATTEMPTS: u32 = 5;

#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    pub io_slow_threshold: Duration,
    /// A power of two and a multiple of the page size.
    pub ring_bytes: u32,
    pub wakeup_bytes: u64,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            io_slow_threshold: Duration::from_millis(100),
            ring_bytes: 1 << 20,
            wakeup_bytes: 64 << 10,
        }
    }
}

/// Programs that are attached, and the consumer's end of their ring.
pub struct Capture {
    ring: RingBuf<MapData>,
    iterator: Option<TaskIterator>,
    counters: PerCpuArray<MapData, u64>,
    latencies: LatencyTable,
    /// Keeps the programs attached.
    ebpf: Ebpf,
    #[cfg(feature = "ebpf-log")]
    log: aya_log::EbpfLogger<&'static dyn log::Log>,
}

/// What the programs count, since they were loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// (kind, reason or `emitted`, count); zero counts are left out.
    pub counts: Vec<(Kind, &'static str, u64)>,
}

impl Capture {
    /// Loads and attaches all programs. After this returns nothing is missed: take the baseline now.
    pub fn start(options: CaptureOptions) -> Result<Self> {
        let offsets = resolve(&Btf::of_this_kernel()?)?;
        let settings = Settings {
            io_slow_threshold_ns: options.io_slow_threshold.as_nanos() as u64,
            wakeup_bytes: options.wakeup_bytes,
        };
        let object = std::env::var_os(OBJECT_VARIABLE)
            .map(|path| {
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
            })
            .transpose()?;
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", bytemuck::bytes_of(&offsets), true)
            .override_global("SETTINGS", bytemuck::bytes_of(&settings), true)
            .map_max_entries("EVENTS", options.ring_bytes)
            .load(object.as_deref().unwrap_or(OBJECT))
            .context("the kernel did not accept the eBPF object")?;
        let btf = AyaBtf::from_sys_fs().context("cannot read the kernel's BTF")?;
        // First, because the hooks need what it learns.
        let iterator = TaskIterator::new(&mut ebpf, &btf)?;
        for (program, tracepoint, _) in PROGRAMS {
            attach(&mut ebpf, program, tracepoint, &btf)?;
        }
        drop(btf);
        crate::limits::give_memory_back();
        let ring = ebpf
            .take_map("EVENTS")
            .context("the object has no map EVENTS")?;
        let latencies = ebpf
            .take_map("LATENCIES")
            .context("the object has no map LATENCIES")?;
        let counters = ebpf
            .take_map("COUNTERS")
            .context("the object has no map COUNTERS")?;
        Ok(Self {
            ring: ring.try_into()?,
            iterator: Some(iterator),
            counters: counters.try_into()?,
            latencies: LatencyTable::new(latencies.try_into()?),
            #[cfg(feature = "ebpf-log")]
            log: aya_log::EbpfLogger::init(&mut ebpf)
                .context("this object was not built with `cargo xtask build-ebpf --log`")?,
            ebpf,
        })
    }

    /// The iterator over all tasks, once.
    pub fn take_iterator(&mut self) -> Option<TaskIterator> {
        self.iterator.take()
    }

    /// Block requests that completed since the last call.
    pub fn latencies(&mut self) -> Result<Vec<(LatencyKey, Latency)>> {
        self.latencies.take()
    }

    /// Returns when the programs call for the reader, or after `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let Ok(timeout) = Timespec::try_from(timeout) else {
            return;
        };
        // An interrupted or failed wait is an early wake-up: the drain after it is harmless.
        let _ = poll(
            &mut [PollFd::new(&self.ring, PollFlags::IN)],
            Some(&timeout),
        );
    }

    /// Hands over pending records in order until there is none or `take` returns false; how many there were.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> usize {
        #[cfg(feature = "ebpf-log")]
        self.log.flush();
        let mut drained = 0;
        while let Some(record) = self.ring.next() {
            drained += 1;
            if !take(&record) {
                break;
            }
        }
        drained
    }

    /// Sums over CPUs, and the hooks that the kernel itself skipped.
    pub fn counters(&self) -> Result<KernelCounters> {
        let mut counts = Vec::new();
        for counter in COUNTERS {
            for kind in KINDS {
                let values = self.counters.get(&counter.slot(kind), 0)?;
                let count = values.iter().sum();
                if count > 0 {
                    counts.push((kind, counter.name(), count));
                }
            }
        }
        for (program, _, kind) in PROGRAMS {
            let Some(kind) = kind else {
                continue;
            };
            let misses = self.recursion_misses(program)?;
            if misses > 0 {
                counts.push((kind, "recursion", misses));
            }
        }
        Ok(KernelCounters { counts })
    }

    fn recursion_misses(&self, program: &str) -> Result<u64> {
        let fd = self
            .ebpf
            .program(program)
            .with_context(|| format!("no program {program}"))?
            .fd()?;
        Ok(recursion_misses(fd.as_fd())?)
    }
}

impl KernelCounters {
    /// Records lost, by kind and reason.
    pub fn lost(&self) -> impl Iterator<Item = (Kind, &'static str, u64)> + '_ {
        self.counts
            .iter()
            .copied()
            .filter(|(_, reason, _)| *reason != Counter::Emitted.name())
    }
}

/// A signal that is pending lets the verifier give up with EAGAIN: that says nothing about the program.
pub(super) fn patiently(
    mut load: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
    let mut attempts = LOAD_ATTEMPTS;
    loop {
        attempts -= 1;
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempts > 0 => {}
            result => return result,
        }
    }
}

fn attach(ebpf: &mut Ebpf, program: &str, tracepoint: &str, btf: &AyaBtf) -> Result<()> {
    let loaded = ebpf
        .program_mut(program)
        .with_context(|| format!("the object has no program {program}"))?;
    let loaded: &mut BtfTracePoint = loaded.try_into()?;
    patiently(|| loaded.load(tracepoint, btf))
        .with_context(|| format!("the kernel's verifier refused {program}"))?;
    loaded
        .attach()
        .with_context(|| format!("cannot attach {program} to {tracepoint}"))?;
    Ok(())
}
