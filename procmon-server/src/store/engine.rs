//! The two engines, behind one interface. What each of them keeps is in its own folder.

use super::agents::{AgentEpoch, AgentRow};
use super::part::Part;
use super::sqlite::{self, Sqlite};
use super::{StoreError, writer};

#[derive(Debug)]
pub(super) enum Engine {
    Sqlite(Sqlite),
}

/// The same statement on the engine there is.
macro_rules! ask {
    ($engine:expr, $function:ident($($argument:expr),*)) => {
        match $engine {
            Engine::Sqlite(engine) => sqlite::agent_queries::$function(&engine.agents, $($argument),*).await,
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

    pub(super) async fn save_epochs(&self, epochs: &[AgentEpoch]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(engine) => {
                let mut transaction = engine.agents.begin().await?;
                for epoch in epochs {
                    sqlite::agent_queries::save_epoch(&mut transaction, epoch).await?;
                }
                Ok(transaction.commit().await?)
            }
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
        }
    }

    /// A connection that writes a slice.
    pub(super) async fn connect(&self, number: u32) -> Result<writer::Connection, StoreError> {
        match self {
            Self::Sqlite(engine) => Ok(writer::Connection::Sqlite(engine.connect(number).await?)),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(engine) => engine.agents.close().await,
        }
    }
}
