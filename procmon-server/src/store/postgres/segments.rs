//! Segments that are being written: tables of their own, filled row by row, and attached in the one transaction that makes
//! them visible.

use sqlx::{AssertSqlSafe, PgConnection};
use std::sync::Arc;

use super::table::{LOCK_TIMEOUT, Table, drop_table, fence};
use super::{Postgres, agent_queries, segment_queries};
use crate::store::StoreError;
use crate::store::agents::AgentEpoch;
use crate::store::catalog::SliceEnd;
use crate::store::segment_file::SegmentName;
use crate::store::segment_row::SegmentRow;

#[derive(Debug)]
pub(in crate::store) struct SegmentWriter {
    engine: Arc<Postgres>,
    name: SegmentName,
}

/// What a publication does besides.
pub(in crate::store) struct Publication<'a> {
    pub(in crate::store) ends: &'a [SliceEnd],
    pub(in crate::store) epochs: &'a [AgentEpoch],
    /// Tables that the segments replace.
    pub(in crate::store) replaced: Vec<String>,
}

impl SegmentWriter {
    pub(super) async fn begin(
        engine: &Arc<Postgres>,
        name: SegmentName,
    ) -> Result<Self, StoreError> {
        let mut transaction = engine.pool.begin().await?;
        sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
        fence(&mut transaction, engine.run).await?;
        for kind in ["segment", "segment_samples"] {
            create(&mut transaction, kind, name).await?;
        }
        transaction.commit().await?;
        Ok(Self {
            engine: Arc::clone(engine),
            name,
        })
    }

    pub(in crate::store) async fn put(
        &mut self,
        row: &SegmentRow,
        event_digest: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut connection = self.engine.pool.acquire().await?;
        let heads = table_name("segment", self.name);
        segment_queries::insert(&mut connection, &heads, row, event_digest).await?;
        if !row.samples.is_empty() {
            let samples = table_name("segment_samples", self.name);
            segment_queries::insert_samples(&mut connection, &samples, row).await?;
        }
        Ok(())
    }

    /// Makes them visible and everything that they replace invisible; returns heads and samples.
    pub(in crate::store) async fn publish(
        self,
        publication: Publication<'_>,
    ) -> Result<(Table, Table), StoreError> {
        let mut transaction = self.engine.pool.begin().await?;
        sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
        fence(&mut transaction, self.engine.run).await?;
        for row in publication.epochs {
            agent_queries::save_epoch(&mut transaction, row).await?;
        }
        for end in publication.ends {
            sqlx::query(
                "insert into segment_slice (slice, stretch, last_batch, received_last_ms) values ($1, $2, $3, $4) \
                 on conflict (slice) do update set stretch = excluded.stretch",
            )
            .bind(i64::from(end.slice))
            .bind(stretch(self.name))
            .bind(end.last_batch)
            .bind(end.received_last_ms)
            .execute(&mut *transaction)
            .await?;
        }
        for kind in ["segment", "segment_samples"] {
            let table = table_name(kind, self.name);
            let sql = format!(
                "alter table {kind} attach partition {table} for values in ('{}')",
                stretch(self.name)
            );
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut *transaction)
                .await?;
            sqlx::query("update part set state = 'kept' where table_name = $1")
                .bind(&table)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("update part set state = 'dropped' where table_name = any($1)")
            .bind(&publication.replaced)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let table = |kind| self.engine.table(table_name(kind, self.name));
        Ok((table("segment"), table("segment_samples")))
    }
}

async fn create(
    connection: &mut PgConnection,
    kind: &'static str,
    name: SegmentName,
) -> Result<(), StoreError> {
    let table = table_name(kind, name);
    drop_table(connection, &table).await?;
    let sql = format!(
        "create table {table} (like {kind} including defaults including storage, primary key (tenant_id, agent_id), \
         check (stretch = '{0}')); alter table {table} alter column stretch set default '{0}'",
        stretch(name)
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into part (table_name, kind, level, first_slice, last_slice, state) \
         values ($1, $2, $3, $4, $5, 'unfinished')",
    )
    .bind(&table)
    .bind(kind)
    .bind(i64::from(name.level))
    .bind(i64::from(name.first_slice))
    .bind(i64::from(name.last_slice))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn table_name(kind: &str, name: SegmentName) -> String {
    format!("{kind}_{}", stretch(name))
}

fn stretch(name: SegmentName) -> String {
    format!("{}_{}_{}", name.first_slice, name.last_slice, name.level)
}
