//! Everything that is done by the clock: dropping what is too old, writing down what agents last said, and checkpoints.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;

const TICK: Duration = Duration::from_secs(1);
/// In ticks.
const CHECKPOINT_EVERY: u64 = 2;
const SWEEP_EVERY: u64 = 10;
const EXPIRE_EVERY: u64 = 60;

/// Runs until the shutdown. A failure is logged and tried again: none of this may stop the server.
pub async fn run(app: App, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        count += 1;
        if let Err(error) = app.live.save(&app.store).await {
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
            expire(&app, &config).await;
        }
    }
}

/// Samples and events of a time share their files, which are kept for as long as either is wanted.
async fn expire(app: &App, config: &Config) {
    let kept = config.retention.max(config.event_retention);
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    match app
        .store
        .expire(app.clock.now_ms().saturating_sub(kept_ms))
        .await
    {
        Ok(0) => {}
        Ok(slices) => tracing::info!(slices, "dropped what is older than the retention"),
        Err(error) => tracing::warn!(%error, "what is older than the retention cannot be dropped"),
    }
}
