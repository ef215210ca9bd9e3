//! What the writer does to the newest slice, on the connection that holds the lock.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::sync::{Mutex, MutexGuard};

use super::{Postgres, connect};
use crate::store::append::Append;
use crate::store::{StoreError, TENANT};

/// A database that does not answer a commit for so long is taken for gone.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// The connection that holds the lock. It is made anew after it failed.
#[derive(Debug)]
pub(super) struct Owner {
    connection: Mutex<Option<PgConnection>>,
}

impl Owner {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self {
            connection: Mutex::new(Some(connection)),
        }
    }

    /// Runs something on the connection; whatever fails on it ends it.
    pub(super) async fn run<T>(
        &self,
        engine: &Postgres,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut kept: MutexGuard<'_, _> = self.connection.lock().await;
        let worked = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => connect::again(&engine.options, engine.run).await?,
            };
            let outcome = work(&mut connection).await?;
            Ok::<_, StoreError>((outcome, connection))
        };
        let (outcome, connection) = tokio::time::timeout(COMMIT_PATIENCE, worked)
            .await
            .map_err(|_| StoreError::Unavailable("it does not answer".to_owned()))??;
        *kept = Some(connection);
        Ok(outcome)
    }

    /// Frees the lock.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            let _ = sqlx::Connection::close(connection).await;
        }
    }
}

/// Writes one slice.
#[derive(Debug)]
pub(in crate::store) struct SliceWriter {
    engine: Arc<Postgres>,
    table: String,
    next_id: i64,
}

impl SliceWriter {
    pub(super) async fn open(engine: &Arc<Postgres>, table: String) -> Result<Self, StoreError> {
        let sql = format!("select coalesce(max(id), 0) + 1 from {table}");
        let newest = async |connection: &mut PgConnection| {
            let row = sqlx::query(AssertSqlSafe(sql))
                .fetch_one(connection)
                .await?;
            Ok(row.try_get(0)?)
        };
        Ok(Self {
            next_id: engine.owner.run(engine, newest).await?,
            engine: Arc::clone(engine),
            table,
        })
    }

    /// Stores batches by one statement; returns their rows. A batch that is already there keeps its own.
    pub(in crate::store) async fn insert(
        &mut self,
        group: &[&Append],
    ) -> Result<Vec<i64>, StoreError> {
        let table = self.table.clone();
        let ids: Vec<i64> = (self.next_id..).take(group.len()).collect();
        let insert = async |connection: &mut PgConnection| {
            if insert_all(connection, &table, &ids, group).await? == group.len() as u64 {
                return Ok(ids);
            }
            let mut found = Vec::with_capacity(group.len());
            for append in group {
                found.push(row_of(connection, &table, append).await?);
            }
            Ok(found)
        };
        let ids = self.engine.owner.run(&self.engine, insert).await?;
        self.next_id += group.len() as i64;
        Ok(ids)
    }

    pub(in crate::store) async fn probe(&mut self, now_ms: i64) -> Result<(), StoreError> {
        let probe = async |connection: &mut PgConnection| {
            sqlx::query("update store_state set probed_ms = $1 where id = 1")
                .bind(now_ms)
                .execute(connection)
                .await?;
            Ok(())
        };
        self.engine.owner.run(&self.engine, probe).await
    }
}

async fn insert_all(
    connection: &mut PgConnection,
    table: &str,
    ids: &[i64],
    group: &[&Append],
) -> Result<u64, StoreError> {
    fn column<T>(group: &[&Append], of: impl Fn(&Append) -> T) -> Vec<T> {
        group.iter().map(|append| of(append)).collect()
    }
    let sql = format!(
        "insert into {table} (tenant_id, id, agent_id, epoch, seq, received_ms, span, event_count, event_kinds, \
         first_event_ms, last_event_ms, body) select $1, * from unnest($2::bigint[], $3::text[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], \
         $12::bytea[]) on conflict (tenant_id, agent_id, epoch, seq) do nothing"
    );
    let agent_ids: Vec<&str> = group.iter().map(|append| &*append.agent_id).collect();
    let bodies: Vec<&[u8]> = group.iter().map(|append| &*append.body).collect();
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(TENANT)
        .bind(ids)
        .bind(agent_ids)
        .bind(column(group, |append| append.epoch as i64))
        .bind(column(group, |append| append.seq as i64))
        .bind(column(group, |append| append.received_ms))
        .bind(column(group, Append::span))
        .bind(column(group, |append| i64::from(append.event_count)))
        .bind(column(group, |append| i64::from(append.event_kinds)))
        .bind(column(group, |append| {
            append.event_range_ms.map(|range| range.0)
        }))
        .bind(column(group, |append| {
            append.event_range_ms.map(|range| range.1)
        }))
        .bind(bodies)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

async fn row_of(
    connection: &mut PgConnection,
    table: &str,
    append: &Append,
) -> Result<i64, StoreError> {
    let sql = format!(
        "select id from {table} where tenant_id = $1 and agent_id = $2 and epoch = $3 and seq = $4"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(TENANT)
        .bind(&*append.agent_id)
        .bind(append.epoch as i64)
        .bind(append.seq as i64)
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}
