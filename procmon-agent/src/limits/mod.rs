//! The agent's own budget: how much memory and CPU it uses, and what it gives up to stay within its limits. Decides only;
//! the watch applies it. What is given up is reported, logged once, and taken up again when there is room.

mod cpu;
mod memory;
mod usage;

use std::time::Duration;

use cpu::CpuBudget;
use memory::{MemoryBudget, Step};

pub use usage::go_first;
pub(crate) use usage::{give_memory_back, own_rss_bytes, process_cpu, thread_cpu};

/// As much of argv as is kept of each process.
const ARGS_MAX_BYTES: usize = 4096;
const ARGS_MAX_BYTES_SHORT: usize = 256;
/// Of the configured interval, while memory is short.
const SLOWER: u32 = 4;
/// Even an agent that is far over its limits samples this often, unless it was configured to sample less often.
const LONGEST_INTERVAL: Duration = Duration::from_mins(5);

/// What the configuration allows. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allowance {
    pub interval: Duration,
    pub mem_limit_bytes: u64,
    pub cpu_limit_percent: f64,
}

/// What is given up at present: read by those who can do with less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degradation {
    pub args_max_bytes: usize,
    pub interval: Duration,
    /// Whether processes that are not known yet may be added to the table.
    pub new_processes: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Limits {
    allowance: Allowance,
    memory: MemoryBudget,
    cpu: CpuBudget,
}

impl Limits {
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            memory: MemoryBudget::new(allowance.mem_limit_bytes),
            cpu: CpuBudget::new(allowance.cpu_limit_percent),
        }
    }

    /// Other limits from now on; what was given up for the old ones is judged anew.
    pub fn allow(&mut self, allowance: Allowance) {
        if allowance != self.allowance {
            *self = Self::new(allowance);
        }
    }

    /// Whether this measurement would cost something that is not given up yet.
    pub fn would_give_up(&self, rss_bytes: u64) -> bool {
        self.memory.would_rise(rss_bytes)
    }

    /// Whether something is given up, or would be.
    pub fn is_near(&self, rss_bytes: u64) -> bool {
        self.memory.is_near(rss_bytes)
    }

    /// Takes a measurement of resident memory, some four times a second.
    pub fn measured(&mut self, rss_bytes: u64) {
        self.memory.measured(rss_bytes);
    }

    /// Takes the CPU time of a sample, from reading to the spool.
    pub fn sampled(&mut self, cpu: Duration) {
        self.cpu.sampled(cpu, self.allowance.interval);
    }

    pub fn degradation(&self) -> Degradation {
        let step = self.memory.step();
        Degradation {
            args_max_bytes: if step < Step::Argv {
                ARGS_MAX_BYTES
            } else {
                ARGS_MAX_BYTES_SHORT
            },
            interval: self.interval(),
            new_processes: step < Step::Processes,
        }
    }

    /// For the agent's health: what is given up, most important last.
    pub fn names(&self) -> Vec<String> {
        let now = self.degradation();
        let given_up = [
            ("argv", now.args_max_bytes < ARGS_MAX_BYTES),
            ("sample_rate", now.interval > self.allowance.interval),
            ("processes", !now.new_processes),
        ];
        given_up
            .into_iter()
            .filter(|(_, given_up)| *given_up)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn interval(&self) -> Duration {
        let configured = self.allowance.interval;
        let for_memory = if self.memory.step() < Step::SampleRate {
            1
        } else {
            SLOWER
        };
        (configured * self.cpu.factor().max(for_memory)).min(LONGEST_INTERVAL.max(configured))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(Allowance {
            interval: Duration::from_secs(5),
            mem_limit_bytes: 100 << 20,
            cpu_limit_percent: 5.0,
        })
    }

    #[test]
    fn gives_up_by_priority() {
        let mut limits = limits();
        for (mib, expected) in [
            (50, ""),
            (81, "argv"),
            (89, "argv sample_rate"),
            (95, "argv sample_rate processes"),
        ] {
            limits.measured(mib << 20);
            assert_eq!(limits.names().join(" "), expected, "at {mib} MiB");
        }
        let now = limits.degradation();
        assert_eq!(
            (now.args_max_bytes, now.new_processes),
            (ARGS_MAX_BYTES_SHORT, false)
        );
        assert_eq!(now.interval, Duration::from_secs(20));
    }

    #[test]
    fn the_interval_has_an_end() {
        let mut limits = limits();
        for _ in 0..20 {
            limits.sampled(Duration::from_secs(100));
        }
        assert_eq!(limits.degradation().interval, LONGEST_INTERVAL);
        assert_eq!(limits.names(), ["sample_rate"]);
        limits.allow(Allowance {
            interval: Duration::from_hours(1),
            ..limits.allowance()
        });
        assert_eq!(limits.degradation().interval, Duration::from_hours(1));
        assert!(limits.names().is_empty());
    }

    #[test]
    fn no_limits_give_up_nothing() {
        let mut limits = Limits::new(Allowance {
            interval: Duration::from_secs(1),
            ..Allowance::default()
        });
        limits.measured(1 << 40);
        for _ in 0..5 {
            limits.sampled(Duration::from_secs(100));
        }
        assert!(limits.names().is_empty());
        assert!(!limits.is_near(1 << 40));
    }
}
