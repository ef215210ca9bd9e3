//! CPU time of a program during a load, without what it uses when nothing happens.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process_cost::cpu_ns;

/// How often, and how long each time, a program is watched doing nothing. The cheapest time counts: others of this machine
/// start processes too, which are work for whoever watches it.
const IDLE_WATCHES: u32 = 5;
const IDLE_WATCH: Duration = Duration::from_secs(2);

pub(super) struct Meter {
    pid: u32,
    idle_per_s: f64,
    started: Instant,
    before: u64,
}

impl Meter {
    /// Watches the idle program for some seconds; the load may start when it returns.
    pub(super) fn start(pid: u32) -> Result<Self> {
        let mut before = cpu_ns(pid)?;
        let mut idle_ns = u64::MAX;
        for _ in 0..IDLE_WATCHES {
            thread::sleep(IDLE_WATCH);
            let after = cpu_ns(pid)?;
            idle_ns = idle_ns.min(after - before);
            before = after;
        }
        Ok(Self {
            pid,
            idle_per_s: idle_ns as f64 / 1e9 / IDLE_WATCH.as_secs_f64(),
            started: Instant::now(),
            before,
        })
    }

    /// CPU seconds since the start that idling does not explain.
    pub(super) fn busy_s(&self) -> Result<f64> {
        let used = (cpu_ns(self.pid)? - self.before) as f64 / 1e9;
        // Below zero when it idled more expensively than it worked: too small a load to tell.
        Ok(used - self.idle_per_s * self.started.elapsed().as_secs_f64())
    }
}
