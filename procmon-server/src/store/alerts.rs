//! Rules, alerts, what became of them, and silences. What their bodies mean is not known here.

use super::{Routed, Store, StoreError};

/// A rule as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    pub rule_id: String,
    /// JSON.
    pub body: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    pub fingerprint: String,
    pub rule_id: String,
    /// JSON.
    pub body: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransition {
    /// Stored once, however often it is decided.
    pub transition_id: String,
    pub fingerprint: String,
    pub rule_id: String,
    pub agent_id: Option<String>,
    pub process_id: Option<String>,
    pub to_state: String,
    pub at_ms: i64,
    /// JSON.
    pub body: String,
}

/// What one evaluation decided: all of it is stored, or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    pub evaluated_ms: i64,
    /// How far the log of events was read.
    pub event_cursor: String,
    /// Those that changed.
    pub alerts: Vec<StoredAlert>,
    /// Fingerprints of those that are over and no longer shown.
    pub ended: Vec<String>,
    pub transitions: Vec<StoredTransition>,
    /// What is told of them.
    pub routed: Routed,
}

/// When rules were evaluated last, and how far the log of events was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEvaluation {
    pub evaluated_ms: i64,
    pub event_cursor: String,
}

/// Which transitions; all that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct TransitionQuery {
    pub rule_id: Option<String>,
    pub fingerprint: Option<String>,
    pub agent_id: Option<String>,
    pub process_id: Option<String>,
    pub to_state: Option<String>,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// Older than this number.
    pub before: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRow {
    pub silence_id: String,
    pub ends_ms: i64,
    /// JSON.
    pub body: String,
}

impl Store {
    pub async fn rules(&self) -> Result<Vec<RuleRow>, StoreError> {
        self.engine.rules().await
    }

    /// Creates or replaces it; the time of creation stays.
    pub async fn save_rule(&self, rule: &RuleRow) -> Result<(), StoreError> {
        self.engine.save_rule(rule).await
    }

    pub async fn delete_rule(&self, rule_id: &str) -> Result<(), StoreError> {
        self.engine.delete_rule(rule_id).await
    }

    pub async fn alerts(&self) -> Result<Vec<StoredAlert>, StoreError> {
        self.engine.alerts().await
    }

    pub async fn last_evaluation(&self) -> Result<Option<LastEvaluation>, StoreError> {
        self.engine.last_evaluation().await
    }

    pub async fn commit_evaluation(&self, evaluation: &Evaluation) -> Result<(), StoreError> {
        self.engine.commit_evaluation(evaluation).await
    }

    /// An alert that changed between two evaluations, because somebody saw it.
    pub async fn save_alert(&self, alert: &StoredAlert) -> Result<(), StoreError> {
        self.engine.save_alert(alert).await
    }

    /// The newest first, each with its number.
    pub async fn transitions(
        &self,
        query: &TransitionQuery,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        self.engine.transitions(query, limit).await
    }

    /// Forgets transitions and silences that ended before.
    pub async fn expire_alerts(&self, before_ms: i64) -> Result<(), StoreError> {
        self.engine.expire_alerts(before_ms).await
    }

    pub async fn silences(&self) -> Result<Vec<SilenceRow>, StoreError> {
        self.engine.silences().await
    }

    pub async fn save_silence(&self, silence: &SilenceRow) -> Result<(), StoreError> {
        self.engine.save_silence(silence).await
    }
}

/// The statements about alerts that both engines run, written once, as in [`super::queries`].
macro_rules! alert_queries {
    ($pool:ty, $connection:ty, $row:ty) => {
        use sqlx::Row;

        use crate::store::alerts::{
            Evaluation, LastEvaluation, RuleRow, SilenceRow, StoredAlert, StoredTransition,
            TransitionQuery,
        };
        use crate::store::{StoreError, TENANT};

        pub(in crate::store) async fn rules(pool: &$pool) -> Result<Vec<RuleRow>, StoreError> {
            let rows = sqlx::query(
                "select rule_id, body, created_ms, updated_ms from alert_rule where tenant_id = $1 \
                 order by rule_id",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(RuleRow {
                    rule_id: row.try_get(0)?,
                    body: row.try_get(1)?,
                    created_ms: row.try_get(2)?,
                    updated_ms: row.try_get(3)?,
                })
            };
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn save_rule(
            connection: &mut $connection,
            rule: &RuleRow,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into alert_rule (tenant_id, rule_id, body, created_ms, updated_ms) \
                 values ($1, $2, $3, $4, $5) on conflict (tenant_id, rule_id) do update set \
                 body = excluded.body, updated_ms = excluded.updated_ms",
            )
            .bind(TENANT)
            .bind(&rule.rule_id)
            .bind(&rule.body)
            .bind(rule.created_ms)
            .bind(rule.updated_ms)
            .execute(connection)
            .await?;
            Ok(())
        }

        pub(in crate::store) async fn delete_rule(
            connection: &mut $connection,
            rule_id: &str,
        ) -> Result<(), StoreError> {
            sqlx::query("delete from alert_rule where tenant_id = $1 and rule_id = $2")
                .bind(TENANT)
                .bind(rule_id)
                .execute(connection)
                .await?;
            Ok(())
        }

        pub(in crate::store) async fn alerts(pool: &$pool) -> Result<Vec<StoredAlert>, StoreError> {
            let rows = sqlx::query(
                "select fingerprint, rule_id, body from alert where tenant_id = $1 order by fingerprint",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(StoredAlert {
                    fingerprint: row.try_get(0)?,
                    rule_id: row.try_get(1)?,
                    body: row.try_get(2)?,
                })
            };
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn save_alert(
            connection: &mut $connection,
            alert: &StoredAlert,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into alert (tenant_id, fingerprint, rule_id, body) values ($1, $2, $3, $4) \
                 on conflict (tenant_id, fingerprint) do update set rule_id = excluded.rule_id, \
                 body = excluded.body",
            )
            .bind(TENANT)
            .bind(&alert.fingerprint)
            .bind(&alert.rule_id)
            .bind(&alert.body)
            .execute(connection)
            .await?;
            Ok(())
        }

        async fn save_transition(
            connection: &mut $connection,
            transition: &StoredTransition,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into alert_transition (tenant_id, transition_id, fingerprint, rule_id, agent_id, \
                 process_id, to_state, at_ms, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 on conflict (tenant_id, transition_id) do nothing",
            )
            .bind(TENANT)
            .bind(&transition.transition_id)
            .bind(&transition.fingerprint)
            .bind(&transition.rule_id)
            .bind(&transition.agent_id)
            .bind(&transition.process_id)
            .bind(&transition.to_state)
            .bind(transition.at_ms)
            .bind(&transition.body)
            .execute(connection)
            .await?;
            Ok(())
        }

        /// In a transaction of the caller.
        pub(in crate::store) async fn save_evaluation(
            connection: &mut $connection,
            evaluation: &Evaluation,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into alert_evaluation (tenant_id, evaluated_ms, event_cursor) values ($1, $2, $3) \
                 on conflict (tenant_id) do update set evaluated_ms = excluded.evaluated_ms, \
                 event_cursor = excluded.event_cursor",
            )
            .bind(TENANT)
            .bind(evaluation.evaluated_ms)
            .bind(&evaluation.event_cursor)
            .execute(&mut *connection)
            .await?;
            for alert in &evaluation.alerts {
                save_alert(connection, alert).await?;
            }
            for fingerprint in &evaluation.ended {
                sqlx::query("delete from alert where tenant_id = $1 and fingerprint = $2")
                    .bind(TENANT)
                    .bind(fingerprint)
                    .execute(&mut *connection)
                    .await?;
            }
            for transition in &evaluation.transitions {
                save_transition(connection, transition).await?;
            }
            super::delivery_queries::save_routed(connection, &evaluation.routed).await
        }

        pub(in crate::store) async fn last_evaluation(
            pool: &$pool,
        ) -> Result<Option<LastEvaluation>, StoreError> {
            let row = sqlx::query(
                "select evaluated_ms, event_cursor from alert_evaluation where tenant_id = $1",
            )
            .bind(TENANT)
            .fetch_optional(pool)
            .await?;
            let read = |row: $row| {
                Ok(LastEvaluation {
                    evaluated_ms: row.try_get(0)?,
                    event_cursor: row.try_get(1)?,
                })
            };
            row.map(read).transpose()
        }

        pub(in crate::store) async fn transitions(
            pool: &$pool,
            query: &TransitionQuery,
            limit: u32,
        ) -> Result<Vec<(i64, String)>, StoreError> {
            let rows = sqlx::query(
                "select id, body from alert_transition where tenant_id = $1 \
                 and ($2 is null or rule_id = $2) and ($3 is null or fingerprint = $3) \
                 and ($4 is null or agent_id = $4) and ($5 is null or to_state = $5) \
                 and ($6 is null or process_id = $6) \
                 and at_ms >= $7 and at_ms <= $8 and id < $9 order by id desc limit $10",
            )
            .bind(TENANT)
            .bind(&query.rule_id)
            .bind(&query.fingerprint)
            .bind(&query.agent_id)
            .bind(&query.to_state)
            .bind(&query.process_id)
            .bind(query.since_ms.unwrap_or(i64::MIN))
            .bind(query.until_ms.unwrap_or(i64::MAX))
            .bind(query.before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn expire_alerts(
            connection: &mut $connection,
            before_ms: i64,
        ) -> Result<(), StoreError> {
            for statement in [
                "delete from alert_transition where tenant_id = $1 and at_ms < $2",
                "delete from silence where tenant_id = $1 and ends_ms < $2",
            ] {
                sqlx::query(statement)
                    .bind(TENANT)
                    .bind(before_ms)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        }

        pub(in crate::store) async fn silences(
            pool: &$pool,
        ) -> Result<Vec<SilenceRow>, StoreError> {
            let rows = sqlx::query(
                "select silence_id, ends_ms, body from silence where tenant_id = $1 order by silence_id",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(SilenceRow {
                    silence_id: row.try_get(0)?,
                    ends_ms: row.try_get(1)?,
                    body: row.try_get(2)?,
                })
            };
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn save_silence(
            connection: &mut $connection,
            silence: &SilenceRow,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into silence (tenant_id, silence_id, ends_ms, body) values ($1, $2, $3, $4) \
                 on conflict (tenant_id, silence_id) do update set ends_ms = excluded.ends_ms, \
                 body = excluded.body",
            )
            .bind(TENANT)
            .bind(&silence.silence_id)
            .bind(silence.ends_ms)
            .bind(&silence.body)
            .execute(connection)
            .await?;
            Ok(())
        }
    };
}

pub(super) use alert_queries;
