//! The state that requests share. No handler lives here, and no route.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::KeepAlive;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alerts::Alerts;
use crate::clock::Clock;
use crate::compaction::CompactionStats;
use crate::config::Config;
use crate::delivery::Directory;
use crate::error::Problem;
use crate::events::RecentEvents;
use crate::ingest::limits::BodyMemory;
use crate::live::Live;
use crate::metrics::{Metrics, Queue, Reject};
use crate::store::Store;
use crate::turns::{Turn, Turns};

/// Lists worked on at a time: each keeps a processor busy, and ingest needs some too.
const SCANS: usize = 4;
/// Questions about the past worked on at a time, at least: each reads for a while and computes for a while.
const PAST_TURNS: usize = 2;
/// Followers of the live state worked for at a time. The others wait, and get their changes later.
const LIVE_TURNS: usize = 2;
/// For a large upload to have its turn.
const HEAVY_PATIENCE: Duration = Duration::from_secs(10);
/// Streams open at a time.
const STREAMS: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What requests share.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
pub struct Shared {
    pub store: Store,
    pub live: Arc<Live>,
    /// The end of the log, for those who follow it.
    pub recent_events: RecentEvents,
    pub alerts: Alerts,
    pub clock: Clock,
    pub metrics: Metrics,
    pub compaction: Arc<CompactionStats>,
    pub delivery: Arc<Directory>,
    pub metrics_groups: usize,
    pub any_host: bool,
    /// Uploads and changes that run to their end even when their client has gone.
    pub uploads: TaskTracker,
    pub shutdown: CancellationToken,
    scans: Turns,
    past_turns: Turns,
    live_turns: Arc<Semaphore>,
    /// What bodies take on their way in.
    pub(crate) body_memory: BodyMemory,
    /// Large uploads are worked on by as many threads as there are cores, in turn; small ones never wait for them.
    heavy: Arc<Semaphore>,
    heavy_places: u32,
    streams: Arc<Semaphore>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(
        store: Store,
        live: Arc<Live>,
        delivery: Arc<Directory>,
        clock: Clock,
        config: &Config,
        shutdown: CancellationToken,
    ) -> Self {
        let started_ms = clock.now_ms();
        let heavy_places =
            std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let (any_host, metrics_groups) = (config.any_host, config.metrics_groups);
        Self(Arc::new(Shared {
            store,
            live,
            recent_events: RecentEvents::default(),
            alerts: Alerts::new(config),
            clock,
            compaction: Arc::default(),
            delivery,
            scans: Turns::new("lists", SCANS),
            past_turns: Turns::new("history", PAST_TURNS.max(heavy_places as usize)),
            live_turns: Arc::new(Semaphore::new(LIVE_TURNS)),
            metrics: Metrics::new(started_ms),
            metrics_groups,
            any_host,
            uploads: TaskTracker::new(),
            shutdown,
            body_memory: BodyMemory::new(),
            heavy: Arc::new(Semaphore::new(heavy_places as usize)),
            heavy_places,
            streams: Arc::new(Semaphore::new(STREAMS)),
        }))
    }

    /// Runs a change to its end even if the client goes away in the middle, so that what is stored is also what is known.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let ended = self.uploads.spawn(change).await;
        ended.unwrap_or_else(|error| {
            tracing::error!(%error, "a change ended unexpectedly");
            Err(Problem::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "the server failed at this change; please report it with the server's log",
            ))
        })
    }

    /// A turn for a large upload, whose content takes memory and time.
    pub(crate) async fn heavy_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.heavy).acquire_owned();
        if let Ok(Ok(permit)) = tokio::time::timeout(HEAVY_PATIENCE, turn).await {
            return Ok(permit);
        }
        self.metrics.refused("large_uploads");
        Err(
            Problem::unavailable("the server has more large uploads than it can take; send again")
                .because(Reject::Memory),
        )
    }

    /// Does work that keeps a processor busy, away from the threads that serve everybody, and not too much of it at a time.
    pub async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.scans.take(&self.metrics).await?;
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Problem::unavailable("the server is shutting down")),
            },
        }
    }

    /// A turn at reading what is stored, which its holder keeps until the answer is made.
    pub(crate) async fn past_turn(&self) -> Result<Turn, Problem> {
        self.past_turns.take(&self.metrics).await
    }

    /// The same as [`Self::scan`] for a follower of the live state, who waits as long as it takes; `None` when the server shuts down.
    pub async fn look_at_live<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.live_turns).acquire_owned();
        let turn = tokio::select! {
            turn = turn => turn.ok()?,
            () = self.shutdown.cancelled() => return None,
        };
        let result = tokio::task::spawn_blocking(work).await;
        drop(turn);
        match result.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => Some(result),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => None,
        }
    }

    /// A place among the streams.
    pub fn admit_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            self.metrics.refused("streams");
            Problem::unavailable(format!(
                "{STREAMS} streams are open; close some, and come back"
            ))
        })
    }

    /// Everything that is bounded and waited for.
    pub(crate) fn queues(&self) -> [Queue; 5] {
        let heavy = self.heavy_places as usize;
        let queue = |name, length: usize, capacity: usize| Queue {
            name,
            length: length as u64,
            capacity: capacity as u64,
        };
        [
            queue(
                "store",
                self.store.queue_depth(),
                self.store.queue_capacity(),
            ),
            queue(
                "large_uploads",
                heavy.saturating_sub(self.heavy.available_permits()),
                heavy,
            ),
            queue("streams", self.open_streams(), STREAMS),
            self.scans.queue(),
            self.past_turns.queue(),
        ]
    }

    pub fn open_streams(&self) -> usize {
        STREAMS - self.streams.available_permits()
    }
}

/// Comments that keep proxies from closing a quiet stream.
pub(crate) fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(KEEP_ALIVE)
}
