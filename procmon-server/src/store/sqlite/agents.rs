//! The small database of agents.

use std::path::Path;

use anyhow::Context;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite/meta");

pub(super) async fn open(path: &Path, durable: bool) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // How far the batches of an epoch are stored must be on the disk before the log that tells it is unlinked.
        .synchronous(if durable {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Off
        });
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    MIGRATIONS
        .run(&pool)
        .await
        .with_context(|| format!("cannot bring {} up to date", path.display()))?;
    Ok(pool)
}
