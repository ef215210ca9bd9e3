//! One SQLite file: a slice of the log, or segments.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlitePool};

use crate::store::StoreError;

/// The newest version of the tables of segments.
pub(super) const SEGMENTS_VERSION: i64 = 3;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite/slice");

/// How long a reader or the writer waits for a lock: only the migration of a new slice takes one that excludes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers of one file at a time, of whom each is a thread and some memory: as many as can compute at a time, within bounds. More
/// wait for their turn.
static READERS: LazyLock<u32> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    cores.clamp(2, 8)
});
/// A write-ahead log that is longer is worth a checkpoint, and is cut to this when it begins anew.
const LOG_BYTES: u64 = 4 << 20;
/// Never waits for readers.
pub(super) const CHECKPOINT: &str = "pragma wal_checkpoint(passive)";
const READER_IDLE: Duration = Duration::from_secs(10);
/// Pages that a reader keeps, in KiB. What it reads is in the system's cache anyway, and there are readers of every file that was
/// asked for lately: with SQLite's 2 MiB each they take more than everything else of a small server.
const READER_CACHE_KIB: u32 = 256;

#[derive(Debug)]
pub(in crate::store) struct File {
    pub(super) path: PathBuf,
    pub(in crate::store) readers: SqlitePool,
    /// Of the tables, where it has segments: rows of version 1 do not say where their events lie, those of 2 not what they are.
    pub(super) segments_version: i64,
}

impl File {
    /// Opens or creates a slice of the log and brings its tables up to date.
    pub(super) async fn slice(path: PathBuf, durable: bool) -> anyhow::Result<Self> {
        let readers = readers(with_small_cache(slice_options(&path, durable)));
        MIGRATIONS
            .run(&readers)
            .await
            .with_context(|| format!("cannot open {} and bring it up to date", path.display()))?;
        Ok(Self {
            path,
            readers,
            segments_version: SEGMENTS_VERSION,
        })
    }

    /// Opens a file that nobody writes any more.
    pub(super) fn finished(path: PathBuf) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .immutable(true)
            .read_only(true)
            .disable_statement_logging();
        Self {
            readers: readers(with_small_cache(options)),
            path,
            segments_version: SEGMENTS_VERSION,
        }
    }

    /// What a statement names a table of this file by.
    pub(in crate::store) fn table(&self, name: &'static str) -> &'static str {
        match name {
            "segment" if self.segments_version == 1 => {
                "(select *, null as first_event_slice, null as first_event_batch, null as last_event_slice, \
                 null as last_event_batch, null as event_digest from segment)"
            }
            "segment" if self.segments_version == 2 => {
                "(select *, null as event_digest from segment)"
            }
            name => name,
        }
    }

    pub(in crate::store) async fn checkpoint(&self) -> Result<(), StoreError> {
        sqlx::query(CHECKPOINT).execute(&self.readers).await?;
        Ok(())
    }

    /// Whether the write-ahead log is worth a checkpoint.
    pub(in crate::store) fn log_is_long(&self) -> bool {
        length(&self.path, "-wal") > LOG_BYTES
    }

    /// What the file takes on the disk.
    pub(in crate::store) fn bytes(&self) -> u64 {
        length(&self.path, "") + length(&self.path, "-wal")
    }

    /// Unlinks the file. It goes before its readers: the last connection to a file that is there moves the write-ahead log into
    /// it, all of which would be for nothing.
    pub(in crate::store) async fn remove(&self) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| {
            StoreError::Failed(format!("cannot remove {}: {error}", self.path.display()))
        };
        unlink(&self.path).map_err(failed)?;
        self.readers.close().await;
        // What a reader may have left beside it.
        unlink(&self.path).map_err(failed)
    }
}

fn with_small_cache(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.pragma("cache_size", format!("-{READER_CACHE_KIB}"))
}

fn readers(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(*READERS)
        .idle_timeout(READER_IDLE)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_lazy_with(options)
}

/// The connection that writes a slice.
pub(super) async fn connect(path: &Path, durable: bool) -> Result<SqliteConnection, sqlx::Error> {
    slice_options(path, durable).connect().await
}

fn slice_options(path: &Path, durable: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if durable {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Off
        })
        .busy_timeout(BUSY_TIMEOUT)
        // A commit never pays for a checkpoint: another task makes them.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", LOG_BYTES.to_string())
        .disable_statement_logging()
}

/// Removes a file and what SQLite keeps beside it; that it is not there is as good.
pub(super) fn unlink(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn length(path: &Path, suffix: &str) -> u64 {
    std::fs::metadata(beside(path, suffix)).map_or(0, |data| data.len())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
