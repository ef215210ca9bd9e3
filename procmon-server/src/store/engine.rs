//! The two engines, behind one interface. What each of them keeps is in its own folder.

use std::sync::Arc;

use super::agents::AgentRow;
use super::part::Part;
use super::postgres::{self, Postgres};
use super::sqlite::{self, Sqlite};
use super::{StoreError, writer};

#[derive(Debug)]
pub(super) enum Engine {
    Sqlite(Sqlite),
    Postgres(Arc<Postgres>),
}

/// The same statement on the engine there is.
macro_rules! ask {
    ($engine:expr, $function:ident($($argument:expr),*)) => {
        match $engine {
            Engine::Sqlite(engine) => sqlite::agent_queries::$function(&engine.agents, $($argument),*).await,
            Engine::Postgres(engine) => postgres::agent_queries::$function(&engine.pool, $($argument),*).await,
        }
    };
}

impl Engine {
    pub(super) async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        ask!(self, agents())
    }

    pub(super) async fn save_agents(&self, agents: &[AgentRow]) -> Result<(), StoreError> {
        ask!(self, save(agents))
    }

    pub(super) async fn epoch(
        &self,
        agent_id: &str,
        epoch: u64,
    ) -> Result<Option<u64>, StoreError> {
        ask!(self, epoch(agent_id, epoch))
    }

    pub(super) async fn forget_epochs(&self, before_ms: i64) -> Result<(), StoreError> {
        ask!(self, forget_epochs(before_ms))
    }

    /// Remembers that parts are no longer needed, where they would be there again after a crash otherwise.
    pub(super) async fn retire(&self, parts: &[Arc<Part>]) -> Result<(), StoreError> {
        match self {
            // Unlinking is one step, and half of it is as good as nothing.
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(_) if parts.is_empty() => Ok(()),
            Self::Postgres(engine) => engine.retire(&table_names(parts)).await,
        }
    }

    /// Finds out whether the engine is there.
    pub(super) async fn reach(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(engine) => engine.reach().await,
        }
    }

    /// Makes the slice that the log goes on in.
    pub(super) async fn create_slice(&self, number: u32) -> Result<Part, StoreError> {
        let failed = |error: anyhow::Error| match error.downcast::<sqlx::Error>() {
            Ok(error) => StoreError::from(error),
            Err(error) => StoreError::Failed(format!("{error:#}")),
        };
        match self {
            Self::Sqlite(engine) => engine.create_slice(number).await.map_err(failed),
            Self::Postgres(engine) => engine.create_slice(number).await,
        }
    }

    /// A connection that writes a slice.
    pub(super) async fn connect(&self, number: u32) -> Result<writer::Connection, StoreError> {
        match self {
            Self::Sqlite(engine) => Ok(writer::Connection::Sqlite(engine.connect(number).await?)),
            Self::Postgres(engine) => {
                Ok(writer::Connection::Postgres(engine.writer(number).await?))
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(engine) => engine.agents.close().await,
            Self::Postgres(engine) => engine.close().await,
        }
    }
}

pub(super) fn table_names(parts: &[Arc<Part>]) -> Vec<String> {
    let names = parts.iter().filter_map(|part| part.table_name());
    names.map(str::to_owned).collect()
}
