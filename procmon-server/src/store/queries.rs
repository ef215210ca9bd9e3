//! The statements that both engines run, written once. A table is a file's own in SQLite, and a partition, addressed by its
//! own name, in PostgreSQL: so no statement ever has to look for its partition.

/// How a head is read back.
pub(super) const SPAN_KEY: i64 = 1;
pub(super) const SPAN_MORE: i64 = 2;

/// Makes the module of one engine: its pool, its rows, and what says which index to use where it has to be told.
macro_rules! queries {
    ($pool:ty, $row:ty, $by_event:literal) => {
        use std::sync::Arc;

        use sqlx::{AssertSqlSafe, Row};

        use crate::store::log::{Head, LogBatch};
        use crate::store::queries::{SPAN_KEY, SPAN_MORE};
        use crate::store::read::{EventPage, EventQuery, EventRow};
        use crate::store::{StoreError, TENANT};

        /// Row and time of receipt of the newest batch.
        pub(in crate::store) async fn newest(
            pool: &$pool,
            table: &str,
        ) -> Result<Option<(i64, i64)>, StoreError> {
            let sql = format!("select id, received_ms from {table} order by id desc limit 1");
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(pool).await?;
            row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .transpose()
        }

        /// Batches with matching events from a row on, in the direction asked for.
        pub(in crate::store) async fn events(
            pool: &$pool,
            table: &str,
            query: &EventQuery,
            page: EventPage,
        ) -> Result<Vec<EventRow>, StoreError> {
            let (side, order) = if page.newest_first {
                ("<=", "desc")
            } else {
                (">=", "asc")
            };
            let by_event = $by_event;
            let sql = format!(
                "select id, agent_id, received_ms, body from {table} {by_event} \
                 where tenant_id = $1 and event_count > 0 and id {side} $2 and ($3 is null or agent_id = $3) \
                 and ($4 = 0 or (event_kinds & $4) <> 0) and ($5 is null or last_event_ms >= $5) \
                 and ($6 is null or first_event_ms <= $6) and received_ms >= $7 order by id {order} limit $8"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(page.edge)
                .bind(query.agent_id.as_deref())
                .bind(i64::from(query.kinds))
                .bind(query.since_ms)
                .bind(query.until_ms)
                .bind(page.kept_since_ms)
                .bind(i64::from(page.limit))
                .fetch_all(pool)
                .await?;
            let read = |row: &$row| {
                Ok(EventRow {
                    id: row.try_get(0)?,
                    agent_id: row.try_get::<&str, _>(1)?.into(),
                    received_ms: row.try_get(2)?,
                    body: row.try_get(3)?,
                })
            };
            rows.iter().map(read).collect()
        }

        /// The agent's newest batches without their bodies, newest first.
        pub(in crate::store) async fn heads(
            pool: &$pool,
            table: &str,
            agent_id: &str,
            limit: u32,
        ) -> Result<Vec<Head>, StoreError> {
            let sql = format!(
                "select id, epoch, seq, received_ms, span from {table} where tenant_id = $1 and agent_id = $2 \
                 order by id desc limit $3"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?;
            let read = |row: &$row| {
                let span: i64 = row.try_get(4)?;
                Ok(Head {
                    id: row.try_get(0)?,
                    epoch: row.try_get::<i64, _>(1)? as u64,
                    seq: row.try_get::<i64, _>(2)? as u64,
                    received_ms: row.try_get(3)?,
                    key: span & SPAN_KEY != 0,
                    more: span & SPAN_MORE != 0,
                })
            };
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn body(
            pool: &$pool,
            table: &str,
            id: i64,
        ) -> Result<Vec<u8>, StoreError> {
            let sql = format!("select body from {table} where id = $1");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(id);
            Ok(query.fetch_one(pool).await?.try_get(0)?)
        }

        /// The highest number of an epoch.
        pub(in crate::store) async fn watermark(
            pool: &$pool,
            table: &str,
            agent_id: &str,
            epoch: u64,
        ) -> Result<Option<u64>, StoreError> {
            let sql = format!(
                "select max(seq) from {table} where tenant_id = $1 and agent_id = $2 and epoch = $3"
            );
            let query = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(epoch as i64);
            let row = query.fetch_one(pool).await?;
            Ok(row.try_get::<Option<i64>, _>(0)?.map(|seq| seq as u64))
        }

        /// The row of a batch.
        pub(in crate::store) async fn row_of(
            pool: &$pool,
            table: &str,
            (agent_id, epoch, seq): (&str, u64, u64),
        ) -> Result<Option<i64>, StoreError> {
            let sql = format!(
                "select id from {table} where tenant_id = $1 and agent_id = $2 and epoch = $3 and seq = $4"
            );
            let query = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(epoch as i64)
                .bind(seq as i64);
            let row = query.fetch_optional(pool).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        }

        pub(in crate::store) async fn agents(
            pool: &$pool,
            table: &str,
        ) -> Result<Vec<Arc<str>>, StoreError> {
            let sql = format!(
                "select distinct agent_id from {table} where tenant_id = $1 order by agent_id"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT);
            let rows = query.fetch_all(pool).await?;
            let read = |row: &$row| Ok(row.try_get::<&str, _>(0)?.into());
            rows.iter().map(read).collect()
        }

        /// The newest row that begins a span of handles and was received by then. Looked for in the index of the agent, not
        /// backwards through the rows of all.
        pub(in crate::store) async fn span_before(
            pool: &$pool,
            table: &str,
            agent_id: &str,
            received_ms: i64,
        ) -> Result<Option<i64>, StoreError> {
            let sql = format!(
                "select max(+id) from {table} where tenant_id = $1 and agent_id = $2 and received_ms <= $3 \
                 and (span & {SPAN_KEY}) <> 0"
            );
            let query = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(received_ms);
            Ok(query.fetch_one(pool).await?.try_get(0)?)
        }

        /// The agent's batches after a row, in order of arrival. The rows are found in the index alone; only those of the
        /// page are read.
        pub(in crate::store) async fn batches(
            pool: &$pool,
            table: &str,
            agent_id: &str,
            after_id: i64,
            limit: u32,
        ) -> Result<Vec<LogBatch>, StoreError> {
            let sql = format!(
                "with mine as materialized (select id from {table} where tenant_id = $1 and agent_id = $2) \
                 select id, epoch, seq, received_ms, span, body from {table} where id in \
                 (select id from mine where id > $3 order by id limit $4) order by id"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(after_id)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?;
            let read = |row: &$row| {
                let span: i64 = row.try_get(4)?;
                Ok(LogBatch {
                    id: row.try_get(0)?,
                    epoch: row.try_get::<i64, _>(1)? as u64,
                    seq: row.try_get::<i64, _>(2)? as u64,
                    received_ms: row.try_get(3)?,
                    key: span & SPAN_KEY != 0,
                    more: span & SPAN_MORE != 0,
                    body: row.try_get(5)?,
                })
            };
            rows.iter().map(read).collect()
        }
    };
}

pub(super) use queries;
