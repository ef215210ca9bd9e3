//! Compaction: a slice of the log that is closed becomes one segment per agent (level 1), and the segments of an hour become
//! one (level 2). It runs beside everything else, one agent at a time, so that its memory does not grow with their number;
//! what it has not published is as if it had never begun, and what it cannot read it counts and leaves out. No SQL and no
//! byte formats live here.

mod agent_slice;
mod hour;
mod pass;
mod stats;

pub use pass::compact_once;
pub use stats::CompactionStats;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often it looks whether there is something to do.
const TICK: Duration = Duration::from_secs(5);

/// Runs until the shutdown. A failure is logged, counted, and tried again: none of this may stop the server.
pub async fn run(
    store: Store,
    stats: Arc<CompactionStats>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut compactor = pass::Compactor::new(store, stats, shutdown.clone());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        compactor.pass().await;
    }
}
