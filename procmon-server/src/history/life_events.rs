//! Events of a host in a stretch of time, read for one purpose and no longer than that takes.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use procmon_common::ids::ProcessId;

use super::range::Range;
use crate::app::App;
use crate::batch::Event;
use crate::error::Problem;
use crate::store::history::LifeFilter;
use crate::store::{EventQuery, Position, StoredEvents};

/// Batches of events read at a time.
const CHUNK: u32 = 256;
/// One answer reads events for no longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Which events are read: for others `each` may be called, too, and need not be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    /// Bits of [`crate::batch::KindSet`]; 0 for all.
    pub(super) kinds: u32,
    /// Of one process, which the store finds without reading the others.
    pub(super) life: Option<ProcessId>,
}

/// Calls `each(batch, position, event)` in order of arrival for the events of a host in a range of its clock, until it breaks.
/// False when there was no time to read all of them.
pub(super) async fn for_each_event(
    app: &App,
    agent_id: &str,
    about: About,
    range: Range,
    mut each: impl FnMut(&StoredEvents, Position, &Event) -> ControlFlow<()>,
) -> Result<bool, Problem> {
    let query = EventQuery {
        agent_id: Some(agent_id.to_owned()),
        kinds: about.kinds,
        lives: about.life.map(LifeFilter::Id),
        since_ms: Some(range.from_ms),
        until_ms: Some(range.to_ms.saturating_sub(1)),
        ..EventQuery::default()
    };
    let started = Instant::now();
    let mut after = Position::START;
    loop {
        let batches = app.store.events_after(&query, after, CHUNK).await?;
        let Some(last) = batches.last() else {
            return Ok(true);
        };
        after = Position::after_batch(last.slice, last.batch);
        for stored in &batches {
            for (index, event) in (0..).zip(&stored.events) {
                let ms = event.ts_ns.div_euclid(1_000_000);
                if !(range.from_ms..range.to_ms).contains(&ms) {
                    continue;
                }
                let position = Position {
                    slice: stored.slice,
                    batch: stored.batch,
                    index,
                };
                if each(stored, position, event).is_break() {
                    return Ok(true);
                }
            }
        }
        if started.elapsed() > PATIENCE {
            return Ok(false);
        }
    }
}
