//! The statements about alerts on the engine there is. What changes something is one transaction, in PostgreSQL only while no
//! other server has taken the database.

use super::StoreError;
use super::alerts::{
    Evaluation, LastEvaluation, RuleRow, SilenceRow, StoredAlert, TransitionQuery,
};
use super::engine::Engine;
use super::{postgres, sqlite};

macro_rules! ask {
    ($engine:expr, $function:ident($($argument:expr),*)) => {
        match $engine {
            Engine::Sqlite(engine) => sqlite::alert_queries::$function(&engine.agents, $($argument),*).await,
            Engine::Postgres(engine) => postgres::alert_queries::$function(&engine.pool, $($argument),*).await,
        }
    };
}

macro_rules! change {
    ($engine:expr, $function:ident($($argument:expr),*)) => {
        match $engine {
            Engine::Sqlite(engine) => {
                let mut transaction = engine.agents.begin().await?;
                sqlite::alert_queries::$function(&mut transaction, $($argument),*).await?;
                Ok(transaction.commit().await?)
            }
            Engine::Postgres(engine) => {
                let mut transaction = engine.begin_fenced().await?;
                postgres::alert_queries::$function(&mut transaction, $($argument),*).await?;
                Ok(transaction.commit().await?)
            }
        }
    };
}

impl Engine {
    pub(super) async fn rules(&self) -> Result<Vec<RuleRow>, StoreError> {
        ask!(self, rules())
    }

    pub(super) async fn save_rule(&self, rule: &RuleRow) -> Result<(), StoreError> {
        change!(self, save_rule(rule))
    }

    pub(super) async fn delete_rule(&self, rule_id: &str) -> Result<(), StoreError> {
        change!(self, delete_rule(rule_id))
    }

    pub(super) async fn alerts(&self) -> Result<Vec<StoredAlert>, StoreError> {
        ask!(self, alerts())
    }

    pub(super) async fn save_alert(&self, alert: &StoredAlert) -> Result<(), StoreError> {
        change!(self, save_alert(alert))
    }

    pub(super) async fn last_evaluation(&self) -> Result<Option<LastEvaluation>, StoreError> {
        ask!(self, last_evaluation())
    }

    pub(super) async fn commit_evaluation(
        &self,
        evaluation: &Evaluation,
    ) -> Result<(), StoreError> {
        change!(self, save_evaluation(evaluation))
    }

    pub(super) async fn transitions(
        &self,
        query: &TransitionQuery,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        ask!(self, transitions(query, limit))
    }

    pub(super) async fn expire_alerts(&self, before_ms: i64) -> Result<(), StoreError> {
        change!(self, expire_alerts(before_ms))
    }

    pub(super) async fn silences(&self) -> Result<Vec<SilenceRow>, StoreError> {
        ask!(self, silences())
    }

    pub(super) async fn save_silence(&self, silence: &SilenceRow) -> Result<(), StoreError> {
        change!(self, save_silence(silence))
    }
}
