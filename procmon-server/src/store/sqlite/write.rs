//! What the writer does to the newest slice.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::store::writer::Append;
use crate::store::{StoreError, TENANT};

/// Stores batches in one transaction; returns their rows.
pub(in crate::store) async fn insert(
    connection: &mut SqliteConnection,
    group: &[&Append],
) -> Result<Vec<i64>, StoreError> {
    sqlx::query("begin immediate")
        .execute(&mut *connection)
        .await?;
    let mut ids = Vec::with_capacity(group.len());
    for append in group {
        ids.push(insert_one(connection, append).await?);
    }
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok(ids)
}

/// The row's id; a batch that is already there keeps its own.
async fn insert_one(connection: &mut SqliteConnection, append: &Append) -> Result<i64, StoreError> {
    let range = append.event_range_ms;
    let row = sqlx::query(
        "insert into batch (tenant_id, agent_id, epoch, seq, received_ms, span, event_count, event_kinds, \
         first_event_ms, last_event_ms, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (tenant_id, agent_id, epoch, seq) do update set seq = excluded.seq returning id",
    )
    .bind(TENANT)
    .bind(&*append.agent_id)
    .bind(append.epoch as i64)
    .bind(append.seq as i64)
    .bind(append.received_ms)
    .bind(append.span())
    .bind(append.event_count)
    .bind(append.event_kinds)
    .bind(range.map(|range| range.0))
    .bind(range.map(|range| range.1))
    .bind(&append.body)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

/// Writes something, to find out whether that is possible.
pub(in crate::store) async fn probe(
    connection: &mut SqliteConnection,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("update slice_state set probed_ms = $1 where id = 1")
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(())
}
