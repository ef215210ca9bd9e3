//! The statements about channels, about what is listed of their deliveries, and about what goes at the end.

macro_rules! channel_queries {
    ($pool:ty, $connection:ty, $row:ty) => {
        pub(in crate::store) async fn channels(pool: &$pool) -> Result<Vec<ChannelRow>, StoreError> {
            let rows = sqlx::query(
                "select channel_id, name, kind, enabled, disabled_reason, settings, sealed, event_cursor, created_ms, \
                 updated_ms from channel where tenant_id = $1 order by name, channel_id",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(ChannelRow {
                    channel_id: row.try_get(0)?,
                    name: row.try_get(1)?,
                    kind: row.try_get(2)?,
                    enabled: row.try_get(3)?,
                    disabled_reason: row.try_get(4)?,
                    settings: row.try_get(5)?,
                    sealed: row.try_get(6)?,
                    event_cursor: row.try_get(7)?,
                    created_ms: row.try_get(8)?,
                    updated_ms: row.try_get(9)?,
                })
            };
            rows.iter().map(read).collect()
        }

        pub(in crate::store) async fn save_channel(
            connection: &mut $connection,
            channel: &ChannelRow,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "insert into channel (tenant_id, channel_id, name, kind, enabled, disabled_reason, settings, sealed, \
                 event_cursor, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 on conflict (tenant_id, channel_id) do update set name = excluded.name, kind = excluded.kind, \
                 enabled = excluded.enabled, disabled_reason = excluded.disabled_reason, \
                 settings = excluded.settings, sealed = excluded.sealed, event_cursor = excluded.event_cursor, \
                 updated_ms = excluded.updated_ms",
            )
            .bind(TENANT)
            .bind(&channel.channel_id)
            .bind(&channel.name)
            .bind(&channel.kind)
            .bind(channel.enabled)
            .bind(&channel.disabled_reason)
            .bind(&channel.settings)
            .bind(&channel.sealed)
            .bind(&channel.event_cursor)
            .bind(channel.created_ms)
            .bind(channel.updated_ms)
            .execute(&mut *connection)
            .await?;
            Ok(())
        }

        /// With everything it was told, and is to be told.
        pub(in crate::store) async fn delete_channel(
            connection: &mut $connection,
            channel_id: &str,
        ) -> Result<bool, StoreError> {
            let deleted = sqlx::query("delete from channel where tenant_id = $1 and channel_id = $2")
                .bind(TENANT)
                .bind(channel_id)
                .execute(&mut *connection)
                .await?
                .rows_affected();
            for statement in [
                "delete from delivery_attempt where tenant_id = $1 and message_id in \
                 (select message_id from outbox where tenant_id = $1 and channel_id = $2)",
                "delete from outbox where tenant_id = $1 and channel_id = $2",
                "delete from told where tenant_id = $1 and channel_id = $2",
            ] {
                sqlx::query(statement)
                    .bind(TENANT)
                    .bind(channel_id)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(deleted > 0)
        }

        /// Disables a channel; an empty reason is an operator's. What waits for it is given up.
        pub(in crate::store) async fn disable_channel(
            connection: &mut $connection,
            channel_id: &str,
            reason: &str,
            now_ms: i64,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "update channel set enabled = $3, disabled_reason = $4, updated_ms = $5 \
                 where tenant_id = $1 and channel_id = $2",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind(false)
            .bind(reason)
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "update outbox set state = 'dead', error = $3, finished_ms = $4 where tenant_id = $1 \
                 and channel_id = $2 and state in ('pending', 'grouping')",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind("the channel was disabled before it was sent")
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
            // When it is enabled again it is told anew of what still fires.
            sqlx::query("delete from told where tenant_id = $1 and channel_id = $2")
                .bind(TENANT)
                .bind(channel_id)
                .execute(&mut *connection)
                .await?;
            Ok(())
        }

        /// Messages of events, and how far the log was read for them, together.
        pub(in crate::store) async fn advance_events(
            connection: &mut $connection,
            channel_id: &str,
            cursor: &str,
            messages: &[OutboxRow],
        ) -> Result<(), StoreError> {
            sqlx::query("update channel set event_cursor = $3 where tenant_id = $1 and channel_id = $2")
                .bind(TENANT)
                .bind(channel_id)
                .bind(cursor)
                .execute(&mut *connection)
                .await?;
            for message in messages {
                insert(connection, message).await?;
            }
            Ok(())
        }

        /// Newest first; everything before a number.
        pub(in crate::store) async fn deliveries(
            pool: &$pool,
            channel_id: &str,
            state: Option<MessageState>,
            before: i64,
            limit: i64,
        ) -> Result<Vec<OutboxRow>, StoreError> {
            let statement = format!(
                "select {COLUMNS} from outbox where tenant_id = $1 and channel_id = $2 and number < $3 \
                 and ($4 = '' or state = $4) order by number desc limit $5"
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(TENANT)
                .bind(channel_id)
                .bind(before)
                .bind(state.map_or("", MessageState::name))
                .bind(limit)
                .fetch_all(pool)
                .await?;
            read_all(&rows)
        }

        pub(in crate::store) async fn delivery(
            pool: &$pool,
            channel_id: &str,
            message_id: &str,
        ) -> Result<Option<OutboxRow>, StoreError> {
            let statement = format!(
                "select {COLUMNS} from outbox where tenant_id = $1 and channel_id = $2 and message_id = $3"
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(TENANT)
                .bind(channel_id)
                .bind(message_id)
                .fetch_optional(pool)
                .await?;
            Ok(row.as_ref().map(read_message).transpose()?)
        }

        pub(in crate::store) async fn attempts(
            pool: &$pool,
            message_id: &str,
        ) -> Result<Vec<AttemptRow>, StoreError> {
            let rows = sqlx::query(
                "select attempt, at_ms, status, latency_ms, error, response from delivery_attempt \
                 where tenant_id = $1 and message_id = $2 order by attempt",
            )
            .bind(TENANT)
            .bind(message_id)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(AttemptRow {
                    message_id: message_id.to_owned(),
                    attempt: row.try_get(0)?,
                    at_ms: row.try_get(1)?,
                    result: read_result(row, 2)?,
                })
            };
            rows.iter().map(read).collect()
        }

        /// From the beginning of the schedule; false when it waits already, or is not there.
        pub(in crate::store) async fn replay(
            connection: &mut $connection,
            channel_id: &str,
            message_id: &str,
            now_ms: i64,
        ) -> Result<bool, StoreError> {
            let done = sqlx::query(
                "update outbox set state = 'pending', next_attempt_ms = $4, step = 0, finished_ms = null \
                 where tenant_id = $1 and channel_id = $2 and message_id = $3 and state in ('delivered', 'dead')",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind(message_id)
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
            Ok(done.rows_affected() > 0)
        }

        /// Drops what was decided for a channel while it was removed.
        pub(in crate::store) async fn drop_orphans(connection: &mut $connection) -> Result<(), StoreError> {
            for statement in [
                "delete from outbox where tenant_id = $1 and channel_id not in \
                 (select channel_id from channel where tenant_id = $1)",
                "delete from told where tenant_id = $1 and channel_id not in \
                 (select channel_id from channel where tenant_id = $1)",
            ] {
                sqlx::query(statement).bind(TENANT).execute(&mut *connection).await?;
            }
            Ok(())
        }

        /// How many messages wait, by channel.
        pub(in crate::store) async fn waiting(pool: &$pool) -> Result<Vec<(String, i64)>, StoreError> {
            let rows = sqlx::query(
                "select channel_id, count(*) from outbox where tenant_id = $1 and state in ('pending', 'grouping') \
                 group by channel_id order by channel_id",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(read).collect()
        }

        /// Makes due what is to wait longer than anything may.
        pub(in crate::store) async fn bring_back(
            connection: &mut $connection,
            channel_id: &str,
            now_ms: i64,
            longest_ms: i64,
        ) -> Result<(), StoreError> {
            sqlx::query(
                "update outbox set next_attempt_ms = $3 where tenant_id = $1 and channel_id = $2 \
                 and state in ('pending', 'grouping') and next_attempt_ms > $4",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind(now_ms)
            .bind(now_ms.saturating_add(longest_ms))
            .execute(&mut *connection)
            .await?;
            Ok(())
        }

        /// Gives up the oldest of what waits beyond a number; how many.
        pub(in crate::store) async fn give_up_oldest(
            connection: &mut $connection,
            channel_id: &str,
            kept: i64,
            now_ms: i64,
        ) -> Result<u64, StoreError> {
            let done = sqlx::query(
                "update outbox set state = 'dead', error = $4, finished_ms = $5 where tenant_id = $1 \
                 and channel_id = $2 and state in ('pending', 'grouping') and number <= (select number from outbox \
                 where tenant_id = $1 and channel_id = $2 and state in ('pending', 'grouping') \
                 order by number desc limit 1 offset $3)",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind(kept)
            .bind("too many messages waited for this channel")
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
            Ok(done.rows_affected())
        }

        /// Drops what was finished before a time, and the oldest of what is finished beyond a number.
        pub(in crate::store) async fn drop_finished(
            connection: &mut $connection,
            channel_id: &str,
            before_ms: i64,
            kept: i64,
        ) -> Result<(), StoreError> {
            const OLD: &str = "tenant_id = $1 and channel_id = $2 and state in ('delivered', 'dead') \
                 and (finished_ms < $3 or number <= (select number from outbox where tenant_id = $1 \
                 and channel_id = $2 and state in ('delivered', 'dead') order by number desc limit 1 offset $4))";
            for statement in [
                format!("delete from delivery_attempt where tenant_id = $1 and message_id in (select message_id from outbox where {OLD})"),
                format!("delete from outbox where {OLD}"),
            ] {
                sqlx::query(sqlx::AssertSqlSafe(statement))
                    .bind(TENANT)
                    .bind(channel_id)
                    .bind(before_ms)
                    .bind(kept)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        }
    };
}

pub(in crate::store) use channel_queries;
