//! One partition, addressed by its own name: no statement of ours touches the table it is a part of, so that nothing that
//! others do to that one (a dump, a long query) keeps us waiting.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};

use crate::store::StoreError;

/// How long a change of the partitions waits for others. Then it is tried again later.
pub(super) const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

#[derive(Clone, Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) pool: PgPool,
    pub(in crate::store) name: String,
    /// Which run of the server may change it.
    pub(super) run: i64,
}

impl Table {
    /// What it takes on the disk, with indexes.
    pub(in crate::store) async fn bytes(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("select coalesce(pg_total_relation_size(to_regclass($1)), 0)")
            .bind(&self.name)
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    /// Drops it.
    pub(in crate::store) async fn remove(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
        fence(&mut transaction, self.run).await?;
        drop_table(&mut transaction, &self.name).await?;
        Ok(transaction.commit().await?)
    }
}

pub(super) async fn drop_table(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(), StoreError> {
    let sql = format!("drop table if exists {name}");
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from part where table_name = $1")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from segment_slice where 'segment_' || stretch = $1")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Lets the transaction go on only while no other server has taken the database, and holds up one that would.
pub(super) async fn fence(connection: &mut PgConnection, run: i64) -> Result<(), StoreError> {
    let row = sqlx::query("select 1 from store_state where id = 1 and run = $1 for share")
        .bind(run)
        .fetch_optional(connection)
        .await?;
    row.map(|_| ()).ok_or(StoreError::Taken)
}
