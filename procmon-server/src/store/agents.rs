//! What is remembered of agents.

use std::sync::Arc;

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

    pub(super) fn of_name(name: &str) -> Self {
        if name == "upload" {
            Self::Upload
        } else {
            Self::Native
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

/// How far an agent's run is stored.
#[derive(Clone, Debug)]
pub(super) struct AgentEpoch {
    pub(super) agent_id: Arc<str>,
    pub(super) epoch: u64,
    pub(super) last_seq: u64,
    pub(super) received_ms: i64,
}

/// Agents that are written by one statement: each is a way to another thread or program and back.
pub(super) const ROWS_OF_A_STATEMENT: usize = 32;
/// Of an agent, without the tenant.
const COLUMNS: usize = 9;

/// The statement that writes so many agents.
pub(super) fn upsert(rows: usize) -> String {
    let row = |row: usize| {
        let columns = (0..COLUMNS).map(|column| format!(", ${}", row * COLUMNS + column + 2));
        format!("($1{})", columns.collect::<String>())
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!(
        "insert into agent (tenant_id, agent_id, first_seen_ms, last_seen_ms, door, machine_id, boot_id, interval_ms, \
         clock_offset_ms, health) values {} on conflict (tenant_id, agent_id) do update set \
         last_seen_ms = excluded.last_seen_ms, door = excluded.door, machine_id = excluded.machine_id, \
         boot_id = excluded.boot_id, interval_ms = excluded.interval_ms, clock_offset_ms = excluded.clock_offset_ms, \
         health = excluded.health",
        rows.join(", ")
    )
}

/// The statements about agents that both engines run, written once, as in [`super::queries`].
macro_rules! agent_queries {
    ($pool:ty, $connection:ty, $row:ty) => {
        use sqlx::{AssertSqlSafe, Row};

        use crate::store::agents::{AgentEpoch, AgentRow, Door, ROWS_OF_A_STATEMENT, upsert};
        use crate::store::{StoreError, TENANT};

        pub(in crate::store) async fn agents(pool: &$pool) -> Result<Vec<AgentRow>, StoreError> {
            let rows = sqlx::query(
                "select agent_id, first_seen_ms, last_seen_ms, door, machine_id, boot_id, interval_ms, \
                 clock_offset_ms, health from agent where tenant_id = $1 order by agent_id",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(AgentRow {
                    agent_id: row.try_get(0)?,
                    first_seen_ms: row.try_get(1)?,
                    last_seen_ms: row.try_get(2)?,
                    door: Door::of_name(row.try_get(3)?),
                    machine_id: row.try_get(4)?,
                    boot_id: row.try_get(5)?,
                    interval_ms: row.try_get::<i64, _>(6)? as u32,
                    clock_offset_ms: row.try_get(7)?,
                    health: row.try_get(8)?,
                })
            };
            rows.iter().map(read).collect()
        }

        /// Each is there once.
        pub(in crate::store) async fn save(
            pool: &$pool,
            agents: &[AgentRow],
        ) -> Result<(), StoreError> {
            let mut transaction = pool.begin().await?;
            for some in agents.chunks(ROWS_OF_A_STATEMENT) {
                let mut query = sqlx::query(AssertSqlSafe(upsert(some.len()))).bind(TENANT);
                for agent in some {
                    query = query
                        .bind(&agent.agent_id)
                        .bind(agent.first_seen_ms)
                        .bind(agent.last_seen_ms)
                        .bind(agent.door.name())
                        .bind(&agent.machine_id)
                        .bind(&agent.boot_id)
                        .bind(i64::from(agent.interval_ms))
                        .bind(agent.clock_offset_ms)
                        .bind(&agent.health);
                }
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(())
        }

        pub(in crate::store) async fn save_epoch(
            connection: &mut $connection,
            row: &AgentEpoch,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into agent_epoch (tenant_id, agent_id, epoch, last_seq, received_ms) \
                 values ($1, $2, $3, $4, $5) on conflict (tenant_id, agent_id, epoch) do update set \
                 last_seq = excluded.last_seq, received_ms = excluded.received_ms \
                 where agent_epoch.last_seq < excluded.last_seq",
            )
            .bind(TENANT)
            .bind(&*row.agent_id)
            .bind(row.epoch as i64)
            .bind(row.last_seq as i64)
            .bind(row.received_ms)
            .execute(connection)
            .await?;
            Ok(())
        }

        pub(in crate::store) async fn epoch(
            pool: &$pool,
            agent_id: &str,
            epoch: u64,
        ) -> Result<Option<u64>, StoreError> {
            let row = sqlx::query(
                "select last_seq from agent_epoch where tenant_id = $1 and agent_id = $2 and epoch = $3",
            )
            .bind(TENANT)
            .bind(agent_id)
            .bind(epoch as i64)
            .fetch_optional(pool)
            .await?;
            let seq: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
            Ok(seq.map(|seq| seq as u64))
        }

        /// Epochs of which nothing was received since.
        pub(in crate::store) async fn forget_epochs(
            pool: &$pool,
            before_ms: i64,
        ) -> Result<(), StoreError> {
            sqlx::query("delete from agent_epoch where tenant_id = $1 and received_ms < $2")
                .bind(TENANT)
                .bind(before_ms)
                .execute(pool)
                .await?;
            Ok(())
        }
    };
}

pub(super) use agent_queries;
