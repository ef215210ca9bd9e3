//! What is remembered of agents.

use std::path::Path;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlitePool};

use super::{StoreError, TENANT};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite/meta");

/// The way in that an agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Door {
    /// Batches of procmon's own agent.
    #[default]
    Native,
    /// Lists of processes as JSON.
    Upload,
}

impl Door {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Upload => "upload",
        }
    }
}

/// An agent as it was last heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentRow {
    pub agent_id: String,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    pub door: Door,
    pub machine_id: Vec<u8>,
    pub boot_id: Vec<u8>,
    pub interval_ms: u32,
    pub clock_offset_ms: i64,
    /// JSON.
    pub health: String,
}

#[derive(Debug)]
pub(super) struct Meta {
    pool: SqlitePool,
}

impl Meta {
    pub(super) async fn open(path: &Path, durable: bool) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if durable {
                SqliteSynchronous::Normal
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
        Ok(Self { pool })
    }

    pub(super) async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sqlx::query(
            "select agent_id, first_seen_ms, last_seen_ms, door, machine_id, boot_id, interval_ms, \
             clock_offset_ms, health from agent where tenant_id = ?1 order by agent_id",
        )
        .bind(TENANT)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_row).collect()
    }

    pub(super) async fn save(&self, agents: &[AgentRow]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for agent in agents {
            sqlx::query(
                "insert into agent (tenant_id, agent_id, first_seen_ms, last_seen_ms, door, machine_id, boot_id, \
                 interval_ms, clock_offset_ms, health) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                 on conflict (tenant_id, agent_id) do update set last_seen_ms = excluded.last_seen_ms, \
                 door = excluded.door, machine_id = excluded.machine_id, boot_id = excluded.boot_id, \
                 interval_ms = excluded.interval_ms, clock_offset_ms = excluded.clock_offset_ms, \
                 health = excluded.health",
            )
            .bind(TENANT)
            .bind(&agent.agent_id)
            .bind(agent.first_seen_ms)
            .bind(agent.last_seen_ms)
            .bind(agent.door.name())
            .bind(&agent.machine_id)
            .bind(&agent.boot_id)
            .bind(agent.interval_ms)
            .bind(agent.clock_offset_ms)
            .bind(&agent.health)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

fn read_row(row: &sqlx::sqlite::SqliteRow) -> Result<AgentRow, StoreError> {
    let door: String = row.try_get("door")?;
    Ok(AgentRow {
        agent_id: row.try_get("agent_id")?,
        first_seen_ms: row.try_get("first_seen_ms")?,
        last_seen_ms: row.try_get("last_seen_ms")?,
        door: if door == "upload" {
            Door::Upload
        } else {
            Door::Native
        },
        machine_id: row.try_get("machine_id")?,
        boot_id: row.try_get("boot_id")?,
        interval_ms: row.try_get("interval_ms")?,
        clock_offset_ms: row.try_get("clock_offset_ms")?,
        health: row.try_get("health")?,
    })
}
