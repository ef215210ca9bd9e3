//! The watch looks after itself: its limits, a configuration that was read again, and how it is doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Watch;
use crate::limits::{give_memory_back, own_rss_bytes};
use crate::privileges;

/// How often the agent looks at what it uses itself.
const EVERY: Duration = Duration::from_secs(1);

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

    /// Measures what the agent uses, gives up what is too much, and publishes how it is doing.
    pub(super) fn look_after_itself(&mut self) -> Result<()> {
        if self.looked_after.elapsed() < EVERY {
            return Ok(());
        }
        self.looked_after = Instant::now();
        let mut rss_bytes = own_rss_bytes();
        if self.limits.is_near(rss_bytes) {
            give_memory_back();
            rss_bytes = own_rss_bytes();
        }
        self.limits.measured(rss_bytes);
        self.apply_limits();
        privileges::log_denied();
        if self.vitals.is_read() {
            let health = self.builder.describe(self.condition()?);
            self.vitals.publish(health, self.spool.can_write());
        }
        Ok(())
    }

    /// Everything that can do with less is told here.
    pub(super) fn apply_limits(&mut self) {
        let now = self.limits.degradation();
        self.table.set_args_max(now.args_max_bytes);
        self.table.set_full(!now.new_processes);
        self.builder.set_interval(now.interval);
        self.losses.refused(self.table.refused());
    }
}
