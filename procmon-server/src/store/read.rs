//! Events, in both directions of the log.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::slice::Slice;
use super::{Position, Store, StoreError, TENANT, format};
use crate::batch::Event;

/// What the columns beside a body can tell about it.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub agent_id: Option<String>,
    /// Kinds wanted, as the bits of [`crate::batch::KindSet`]; 0 for all.
    pub kinds: u32,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// The events of one stored batch.
#[derive(Clone, Debug)]
pub struct StoredEvents {
    pub slice: u32,
    pub batch: i64,
    pub agent_id: Arc<str>,
    pub received_ms: i64,
    pub events: Vec<Event>,
}

const NEWEST_FIRST: &str = "select id, agent_id, received_ms, body from batch indexed by batch_event \
    where tenant_id = ?1 and event_count > 0 and id <= ?2 and (?3 is null or agent_id = ?3) \
    and (?4 = 0 or (event_kinds & ?4) <> 0) and (?5 is null or last_event_ms >= ?5) \
    and (?6 is null or first_event_ms <= ?6) order by id desc limit ?7";

const OLDEST_FIRST: &str = "select id, agent_id, received_ms, body from batch indexed by batch_event \
    where tenant_id = ?1 and event_count > 0 and id >= ?2 and (?3 is null or agent_id = ?3) \
    and (?4 = 0 or (event_kinds & ?4) <> 0) and (?5 is null or last_event_ms >= ?5) \
    and (?6 is null or first_event_ms <= ?6) order by id limit ?7";

impl Store {
    /// Batches with matching events at or before a position, newest first: at most `limit`, all of one slice, and where to
    /// go on. None when the log has no more.
    pub async fn events_before(
        &self,
        query: &EventQuery,
        before: Position,
        limit: u32,
    ) -> Result<(Vec<StoredEvents>, Option<Position>), StoreError> {
        for slice in self.slices.down_from(before.slice) {
            let last = if slice.number == before.slice {
                // Nothing of a batch is before its first event.
                before.batch - i64::from(before.index == 0)
            } else {
                i64::MAX
            };
            let found = self
                .select(NEWEST_FIRST, &slice, query, last, limit)
                .await?;
            if let Some(oldest) = found.last() {
                let next = Position::before_batch(slice.number, oldest.batch);
                return Ok((found, Some(next)));
            }
        }
        Ok((Vec::new(), None))
    }

    /// Batches with matching events at or after a position, oldest first: at most `limit`, all of one slice. The first may
    /// also have events before the position.
    pub async fn events_after(
        &self,
        query: &EventQuery,
        after: Position,
        limit: u32,
    ) -> Result<Vec<StoredEvents>, StoreError> {
        for slice in self.slices.up_from(after.slice) {
            let first = if slice.number == after.slice {
                // Of a batch that was read to its end there is nothing after.
                after.batch + i64::from(after.index == u32::MAX)
            } else {
                0
            };
            let found = self
                .select(OLDEST_FIRST, &slice, query, first, limit)
                .await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Whether the log still goes back to a position, so that reading on from it misses nothing.
    pub fn reaches(&self, position: Position) -> bool {
        if position.slice == Position::START.slice {
            return self.slices.oldest().is_none_or(|oldest| oldest == 1);
        }
        self.slices.contains(position.slice) && position <= *self.newest.borrow()
    }

    async fn select(
        &self,
        sql: &'static str,
        slice: &Slice,
        query: &EventQuery,
        edge: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvents>, StoreError> {
        let rows = sqlx::query(sql)
            .bind(TENANT)
            .bind(edge)
            .bind(query.agent_id.as_deref())
            .bind(query.kinds)
            .bind(query.since_ms)
            .bind(query.until_ms)
            .bind(limit)
            .fetch_all(&slice.readers)
            .await?;
        rows.iter()
            .map(|row| read_row(slice.number, row))
            .collect::<Result<Vec<_>, _>>()
    }
}

fn read_row(slice: u32, row: &SqliteRow) -> Result<StoredEvents, StoreError> {
    let batch = row.try_get(0)?;
    let agent_id: String = row.try_get(1)?;
    let body: &[u8] = row.try_get(3)?;
    let events = format::decode_events(body).unwrap_or_else(|error| {
        tracing::error!(slice, batch, %error, "a stored batch cannot be read; its events are left out");
        Vec::new()
    });
    Ok(StoredEvents {
        slice,
        batch,
        agent_id: agent_id.into(),
        received_ms: row.try_get(2)?,
        events,
    })
}
