//! What is kept: the only place that talks SQL. An append-only log of batches in slices of ten minutes, segments that slices
//! are compacted into, and a small table of agents; on SQLite or PostgreSQL. Nothing here knows HTTP or live state.

mod agents;
mod alert_engine;
mod alerts;
mod append;
mod catalog;
mod delivery;
mod engine;
mod error;
pub mod format;
#[cfg(test)]
mod fuzz_seeds;
pub mod history;
mod log;
mod pace;
mod part;
mod position;
mod postgres;
mod queries;
mod read;
mod read_segments;
mod restore;
mod retention;
pub mod segment;
mod segment_file;
mod segment_queries;
mod segment_row;
mod sizes;
mod snapshots;
mod sqlite;
mod stats;
mod temporary;
mod writer;

pub use agents::{AgentRow, Door};
pub use alerts::{
    Evaluation, LastEvaluation, RuleRow, SilenceRow, StoredAlert, StoredTransition, TransitionQuery,
};
pub use append::Append;
pub use catalog::OPEN_SLICES;
pub use delivery::{
    AttemptResult, AttemptRow, ChannelRow, Deliveries, Finished, MessageState, OutboxRow, Routed,
    ToldRow,
};
pub use error::StoreError;
pub use log::{LogBatch, View};
pub use position::Position;
pub use read::{EventQuery, StoredEvents};
pub use restore::{Span, StoredBatch};
pub use retention::{ARGV_BYTES, Expired, Limits};
pub use segment_file::SegmentFile;
pub use segment_row::{SegmentHead, SegmentRow};
pub use snapshots::MAX_SNAPSHOTS;
pub use stats::{Contents, StoreStats};
pub use writer::{SLICE_MS, Writer};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::clock::Clock;
use catalog::{Catalog, Shelf};
use engine::Engine;
use postgres::Postgres;
use procmon_common::config::Secret;
use snapshots::Snapshots;
use sqlite::Sqlite;

/// The only tenant there is so far. Every row says whose it is from the first migration on.
pub const TENANT: i64 = 1;

/// Appends that wait for the writer. When it is full the upload waits, and after [`QUEUE_PATIENCE`] is told to retry.
const QUEUE_LENGTH: usize = 1024;
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// Where the files are.
#[derive(Debug)]
pub enum Place {
    Directory(PathBuf),
    /// A PostgreSQL database; the text names it.
    Database(Secret),
    /// Not kept beyond this run: a folder that is removed at the end, written without waiting for the disk.
    Temporary(tempfile::TempDir),
}

impl Place {
    /// For what is not kept beyond this run.
    pub fn temporary() -> anyhow::Result<Self> {
        temporary::place()
    }

    /// Opens what is there; the file, if any, keeps other servers away as long as it is open.
    async fn open(&self) -> anyhow::Result<(Engine, Catalog, Option<std::fs::File>)> {
        let (path, durable) = match self {
            Self::Directory(path) => (path.as_path(), true),
            Self::Temporary(folder) => (folder.path(), false),
            Self::Database(dsn) => {
                let (engine, catalog) = Postgres::open(dsn.expose()).await?;
                return Ok((Engine::Postgres(Arc::new(engine)), catalog, None));
            }
        };
        let (engine, catalog, lock) = Sqlite::open(path, durable).await?;
        Ok((Engine::Sqlite(engine), catalog, Some(lock)))
    }
}

/// Handle on the store, shared by everything that appends and reads.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
    shelf: Arc<Shelf>,
    appends: mpsc::Sender<writer::Command>,
    newest: watch::Receiver<Position>,
    stats: Arc<StoreStats>,
    limits: Arc<Limits>,
    /// Where only so many snapshots of a host are to be kept.
    snapshots: Option<Arc<Snapshots>>,
    clock: Clock,
    /// One set of segments becomes visible at a time.
    publishing: Arc<Mutex<()>>,
    /// Free for another server with the last handle, and removed where nothing is to be kept.
    _place: Arc<(Place, Option<std::fs::File>)>,
}

impl Store {
    /// Opens or creates the files, to keep everything for ever. The writer must be run for anything to be stored.
    pub async fn open(place: Place, clock: Clock) -> anyhow::Result<(Self, Writer)> {
        Self::open_within(place, clock, Limits::default()).await
    }

    /// As [`Store::open`], with limits to what is kept.
    pub async fn open_within(
        place: Place,
        clock: Clock,
        limits: Limits,
    ) -> anyhow::Result<(Self, Writer)> {
        let (engine, catalog, lock) = place.open().await?;
        // Whoever waits for it reads the log; a position that is passed over is therefore no loss.
        let (newest_sender, newest) = watch::channel(catalog.newest().await?);
        let (engine, shelf) = (Arc::new(engine), Arc::new(Shelf::new(catalog)));
        let (appends, queue) = mpsc::channel(QUEUE_LENGTH);
        let stats = Arc::new(StoreStats::default());
        let writer = Writer::new(
            (Arc::clone(&engine), Arc::clone(&shelf)),
            limits.slice_ms(),
            queue,
            newest_sender,
            Arc::clone(&stats),
            clock.clone(),
        );
        let store = Self {
            engine,
            shelf,
            appends,
            newest,
            stats,
            snapshots: limits.snapshots.map(|kept| Arc::new(Snapshots::new(kept))),
            limits: Arc::new(limits),
            clock,
            publishing: Arc::default(),
            _place: Arc::new((place, lock)),
        };
        Ok((store, writer))
    }

    /// Stores a batch. It is durable when this returns.
    pub async fn append(&self, append: Append) -> Result<Position, StoreError> {
        self.ask(|reply| writer::Command::Append(append, reply))
            .await
    }

    /// Finds out whether the store takes writes, by writing.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.ask(writer::Command::Probe).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(writer::Reply<T>) -> writer::Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sending = self.appends.send(command(reply));
        match tokio::time::timeout(QUEUE_PATIENCE, sending).await {
            Ok(Ok(())) => answer.await.map_err(|_| StoreError::Closed)?,
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Busy),
        }
    }

    /// The end of the log, and a way to wait until it moves.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.clone()
    }

    pub fn stats(&self) -> &StoreStats {
        &self.stats
    }

    pub fn queue_depth(&self) -> usize {
        self.appends.max_capacity() - self.appends.capacity()
    }

    /// How many appends may wait.
    pub fn queue_capacity(&self) -> usize {
        self.appends.max_capacity()
    }

    pub fn writer_alive(&self) -> bool {
        !self.appends.is_closed() && !self.stats.stopped.load(Ordering::Relaxed)
    }

    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        self.engine.agents().await
    }

    pub async fn save_agents(&self, agents: &[AgentRow]) -> Result<(), StoreError> {
        self.engine.save_agents(agents).await
    }

    /// Moves what is committed from the write-ahead log to its place, off the commit path.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        // Of the newest slice, which comes last: nothing is added to the others.
        let mut moved = false;
        for part in self.shelf.view().slices.values() {
            moved = part.checkpoint().await?;
        }
        if !moved {
            return Ok(());
        }
        // What was added meanwhile is little, and without it the log would grow for ever.
        self.ask(writer::Command::Checkpoint).await
    }

    /// Closes the files in good order.
    pub async fn close(&self) {
        let catalog = self.shelf.view();
        for part in catalog.slices.values() {
            part.close().await;
        }
        for file in catalog.segments.values() {
            file.events.close().await;
            if let Some(samples) = &file.samples {
                samples.close().await;
            }
        }
        self.engine.close().await;
    }
}
