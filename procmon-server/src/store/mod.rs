//! What is kept: the only place that talks SQL. An append-only log of batches in files of one hour each (slices), and a
//! small database of agents beside them. Nothing here knows HTTP or live state.

pub mod format;
mod lock;
mod meta;
mod position;
mod read;
mod restore;
mod slice;
mod slices;
mod writer;

pub use meta::{AgentRow, Door};
pub use position::Position;
pub use read::{EventQuery, StoredEvents};
pub use restore::{Span, StoredBatch};
pub use writer::{Append, Writer, WriterStats};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use meta::Meta;
use slices::Slices;

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

/// Why something could not be stored or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk is full")]
    Full,
    #[error("the store does not keep up")]
    Busy,
    #[error("the store is shutting down")]
    Closed,
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const SQLITE_FULL: &str = "13";
        let full = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == SQLITE_FULL);
        if full {
            Self::Full
        } else {
            Self::Failed(error.to_string())
        }
    }
}

/// Handle on the store, shared by everything that appends and reads.
#[derive(Clone, Debug)]
pub struct Store {
    slices: Arc<Slices>,
    meta: Arc<Meta>,
    appends: mpsc::Sender<writer::Command>,
    newest: watch::Receiver<Position>,
    stats: Arc<WriterStats>,
    /// Free for another server with the last handle, and removed where nothing is to be kept.
    _place: Arc<(Place, std::fs::File)>,
}

impl Store {
    /// Opens or creates the files. The writer must be run for anything to be stored.
    pub async fn open(place: Place, clock: Clock) -> anyhow::Result<(Self, Writer)> {
        let root = place.path().to_owned();
        std::fs::create_dir_all(root.join("slices")).with_context(|| {
            format!(
                "cannot create {}: choose another folder with --data-dir",
                root.display()
            )
        })?;
        let lock = lock::lock(&root)?;
        let meta = Meta::open(&root.join("meta.db"), place.durable()).await?;
        let slices = Arc::new(Slices::open(&root.join("slices"), place.durable()).await?);
        // Whoever waits for it reads the log; a position that is passed over is therefore no loss.
        let (newest_sender, newest) = watch::channel(slices.newest().await?);
        let (appends, queue) = mpsc::channel(QUEUE_LENGTH);
        let stats = Arc::new(WriterStats::default());
        let writer = Writer::new(
            Arc::clone(&slices),
            queue,
            newest_sender,
            Arc::clone(&stats),
            clock,
        );
        let store = Self {
            slices,
            meta: Arc::new(meta),
            appends,
            newest,
            stats,
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

    /// How many appends may wait.
    pub fn queue_capacity(&self) -> usize {
        self.appends.max_capacity()
    }

    pub fn writer_alive(&self) -> bool {
        !self.appends.is_closed() && !self.stats.stopped.load(Ordering::Relaxed)
    }

    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        self.meta.agents().await
    }

    pub async fn save_agents(&self, agents: &[AgentRow]) -> Result<(), StoreError> {
        self.meta.save(agents).await
    }

    /// Removes the slices whose last batch is older; returns how many.
    pub async fn expire(&self, before_ms: i64) -> Result<usize, StoreError> {
        self.slices.expire(before_ms).await
    }

    /// Moves what is committed from the write-ahead log to its place, off the commit path.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.slices.checkpoint().await
    }

    /// Closes the files in good order.
    pub async fn close(&self) {
        self.slices.close().await;
        self.meta.close().await;
    }
}
