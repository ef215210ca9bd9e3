//! The statements about deliveries that both engines run, written once, as in [`crate::store::queries`].

macro_rules! delivery_queries {
    ($pool:ty, $connection:ty, $row:ty) => {
        use sqlx::Row;

        use crate::store::delivery::{
            AttemptResult, AttemptRow, ChannelRow, Finished, MessageState, OutboxRow, Routed, ToldRow,
        };
        use crate::store::{StoreError, TENANT};

        const COLUMNS: &str = "number, message_id, channel_id, kind, order_key, body, created_ms, state, \
             next_attempt_ms, attempts, step, status, latency_ms, error, response, finished_ms";

        fn read_message(row: &$row) -> Result<OutboxRow, sqlx::Error> {
            Ok(OutboxRow {
                number: row.try_get(0)?,
                message_id: row.try_get(1)?,
                channel_id: row.try_get(2)?,
                kind: row.try_get(3)?,
                order_key: row.try_get(4)?,
                body: row.try_get(5)?,
                created_ms: row.try_get(6)?,
                state: MessageState::of_name(row.try_get(7)?).unwrap_or(MessageState::Dead),
                next_attempt_ms: row.try_get(8)?,
                attempts: row.try_get(9)?,
                step: row.try_get(10)?,
                result: read_result(row, 11)?,
                finished_ms: row.try_get(15)?,
            })
        }

        fn read_result(row: &$row, first: usize) -> Result<AttemptResult, sqlx::Error> {
            Ok(AttemptResult {
                status: row.try_get::<Option<i64>, _>(first)?.map(|status| status as u16),
                latency_ms: row.try_get::<Option<i64>, _>(first + 1)?.unwrap_or_default(),
                error: row.try_get(first + 2)?,
                response: row.try_get(first + 3)?,
            })
        }

        fn read_all(rows: &[$row]) -> Result<Vec<OutboxRow>, StoreError> {
            let messages: Result<_, sqlx::Error> = rows.iter().map(read_message).collect();
            Ok(messages?)
        }

        /// Whatever is there already stays as it is: a round that is repeated changes nothing.
        async fn insert(connection: &mut $connection, message: &OutboxRow) -> Result<(), sqlx::Error> {
            sqlx::query(
                "insert into outbox (tenant_id, message_id, channel_id, kind, order_key, body, created_ms, state, \
                 next_attempt_ms, attempted_ms, attempts, step, error, response) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, '', '') on conflict (tenant_id, message_id) do nothing",
            )
            .bind(TENANT)
            .bind(&message.message_id)
            .bind(&message.channel_id)
            .bind(&message.kind)
            .bind(&message.order_key)
            .bind(&message.body)
            .bind(message.created_ms)
            .bind(message.state.name())
            .bind(message.next_attempt_ms)
            .execute(connection)
            .await?;
            Ok(())
        }

        /// A part of the transaction that an evaluation is stored in.
        pub(in crate::store) async fn save_routed(
            connection: &mut $connection,
            routed: &Routed,
        ) -> Result<(), StoreError> {
            for message in &routed.messages {
                insert(connection, message).await?;
            }
            for told in &routed.told {
                sqlx::query(
                    "insert into told (tenant_id, channel_id, fingerprint, fired_ms, told_ms, times) \
                     values ($1, $2, $3, $4, $5, $6) on conflict (tenant_id, channel_id, fingerprint) do update set \
                     fired_ms = excluded.fired_ms, told_ms = excluded.told_ms, times = excluded.times",
                )
                .bind(TENANT)
                .bind(&told.channel_id)
                .bind(&told.fingerprint)
                .bind(told.fired_ms)
                .bind(told.told_ms)
                .bind(told.times)
                .execute(&mut *connection)
                .await?;
            }
            for (channel_id, fingerprint) in &routed.forgotten {
                sqlx::query("delete from told where tenant_id = $1 and channel_id = $2 and fingerprint = $3")
                    .bind(TENANT)
                    .bind(channel_id)
                    .bind(fingerprint)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        }

        pub(in crate::store) async fn route(connection: &mut $connection, routed: &Routed) -> Result<(), StoreError> {
            save_routed(connection, routed).await
        }

        pub(in crate::store) async fn told(pool: &$pool) -> Result<Vec<ToldRow>, StoreError> {
            let rows = sqlx::query(
                "select channel_id, fingerprint, fired_ms, told_ms, times from told where tenant_id = $1 \
                 order by channel_id, fingerprint",
            )
            .bind(TENANT)
            .fetch_all(pool)
            .await?;
            let read = |row: &$row| {
                Ok(ToldRow {
                    channel_id: row.try_get(0)?,
                    fingerprint: row.try_get(1)?,
                    fired_ms: row.try_get(2)?,
                    told_ms: row.try_get(3)?,
                    times: row.try_get(4)?,
                })
            };
            rows.iter().map(read).collect()
        }

        /// Messages that are due, none of which has to wait for another: the first of each order key of which any is due. One that
        /// failed is tried before its time when another is behind it, unless that was after `patience_ms`.
        pub(in crate::store) async fn due(
            connection: &mut $connection,
            channel_id: &str,
            now_ms: i64,
            patience_ms: i64,
            limit: i64,
        ) -> Result<Vec<OutboxRow>, StoreError> {
            let statement = format!(
                "select {COLUMNS} from outbox where number in (\
                 select min(number) from outbox where tenant_id = $1 and channel_id = $2 and state = 'pending' \
                 and order_key in (select order_key from outbox where tenant_id = $1 and channel_id = $2 \
                 and state = 'pending' and next_attempt_ms <= $3 group by order_key \
                 order by min(next_attempt_ms), min(number) limit $4) group by order_key) \
                 and (next_attempt_ms <= $3 or attempted_ms <= $5) order by number"
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(TENANT)
                .bind(channel_id)
                .bind(now_ms)
                .bind(limit)
                .bind(patience_ms)
                .fetch_all(&mut *connection)
                .await?;
            read_all(&rows)
        }

        /// When the next one is due, if any waits.
        pub(in crate::store) async fn next_due(
            pool: &$pool,
            channel_id: &str,
        ) -> Result<Option<i64>, StoreError> {
            let row = sqlx::query(
                "select (select min(next_attempt_ms) from outbox where tenant_id = $1 and channel_id = $2 \
                 and state = 'pending'), (select min(next_attempt_ms) from outbox where tenant_id = $1 \
                 and channel_id = $2 and state = 'grouping')",
            )
            .bind(TENANT)
            .bind(channel_id)
            .fetch_one(pool)
            .await?;
            let (pending, grouping): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            Ok(pending.into_iter().chain(grouping).min())
        }

        /// The members of a group whose time has come, oldest first.
        pub(in crate::store) async fn due_group(
            pool: &$pool,
            channel_id: &str,
            now_ms: i64,
            limit: i64,
        ) -> Result<Vec<OutboxRow>, StoreError> {
            let statement = format!(
                "select {COLUMNS} from outbox where tenant_id = $1 and channel_id = $2 and state = 'grouping' \
                 and order_key = (select order_key from outbox where tenant_id = $1 and channel_id = $2 \
                 and state = 'grouping' and next_attempt_ms <= $3 order by next_attempt_ms, number limit 1) \
                 order by number limit $4"
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(TENANT)
                .bind(channel_id)
                .bind(now_ms)
                .bind(limit)
                .fetch_all(pool)
                .await?;
            read_all(&rows)
        }

        /// One message in the place of those of a group.
        pub(in crate::store) async fn join_group(
            connection: &mut $connection,
            members: &[OutboxRow],
            message: &OutboxRow,
        ) -> Result<(), StoreError> {
            insert(connection, message).await?;
            for member in members {
                sqlx::query("delete from outbox where tenant_id = $1 and number = $2 and state = 'grouping'")
                    .bind(TENANT)
                    .bind(member.number)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        }

        /// Writes down an attempt and what becomes of its message, unless that has been decided meanwhile.
        pub(in crate::store) async fn finish(connection: &mut $connection, finished: &Finished) -> Result<(), StoreError> {
            let Finished { attempt, state, next_attempt_ms, step } = finished;
            let result = &attempt.result;
            let status = result.status.map(i64::from);
            let ended = matches!(state, MessageState::Delivered | MessageState::Dead);
            sqlx::query(
                "insert into delivery_attempt (tenant_id, message_id, attempt, at_ms, status, latency_ms, error, \
                 response) values ($1, $2, $3, $4, $5, $6, $7, $8) \
                 on conflict (tenant_id, message_id, attempt) do nothing",
            )
            .bind(TENANT)
            .bind(&attempt.message_id)
            .bind(attempt.attempt)
            .bind(attempt.at_ms)
            .bind(status)
            .bind(result.latency_ms)
            .bind(&result.error)
            .bind(&result.response)
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "update outbox set state = $3, next_attempt_ms = $4, attempts = $5, step = $6, status = $7, \
                 latency_ms = $8, error = $9, response = $10, finished_ms = $11, attempted_ms = $12 \
                 where tenant_id = $1 and message_id = $2 and state = 'pending'",
            )
            .bind(TENANT)
            .bind(&attempt.message_id)
            .bind(state.name())
            .bind(next_attempt_ms)
            .bind(attempt.attempt)
            .bind(step)
            .bind(status)
            .bind(result.latency_ms)
            .bind(&result.error)
            .bind(&result.response)
            .bind(ended.then_some(attempt.at_ms))
            .bind(attempt.at_ms)
            .execute(&mut *connection)
            .await?;
            // Those behind one that failed wait as long: the next that comes has it tried again. When it is over, so is their wait.
            let (at_ms, behind) = if ended {
                (attempt.at_ms, "attempts = 0 and next_attempt_ms > $3")
            } else {
                (*next_attempt_ms, "next_attempt_ms < $3")
            };
            let statement = format!(
                "update outbox set next_attempt_ms = $3 where tenant_id = $1 and state = 'pending' and {behind} \
                 and (channel_id, order_key) = \
                 (select channel_id, order_key from outbox where tenant_id = $1 and message_id = $2)"
            );
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(TENANT)
                .bind(&attempt.message_id)
                .bind(at_ms)
                .execute(&mut *connection)
                .await?;
            Ok(())
        }

        /// What found nobody is tried again when somebody is there.
        pub(in crate::store) async fn hasten_unanswered(
            connection: &mut $connection,
            channel_id: &str,
            now_ms: i64,
        ) -> Result<u64, StoreError> {
            let done = sqlx::query(
                "update outbox set next_attempt_ms = $3 where tenant_id = $1 and channel_id = $2 \
                 and state = 'pending' and attempts > 0 and status is null and next_attempt_ms > $3",
            )
            .bind(TENANT)
            .bind(channel_id)
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
            Ok(done.rows_affected())
        }
    };
}

pub(in crate::store) use delivery_queries;
