//! CPU time of a program during a load, without what it uses when nothing happens.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process_cost::cpu_ns;

/// How long a program is watched doing nothing.
const IDLE: Duration = Duration::from_secs(5);

pub(super) struct Meter {
    pid: u32,
    idle_per_s: f64,
    started: Instant,
    before: u64,
}

impl Meter {
    /// Watches the idle program for some seconds; the load may start when it returns.
    pub(super) fn start(pid: u32) -> Result<Self> {
        let before = cpu_ns(pid)?;
        thread::sleep(IDLE);
        let after = cpu_ns(pid)?;
        Ok(Self {
            pid,
            idle_per_s: (after - before) as f64 / 1e9 / IDLE.as_secs_f64(),
            started: Instant::now(),
            before: after,
        })
    }

    /// CPU seconds since the start that idling does not explain.
    pub(super) fn busy_s(&self) -> Result<f64> {
        let used = (cpu_ns(self.pid)? - self.before) as f64 / 1e9;
        // Below zero when it idled more expensively than it worked: too small a load to tell.
        Ok(used - self.idle_per_s * self.started.elapsed().as_secs_f64())
    }
}
