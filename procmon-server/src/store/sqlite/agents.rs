//! The small database of agents.

use std::path::Path;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlitePool};

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
        })
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .after_release(|connection, _| Box::pin(is_out_of_transaction(connection)))
        .connect_with(options)
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    MIGRATIONS
        .run(&pool)
        .await
        .with_context(|| format!("cannot bring {} up to date", path.display()))?;
    Ok(pool)
}

/// Whether a connection can be used again. When the disk is full SQLite ends a transaction by itself, and sqlx goes on as if it had
/// not: it would put every later transaction into one that is never committed.
async fn is_out_of_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A transaction that was dropped is rolled back before this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
