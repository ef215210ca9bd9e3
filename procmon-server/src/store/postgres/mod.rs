//! PostgreSQL: a partition per slice of the log and per stretch of segments, dropped whole. A table of partitions says what
//! there is; only the server that holds the database's lock changes it.

mod connect;
mod segments;
mod table;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row};

pub(super) use segments::{Publication, SegmentWriter};
pub(super) use table::Table;
pub(super) use write::SliceWriter;

use super::StoreError;
use super::catalog::{Catalog, Segments, SliceEnd};
use super::part::Part;
use super::segment_file::SegmentName;
use table::{LOCK_TIMEOUT, drop_table};
use write::Owner;

pub(super) mod queries {
    super::super::queries::queries!(sqlx::PgPool, sqlx::postgres::PgRow, "");
}

pub(super) mod segment_queries {
    super::super::segment_queries::segment_queries!(
        sqlx::PgPool,
        sqlx::postgres::PgConnection,
        sqlx::postgres::PgRow
    );
}

pub(super) mod alert_queries {
    super::super::alerts::alert_queries!(
        sqlx::PgPool,
        sqlx::postgres::PgConnection,
        sqlx::postgres::PgRow
    );
}

pub(super) mod delivery_queries {
    super::super::delivery::delivery_queries!(
        sqlx::PgPool,
        sqlx::postgres::PgConnection,
        sqlx::postgres::PgRow
    );
    super::super::delivery::channel_queries!(
        sqlx::PgPool,
        sqlx::postgres::PgConnection,
        sqlx::postgres::PgRow
    );
}

pub(super) mod agent_queries {
    super::super::agents::agent_queries!(
        sqlx::PgPool,
        sqlx::postgres::PgConnection,
        sqlx::postgres::PgRow
    );
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Connections besides the one that writes. More requests wait for their turn, and after the time are told to retry.
const CONNECTIONS: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) pool: PgPool,
    options: PgConnectOptions,
    owner: Owner,
    run: i64,
}

impl Postgres {
    /// Connects, takes the database for this server, brings its tables up to date, and drops what is not needed.
    pub(super) async fn open(dsn: &str) -> anyhow::Result<(Self, Catalog)> {
        let options = connect::options(dsn)?;
        let mut owner = connect::first(&options).await?;
        connect::check(&mut owner).await?;
        connect::lock(&mut owner).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.clone());
        MIGRATIONS
            .run(&pool)
            .await
            .context("cannot bring the tables of the database up to date")?;
        let run = sqlx::query("update store_state set run = run + 1 where id = 1 returning run")
            .fetch_one(&mut owner)
            .await
            .and_then(|row| row.try_get(0))
            .context("cannot write to the database")?;
        drop_unneeded(&mut owner)
            .await
            .context("cannot drop partitions that are no longer needed")?;
        let engine = Self {
            pool,
            options,
            owner: Owner::new(owner),
            run,
        };
        let catalog = engine.read_catalog().await?;
        Ok((engine, catalog))
    }

    pub(super) fn table(&self, name: String) -> Table {
        Table {
            pool: self.pool.clone(),
            name,
            run: self.run,
        }
    }

    /// Makes a slice of the log. The lock that attaching takes lets others read and write meanwhile.
    pub(super) async fn create_slice(&self, number: u32) -> Result<Part, StoreError> {
        let name = slice_name(number);
        let sql = format!(
            "begin; {LOCK_TIMEOUT}; \
             create table {name} (like batch including defaults including storage, check (slice = {number}), \
             primary key (id), unique (tenant_id, agent_id, epoch, seq)); \
             alter table {name} alter column slice set default {number}; \
             create index {name}_event on {name} (id) where event_count > 0; \
             alter table batch attach partition {name} for values in ({number}); \
             insert into part (table_name, kind, level, first_slice, last_slice, state) \
             values ('{name}', 'batch', 0, {number}, {number}, 'kept'); commit"
        );
        let create = async |connection: &mut PgConnection| {
            // Made already, by a transaction of which only the answer was lost.
            let made = sqlx::query("select 1 from part where table_name = $1 and state = 'kept'")
                .bind(slice_name(number))
                .fetch_optional(&mut *connection)
                .await?;
            if made.is_none() {
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(connection)
                    .await?;
            }
            Ok(())
        };
        self.owner.run(self, create).await?;
        Ok(Part::Postgres(self.table(name)))
    }

    /// Has the lock, or gets it back.
    pub(super) async fn reach(&self) -> Result<(), StoreError> {
        let ask = async |connection: &mut PgConnection| {
            sqlx::query("select 1").execute(connection).await?;
            Ok(())
        };
        self.owner.run(self, ask).await
    }

    pub(super) async fn writer(self: &Arc<Self>, number: u32) -> Result<SliceWriter, StoreError> {
        SliceWriter::open(self, slice_name(number)).await
    }

    pub(super) async fn begin_segments(
        self: &Arc<Self>,
        name: SegmentName,
    ) -> Result<SegmentWriter, StoreError> {
        SegmentWriter::begin(self, name).await
    }

    /// Remembers that tables are no longer needed, before they are dropped.
    pub(super) async fn retire(&self, tables: &[String]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        table::fence(&mut transaction, self.run).await?;
        sqlx::query("update part set state = 'dropped' where table_name = any($1)")
            .bind(tables)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// A transaction that goes on only while no other server has taken the database.
    pub(super) async fn begin_fenced(
        &self,
    ) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        table::fence(&mut transaction, self.run).await?;
        Ok(transaction)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.owner.close().await;
    }

    async fn read_catalog(&self) -> anyhow::Result<Catalog> {
        let mut catalog = Catalog::default();
        let rows = sqlx::query(
            "select table_name, kind, level, first_slice, last_slice from part where state = 'kept' \
             order by kind, first_slice",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut ends = self.read_ends().await?;
        let mut samples = BTreeMap::new();
        for row in rows.iter().rev() {
            let part = Arc::new(Part::Postgres(self.table(row.try_get(0)?)));
            let number = |column| anyhow::Ok(u32::try_from(row.try_get::<i64, _>(column)?)?);
            let first_slice = number(3)?;
            // Samples come first in this order.
            match row.try_get(1)? {
                "segment_samples" => {
                    samples.insert(first_slice, part);
                }
                "segment" => {
                    let file = Segments {
                        level: number(2)? as u8,
                        first_slice,
                        last_slice: number(4)?,
                        ends: ends
                            .remove(&part_stretch(row.try_get(0)?))
                            .unwrap_or_default(),
                        events: part,
                        samples: samples.remove(&first_slice),
                        extent: Arc::default(),
                        event_digest: Arc::default(),
                    };
                    catalog.segments.insert(first_slice, Arc::new(file));
                }
                _ => {
                    catalog.slices.insert(first_slice, part);
                }
            }
        }
        Ok(catalog)
    }

    /// The slices of each stretch, in order.
    async fn read_ends(&self) -> anyhow::Result<BTreeMap<String, Vec<SliceEnd>>> {
        let rows = sqlx::query(
            "select stretch, slice, last_batch, received_last_ms from segment_slice order by slice",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut ends = BTreeMap::<String, Vec<SliceEnd>>::new();
        for row in rows {
            ends.entry(row.try_get(0)?).or_default().push(SliceEnd {
                slice: u32::try_from(row.try_get::<i64, _>(1)?)?,
                last_batch: row.try_get(2)?,
                received_last_ms: row.try_get(3)?,
            });
        }
        Ok(ends)
    }
}

fn part_stretch(table: &str) -> String {
    table.trim_start_matches("segment_").to_owned()
}

fn slice_name(number: u32) -> String {
    format!("batch_{number}")
}

/// Tables that a server before did not get to drop, or did not finish.
async fn drop_unneeded(connection: &mut PgConnection) -> Result<(), StoreError> {
    let rows = sqlx::query("select table_name from part where state <> 'kept'")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        drop_table(connection, row.try_get(0)?).await?;
    }
    Ok(())
}
