//! The statements about segments that both engines run, written once, as in [`super::queries`].

/// Makes the module of one engine: its pool, its connection, its rows.
macro_rules! segment_queries {
    ($pool:ty, $connection:ty, $row:ty) => {
        use sqlx::{AssertSqlSafe, Row};

        use crate::store::catalog::Extent;
        use crate::store::read::EventQuery;
        use crate::store::segment::EventDigest;
        use crate::store::segment_row::{SegmentColumns, SegmentRow, read_epochs, write_epochs};
        use crate::store::{StoreError, TENANT};

        const COLUMNS: &str = "agent_id, first_ms, last_ms, received_first_ms, received_last_ms, epochs, \
            event_count, event_kinds, first_event_ms, last_event_ms, samples_bytes, events_bytes, \
            first_event_slice, first_event_batch, last_event_slice, last_event_batch";
        /// The column after those.
        const DIGEST: usize = 16;

        pub(in crate::store) async fn insert(
            connection: &mut $connection,
            table: &str,
            row: &SegmentRow,
            event_digest: Option<Vec<u8>>,
        ) -> Result<(), StoreError> {
            let sql = format!(
                "insert into {table} (tenant_id, {COLUMNS}, event_digest, events) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                 $15, $16, $17, $18, $19)"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(&*row.agent_id)
                .bind(row.first_ms)
                .bind(row.last_ms)
                .bind(row.received_first_ms)
                .bind(row.received_last_ms)
                .bind(write_epochs(&row.epochs))
                .bind(i64::from(row.event_count))
                .bind(i64::from(row.event_kinds))
                .bind(row.first_event_ms)
                .bind(row.last_event_ms)
                .bind(row.samples.len() as i64)
                .bind(row.events.len() as i64)
                .bind(row.event_places.map(|(first, _)| i64::from(first.0)))
                .bind(row.event_places.map(|(first, _)| first.1))
                .bind(row.event_places.map(|(_, last)| i64::from(last.0)))
                .bind(row.event_places.map(|(_, last)| last.1))
                .bind(event_digest)
                .bind(&row.events)
                .execute(connection)
                .await?;
            Ok(())
        }

        pub(in crate::store) async fn insert_samples(
            connection: &mut $connection,
            table: &str,
            row: &SegmentRow,
        ) -> Result<(), StoreError> {
            let sql =
                format!("insert into {table} (tenant_id, agent_id, samples) values ($1, $2, $3)");
            sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(&*row.agent_id)
                .bind(&row.samples)
                .execute(connection)
                .await?;
            Ok(())
        }

        /// What the segments of all agents have together.
        pub(in crate::store) async fn extent(
            pool: &$pool,
            table: &str,
        ) -> Result<Extent, StoreError> {
            // Neither engine can do it alike otherwise: SQLite has no aggregate of bits.
            let kinds: Vec<_> = (0..31)
                .map(|bit| format!("max(event_kinds & {})", 1_i64 << bit))
                .collect();
            let sql = format!(
                "select min(first_ms), max(last_ms), min(first_event_ms), max(last_event_ms), {} from {table} \
                 where tenant_id = $1",
                kinds.join(" + ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT);
            let row = query.fetch_one(pool).await?;
            let number = |column: usize| row.try_get::<Option<i64>, _>(column);
            Ok(Extent {
                host_ms: (
                    number(0)?.unwrap_or(i64::MAX),
                    number(1)?.unwrap_or(i64::MIN),
                ),
                event_ms: (
                    number(2)?.unwrap_or(i64::MAX),
                    number(3)?.unwrap_or(i64::MIN),
                ),
                event_kinds: number(4)?.unwrap_or(0) as u32,
            })
        }

        pub(in crate::store) async fn find_samples(
            pool: &$pool,
            table: &str,
            agent_id: &str,
        ) -> Result<Option<Vec<u8>>, StoreError> {
            let sql =
                format!("select samples from {table} where tenant_id = $1 and agent_id = $2");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT).bind(agent_id);
            let row = query.fetch_optional(pool).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        }

        /// Segments of an agent that touch a time, or of all agents.
        pub(in crate::store) async fn heads(
            pool: &$pool,
            table: &str,
            agent_id: Option<&str>,
            (from_ms, to_ms): (i64, i64),
        ) -> Result<Vec<SegmentColumns>, StoreError> {
            let sql = format!(
                "select {COLUMNS} from {table} where tenant_id = $1 and ($2 is null or agent_id = $2) \
                 and last_ms >= $3 and first_ms < $4 order by agent_id"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(agent_id)
                .bind(from_ms)
                .bind(to_ms)
                .fetch_all(pool)
                .await?;
            rows.iter().map(read_head).collect()
        }

        /// Event segments that may have what a query wants.
        pub(in crate::store) async fn event_heads(
            pool: &$pool,
            table: &str,
            query: &EventQuery,
            kept_since_ms: i64,
        ) -> Result<Vec<SegmentColumns>, StoreError> {
            let by_digest = EventDigest::tells_of(query);
            let digest = if by_digest { "event_digest" } else { "null" };
            let sql = format!(
                "select {COLUMNS}, {digest} from {table} where tenant_id = $1 and event_count > 0 \
                 and ($2 is null or agent_id = $2) and ($3 = 0 or (event_kinds & $3) <> 0) \
                 and ($4 is null or last_event_ms >= $4) and ($5 is null or first_event_ms <= $5) \
                 and received_last_ms >= $6 order by agent_id"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(TENANT)
                .bind(query.agent_id.as_deref())
                .bind(i64::from(query.kinds))
                .bind(query.since_ms)
                .bind(query.until_ms)
                .bind(kept_since_ms)
                .fetch_all(pool)
                .await?;
            let mut heads = Vec::with_capacity(rows.len());
            for row in &rows {
                if !by_digest || read_digest(row, DIGEST)?.may_have(query) {
                    heads.push(read_head(row)?);
                }
            }
            Ok(heads)
        }

        /// What the events of all agents have together.
        pub(in crate::store) async fn event_digest(
            pool: &$pool,
            table: &str,
        ) -> Result<EventDigest, StoreError> {
            let sql = format!(
                "select event_digest from {table} where tenant_id = $1 and event_count > 0"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT);
            let mut all = EventDigest::default();
            for row in &query.fetch_all(pool).await? {
                all.add(&read_digest(row, 0)?);
            }
            Ok(all)
        }

        /// One that is missing, or cannot be read, rules nothing out: what is wrong with it is told when the body is read.
        fn read_digest(row: &$row, column: usize) -> Result<EventDigest, StoreError> {
            let bytes: Option<&[u8]> = row.try_get(column)?;
            let digest = bytes.and_then(|bytes| EventDigest::read(bytes).ok());
            Ok(digest.unwrap_or(EventDigest::UNKNOWN))
        }

        /// A body: `column` is `samples` or `events`.
        pub(in crate::store) async fn body(
            pool: &$pool,
            table: &str,
            column: &'static str,
            agent_id: &str,
        ) -> Result<Vec<u8>, StoreError> {
            let sql = format!("select {column} from {table} where tenant_id = $1 and agent_id = $2");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(TENANT).bind(agent_id);
            Ok(query.fetch_one(pool).await?.try_get(0)?)
        }

        fn read_head(row: &$row) -> Result<SegmentColumns, StoreError> {
            let number = |column: usize| row.try_get::<Option<i64>, _>(column);
            let place = |slice: Option<i64>, batch: Option<i64>| Some((slice? as u32, batch?));
            let first = place(number(12)?, number(13)?);
            let last = place(number(14)?, number(15)?);
            Ok(SegmentColumns {
                agent_id: row.try_get::<&str, _>(0)?.into(),
                first_ms: row.try_get(1)?,
                last_ms: row.try_get(2)?,
                received_first_ms: row.try_get(3)?,
                received_last_ms: row.try_get(4)?,
                epochs: read_epochs(row.try_get(5)?)?,
                event_count: row.try_get::<i64, _>(6)? as u32,
                event_kinds: row.try_get::<i64, _>(7)? as u32,
                first_event_ms: row.try_get(8)?,
                last_event_ms: row.try_get(9)?,
                samples_bytes: row.try_get::<i64, _>(10)? as u64,
                events_bytes: row.try_get::<i64, _>(11)? as u64,
                event_places: first.zip(last),
            })
        }
    };
}

pub(super) use segment_queries;
