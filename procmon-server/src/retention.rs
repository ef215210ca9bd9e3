//! Everything that is done by the clock: dropping what is too old, writing down what agents last said, and checkpoints.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::Expired;

const TICK: Duration = Duration::from_secs(1);
/// In ticks.
const CHECKPOINT_EVERY: u64 = 2;
const SWEEP_EVERY: u64 = 10;
const EXPIRE_EVERY: u64 = 60;

/// Runs until the shutdown. A failure is logged and tried again: none of this may stop the server.
pub async fn run(app: App, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        count += 1;
        if let Err(error) = app.live.save_by_turns(&app.store, count).await {
            tracing::warn!(%error, "what agents last said cannot be written down");
        }
        if count.is_multiple_of(CHECKPOINT_EVERY)
            && let Err(error) = app.store.checkpoint().await
        {
            tracing::warn!(%error, "a checkpoint failed");
        }
        if count.is_multiple_of(SWEEP_EVERY) {
            app.live.sweep();
        }
        // The first tick too: a server may have been away for long.
        if count % EXPIRE_EVERY == 1 {
            expire(&app).await;
        }
    }
}

async fn expire(app: &App) {
    match app.store.expire().await {
        Ok(Expired {
            slices: 0,
            segments: 0,
            samples: 0,
        }) => {}
        Ok(expired) => tracing::info!(
            slices = expired.slices,
            segments = expired.segments,
            samples = expired.samples,
            "dropped what is beyond the limits of what is kept"
        ),
        Err(error) => tracing::warn!(%error, "what is beyond the limits cannot be dropped"),
    }
}
