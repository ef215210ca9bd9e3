//! What the writer does to the newest slice.

use std::sync::LazyLock;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, Row};

use super::file::CHECKPOINT;
use crate::store::append::Append;
use crate::store::{StoreError, TENANT};

/// Batches in one statement. Each statement is a way to the thread of the connection and back, which costs more than the batch
/// itself. Groups are seldom larger; those that are take several statements.
const MOST_ROWS: usize = 64;

const HEAD: &str = "insert into batch (id, tenant_id, agent_id, epoch, seq, received_ms, span, event_count, event_kinds, \
                    first_event_ms, last_event_ms, body) values ";
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const TAIL: &str = " on conflict (tenant_id, agent_id, epoch, seq) do nothing";

/// Writes one slice, and is the only one that does.
#[derive(Debug)]
pub(in crate::store) struct SliceWriter {
    connection: SqliteConnection,
    next_id: i64,
}

impl SliceWriter {
    pub(super) async fn open(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        let row = sqlx::query("select coalesce(max(id), 0) + 1 from batch")
            .fetch_one(&mut connection)
            .await?;
        Ok(Self {
            next_id: row.try_get(0)?,
            connection,
        })
    }

    pub(in crate::store) async fn checkpoint(&mut self) -> Result<(), StoreError> {
        sqlx::query(CHECKPOINT)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Stores batches in one transaction; returns their rows. A batch that is already there keeps its own.
    pub(in crate::store) async fn insert(
        &mut self,
        group: &[&Append],
    ) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<i64> = (self.next_id..).take(group.len()).collect();
        let written = if group.len() == statement_rows(group.len()) {
            // A statement alone is a transaction.
            self.insert_rows(&ids, group).await?
        } else {
            self.insert_in_steps(&ids, group).await?
        };
        self.next_id += group.len() as i64;
        if written == group.len() as u64 {
            return Ok(ids);
        }
        let mut found = Vec::with_capacity(group.len());
        for append in group {
            found.push(self.row_of(append).await?);
        }
        Ok(found)
    }

    async fn insert_in_steps(&mut self, ids: &[i64], group: &[&Append]) -> Result<u64, StoreError> {
        sqlx::query("begin immediate")
            .execute(&mut self.connection)
            .await?;
        let (mut ids, mut rest, mut written) = (ids, group, 0);
        while !rest.is_empty() {
            let rows = statement_rows(rest.len());
            written += self.insert_rows(&ids[..rows], &rest[..rows]).await?;
            (ids, rest) = (&ids[rows..], &rest[rows..]);
        }
        sqlx::query("commit").execute(&mut self.connection).await?;
        Ok(written)
    }

    /// By one statement; returns how many were not there yet.
    async fn insert_rows(&mut self, ids: &[i64], rows: &[&Append]) -> Result<u64, StoreError> {
        let mut arguments = SqliteArguments::default();
        for (id, append) in ids.iter().zip(rows) {
            bind(&mut arguments, *id, append)
                .map_err(|error| StoreError::Failed(error.to_string()))?;
        }
        let done = sqlx::query_with(statement(rows.len()), arguments)
            .execute(&mut self.connection)
            .await?;
        Ok(done.rows_affected())
    }

    async fn row_of(&mut self, append: &Append) -> Result<i64, StoreError> {
        let row = sqlx::query(
            "select id from batch where tenant_id = $1 and agent_id = $2 and epoch = $3 and seq = $4",
        )
        .bind(TENANT)
        .bind(&*append.agent_id)
        .bind(append.epoch as i64)
        .bind(append.seq as i64)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Writes something, to find out whether that is possible.
    pub(in crate::store) async fn probe(&mut self, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query("update slice_state set probed_ms = $1 where id = 1")
            .bind(now_ms)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn close(self) -> Result<(), StoreError> {
        Ok(sqlx::Connection::close(self.connection).await?)
    }
}

fn bind(
    arguments: &mut SqliteArguments,
    id: i64,
    append: &Append,
) -> Result<(), sqlx::error::BoxDynError> {
    let range = append.event_range_ms;
    arguments.add(id)?;
    arguments.add(TENANT)?;
    arguments.add(&*append.agent_id)?;
    arguments.add(append.epoch as i64)?;
    arguments.add(append.seq as i64)?;
    arguments.add(append.received_ms)?;
    arguments.add(append.span())?;
    arguments.add(append.event_count)?;
    arguments.add(append.event_kinds)?;
    arguments.add(range.map(|range| range.0))?;
    arguments.add(range.map(|range| range.1))?;
    arguments.add(&*append.body)
}

/// How many of so many rows go into the next statement.
fn statement_rows(rows: usize) -> usize {
    rows.min(MOST_ROWS)
}

/// The text for so many rows. There are fewer than the connection keeps prepared.
fn statement(rows: usize) -> &'static str {
    static STATEMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
        (0..=MOST_ROWS)
            .map(|rows| format!("{HEAD}{}{TAIL}", vec![ROW; rows].join(", ")))
            .collect()
    });
    &STATEMENTS[rows]
}

#[cfg(test)]
mod tests {
    use super::{MOST_ROWS, statement, statement_rows};

    #[test]
    fn every_group_is_written_by_few_statements_of_few_sizes() {
        let mut sizes = std::collections::BTreeSet::new();
        for group in 1..=256 {
            let (mut rest, mut statements) = (group, 0);
            while rest > 0 {
                let rows = statement_rows(rest);
                assert!(rows > 0 && rows <= rest);
                assert_eq!(statement(rows).matches("(?").count(), rows);
                sizes.insert(rows);
                rest -= rows;
                statements += 1;
            }
            assert!(statements <= group / MOST_ROWS + 1, "{group}: {statements}");
        }
        // What sqlx keeps of a connection.
        assert!(sizes.len() < 100, "{sizes:?}");
    }
}
