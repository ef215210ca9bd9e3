//! The watch looks after itself: its limits, a configuration that was read again, and how it is doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Watch;
use crate::limits::{Limits, give_memory_back, own_rss_bytes};
use crate::privileges;
use crate::table::Table;

/// How often the agent looks at its memory: a storm of processes must not outrun it.
const MEASURED_EVERY: Duration = Duration::from_millis(250);
/// How often it says how it is doing.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Giving freed memory back costs time: more often than this only before something is given up.
const TRIMMED_EVERY: Duration = Duration::from_secs(5);

/// When what was done last.
#[derive(Debug)]
pub(super) struct Upkeep {
    measured: Instant,
    trimmed: Instant,
    told: Instant,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            measured: now,
            trimmed: now,
            told: now,
        }
    }

    /// Measures memory, if it is time, and tells the table what it may hold.
    pub(super) fn measure(&mut self, limits: &mut Limits, table: &mut Table) {
        if self.measured.elapsed() < MEASURED_EVERY {
            return;
        }
        let mut rss_bytes = own_rss_bytes();
        let is_time = limits.is_near(rss_bytes) && self.trimmed.elapsed() > TRIMMED_EVERY;
        if is_time || limits.would_give_up(rss_bytes) {
            give_memory_back();
            rss_bytes = own_rss_bytes();
            self.trimmed = Instant::now();
        }
        if table.shrink() {
            give_memory_back();
            rss_bytes = own_rss_bytes();
        }
        limits.measured(rss_bytes);
        restrict(table, limits);
        self.measured = Instant::now();
    }
}

/// What the table can do with less of.
fn restrict(table: &mut Table, limits: &Limits) {
    let now = limits.degradation();
    table.set_args_max(now.args_max_bytes);
    table.set_full(!now.new_processes);
}

impl Watch {
    pub(super) fn interval(&self) -> Duration {
        self.limits.degradation().interval
    }

    /// Takes over a configuration that was read again.
    pub(super) fn reconfigure(&mut self) {
        if !self.config.has_changed().unwrap_or(false) {
            return;
        }
        let config = Arc::clone(&self.config.borrow_and_update());
        let labels = config.labels.clone().into_iter().collect();
        self.builder.set_speaker(labels, config.interval);
        self.table.set_fork_events(config.fork_events);
        self.limits.allow(config.allowance());
        self.apply_limits();
    }

    /// Gives up what is too much, and publishes how it is doing.
    pub(super) fn look_after_itself(&mut self) -> Result<()> {
        // Where nothing happens memory does not grow.
        if self.moved >= self.upkeep.measured || self.upkeep.measured.elapsed() >= TOLD_EVERY {
            self.upkeep.measure(&mut self.limits, &mut self.table);
        }
        self.apply_limits();
        if self.upkeep.told.elapsed() < TOLD_EVERY {
            return Ok(());
        }
        self.upkeep.told = Instant::now();
        privileges::log_denied();
        if self.vitals.is_read() {
            let health = self.builder.describe(self.condition()?);
            self.vitals.publish(health, self.spool.can_write());
        }
        Ok(())
    }

    /// Everything that can do with less is told here.
    pub(super) fn apply_limits(&mut self) {
        restrict(&mut self.table, &self.limits);
        self.builder.set_interval(self.interval());
        self.losses.refused(self.table.refused());
    }
}
