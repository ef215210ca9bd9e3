//! One file of the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqlitePool};

use super::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite/slice");

/// How long a reader or the writer waits for a lock: only the migration of a new slice takes one that excludes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers of one slice at a time; more wait for their turn.
const READERS: u32 = 4;
const READER_IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Slice {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) readers: SqlitePool,
}

impl Slice {
    /// Opens or creates the file and brings its tables up to date.
    pub(super) async fn open(folder: &Path, number: u32, durable: bool) -> anyhow::Result<Self> {
        let path = folder.join(file_name(number));
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(READER_IDLE)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_lazy_with(options(&path, durable));
        MIGRATIONS
            .run(&readers)
            .await
            .with_context(|| format!("cannot open {} and bring it up to date", path.display()))?;
        Ok(Self {
            number,
            path,
            readers,
        })
    }

    /// When its newest batch was received; `None` when it has none.
    pub(super) async fn last_received_ms(&self) -> Result<Option<i64>, StoreError> {
        let row = sqlx::query("select received_ms from batch order by id desc limit 1")
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) async fn last_batch(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("select coalesce(max(id), 0) from batch")
            .fetch_one(&self.readers)
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        sqlx::query("pragma wal_checkpoint(passive)")
            .execute(&self.readers)
            .await?;
        Ok(())
    }

    /// Size of the write-ahead log.
    pub(super) fn log_bytes(&self) -> u64 {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        std::fs::metadata(path).map_or(0, |data| data.len())
    }

    /// Unlinks the file. Readers that have it open finish with it.
    pub(super) async fn remove(&self) {
        self.readers.close().await;
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %Path::new(&path).display(), %error, "an expired slice cannot be removed");
                }
            }
        }
    }
}

/// The connection that writes.
pub(super) async fn connect(path: &Path, durable: bool) -> Result<SqliteConnection, sqlx::Error> {
    options(path, durable).connect().await
}

fn options(path: &Path, durable: bool) -> SqliteConnectOptions {
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
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

pub(super) fn file_name(number: u32) -> String {
    format!("{number:010}.db")
}

pub(super) fn number_of(file_name: &str) -> Option<u32> {
    file_name.strip_suffix(".db")?.parse().ok()
}
