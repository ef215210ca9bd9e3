//! How the agent is doing, for its own `/metrics` and `/healthz`. The watch writes, without waiting for anyone; whoever is
//! asked reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use procmon_common::wire;

/// See the module. Counts are since the agent started.
#[derive(Debug)]
pub struct Vitals {
    begun: Instant,
    is_read: bool,
    ticked_ms: AtomicU64,
    sampled_ms: AtomicU64,
    interval_ms: AtomicU64,
    samples: AtomicU64,
    sample_wall_ns: AtomicU64,
    sample_cpu_ns: AtomicU64,
    batches: AtomicU64,
    batch_bytes: AtomicU64,
    spool_fails: AtomicBool,
    /// Replaced about once a second, and only when there is someone to read it.
    health: Mutex<wire::AgentHealth>,
}

/// The watch looks for work at least this often.
const LONGEST_TICK: Duration = Duration::from_secs(10);
/// A sample of a host with very many processes takes its time.
const SAMPLE_GRACE: Duration = Duration::from_secs(10);

impl Vitals {
    /// `is_read` says whether anyone will ask for the health record.
    pub fn new(is_read: bool) -> Self {
        Self {
            begun: Instant::now(),
            is_read,
            ticked_ms: AtomicU64::new(0),
            sampled_ms: AtomicU64::new(0),
            interval_ms: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            sample_wall_ns: AtomicU64::new(0),
            sample_cpu_ns: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batch_bytes: AtomicU64::new(0),
            spool_fails: AtomicBool::new(false),
            health: Mutex::default(),
        }
    }

    pub fn is_read(&self) -> bool {
        self.is_read
    }

    pub(crate) fn ticked(&self) {
        self.ticked_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    pub(crate) fn sampled(&self, wall: Duration, cpu: Duration, interval: Duration) {
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.sample_wall_ns
            .fetch_add(wall.as_nanos() as u64, Ordering::Relaxed);
        self.sample_cpu_ns
            .fetch_add(cpu.as_nanos() as u64, Ordering::Relaxed);
        self.interval_ms
            .store(interval.as_millis() as u64, Ordering::Relaxed);
        self.sampled_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    pub(crate) fn built(&self, batch_bytes: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.batch_bytes
            .fetch_add(batch_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, health: wire::AgentHealth, spool_works: bool) {
        self.spool_fails.store(!spool_works, Ordering::Relaxed);
        *self.health_guard() = health;
    }

    /// The last health record; empty in the first second.
    pub fn health(&self) -> wire::AgentHealth {
        self.health_guard().clone()
    }

    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    pub fn sample_wall(&self) -> Duration {
        Duration::from_nanos(self.sample_wall_ns.load(Ordering::Relaxed))
    }

    pub fn sample_cpu(&self) -> Duration {
        Duration::from_nanos(self.sample_cpu_ns.load(Ordering::Relaxed))
    }

    /// The time between two samples that is in force.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.load(Ordering::Relaxed))
    }

    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    pub fn batch_bytes(&self) -> u64 {
        self.batch_bytes.load(Ordering::Relaxed)
    }

    /// What keeps the agent from seeing, or from keeping what it sees.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let since = |then_ms: &AtomicU64| {
            let then_ms = then_ms.load(Ordering::Relaxed);
            Duration::from_millis(self.age_ms().saturating_sub(then_ms))
        };
        let tick = since(&self.ticked_ms);
        if tick > LONGEST_TICK {
            failures.push(format!(
                "watching stands still for {} s: the host is overloaded, or its disk does not answer",
                tick.as_secs()
            ));
        }
        let sample = since(&self.sampled_ms);
        if sample > self.interval() * 3 + SAMPLE_GRACE {
            failures.push(format!("no sample for {} s", sample.as_secs()));
        }
        if self.spool_fails.load(Ordering::Relaxed) {
            failures.push("the spool cannot be written: is its disk full?".to_owned());
        }
        failures
    }

    fn age_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn health_guard(&self) -> MutexGuard<'_, wire::AgentHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
