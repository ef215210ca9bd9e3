//! What is kept: the only place that talks SQL. An append-only log of batches in slices of ten minutes, segments that slices
//! are compacted into, and a small table of agents; on SQLite or PostgreSQL. Nothing here knows HTTP or live state.

mod agents;
mod catalog;
mod engine;
mod error;
pub mod format;
pub mod history;
mod log;
mod part;
mod position;
mod queries;
mod read;
mod restore;
mod retention;
mod segment_file;
mod segment_queries;
mod segment_row;
mod sqlite;
mod writer;

pub use agents::{AgentRow, Door};
pub use catalog::OPEN_SLICES;
pub use error::StoreError;
pub use log::{LogBatch, View};
pub use position::Position;
pub use read::{EventQuery, StoredEvents};
pub use restore::{Span, StoredBatch};
pub use retention::{Expired, Limits};
pub use segment_file::SegmentFile;
pub use segment_row::{SegmentHead, SegmentRow};
pub use writer::{Append, SLICE_MS, Writer, WriterStats};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::clock::Clock;
use catalog::Shelf;
use engine::Engine;
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
    /// Not kept beyond this run: a folder that is removed at the end, written without waiting for the disk.
    Temporary(tempfile::TempDir),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn durable(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// Handle on the store, shared by everything that appends and reads.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
    shelf: Arc<Shelf>,
    appends: mpsc::Sender<writer::Command>,
    newest: watch::Receiver<Position>,
    stats: Arc<WriterStats>,
    limits: Arc<Limits>,
    clock: Clock,
    /// One set of segments becomes visible at a time.
    publishing: Arc<Mutex<()>>,
    /// Free for another server with the last handle, and removed where nothing is to be kept.
    _place: Arc<(Place, std::fs::File)>,
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
        let (engine, catalog, lock) = Sqlite::open(place.path(), place.durable()).await?;
        // Whoever waits for it reads the log; a position that is passed over is therefore no loss.
        let (newest_sender, newest) = watch::channel(catalog.newest().await?);
        let (engine, shelf) = (
            Arc::new(Engine::Sqlite(engine)),
            Arc::new(Shelf::new(catalog)),
        );
        let (appends, queue) = mpsc::channel(QUEUE_LENGTH);
        let stats = Arc::new(WriterStats::default());
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
            limits: Arc::new(limits),
            clock,
            publishing: Arc::default(),
            _place: Arc::new((place, lock)),
        };
        Ok((store, writer))
    }

    /// Stores a batch. It is durable when this returns.
    pub async fn append(&self, append: Append) -> Result<Position, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(writer::Command::Append(append, reply)).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finds out whether the store takes writes, by writing.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(writer::Command::Probe(reply)).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn send(&self, command: writer::Command) -> Result<(), StoreError> {
        match tokio::time::timeout(QUEUE_PATIENCE, self.appends.send(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Busy),
        }
    }

    /// The end of the log, and a way to wait until it moves.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.clone()
    }

    pub fn stats(&self) -> &WriterStats {
        &self.stats
    }

    pub fn queue_depth(&self) -> usize {
        self.appends.max_capacity() - self.appends.capacity()
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
        for part in self.shelf.view().slices.values() {
            part.checkpoint().await?;
        }
        Ok(())
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
