//! A part of the store that is dropped whole: a slice of the log, segments, or their samples. A file in SQLite, a partition
//! in PostgreSQL.

use std::sync::Arc;

use super::catalog::Extent;
use super::log::{Head, LogBatch};
use super::read::{EventPage, EventQuery, EventRow};
use super::segment::EventDigest;
use super::segment_row::SegmentColumns;
use super::{StoreError, postgres, sqlite};

#[derive(Debug)]
pub(super) enum Part {
    Sqlite(sqlite::File),
    Postgres(postgres::Table),
}

const BATCH: &str = "batch";
const SEGMENT: &str = "segment";
const SAMPLES: &str = "segment_samples";

/// The same statement on the engine that has the part.
macro_rules! ask {
    ($part:expr, $table:ident, $module:ident::$function:ident($($argument:expr),*)) => {
        match $part {
            Part::Sqlite(file) => {
                sqlite::$module::$function(&file.readers, file.table($table), $($argument),*).await
            }
            Part::Postgres(table) => {
                postgres::$module::$function(&table.pool, &table.name, $($argument),*).await
            }
        }
    };
}

/// Of a slice of the log.
impl Part {
    pub(super) async fn newest(&self) -> Result<Option<(i64, i64)>, StoreError> {
        ask!(self, BATCH, queries::newest())
    }

    pub(super) async fn events(
        &self,
        query: &EventQuery,
        page: EventPage,
    ) -> Result<Vec<EventRow>, StoreError> {
        ask!(self, BATCH, queries::events(query, page))
    }

    pub(super) async fn heads(&self, agent_id: &str, limit: u32) -> Result<Vec<Head>, StoreError> {
        ask!(self, BATCH, queries::heads(agent_id, limit))
    }

    pub(super) async fn batch_body(&self, id: i64) -> Result<Vec<u8>, StoreError> {
        ask!(self, BATCH, queries::body(id))
    }

    pub(super) async fn watermark(
        &self,
        agent_id: &str,
        epoch: u64,
    ) -> Result<Option<u64>, StoreError> {
        ask!(self, BATCH, queries::watermark(agent_id, epoch))
    }

    pub(super) async fn row_of(&self, key: (&str, u64, u64)) -> Result<Option<i64>, StoreError> {
        ask!(self, BATCH, queries::row_of(key))
    }

    pub(super) async fn agents(&self) -> Result<Vec<Arc<str>>, StoreError> {
        ask!(self, BATCH, queries::agents())
    }

    pub(super) async fn span_before(
        &self,
        agent_id: &str,
        received_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        ask!(self, BATCH, queries::span_before(agent_id, received_ms))
    }

    pub(super) async fn batches(
        &self,
        agent_id: &str,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<LogBatch>, StoreError> {
        ask!(self, BATCH, queries::batches(agent_id, after_id, limit))
    }
}

/// Of segments.
impl Part {
    pub(super) async fn segment_heads(
        &self,
        agent_id: Option<&str>,
        range_ms: (i64, i64),
    ) -> Result<Vec<SegmentColumns>, StoreError> {
        ask!(self, SEGMENT, segment_queries::heads(agent_id, range_ms))
    }

    pub(super) async fn segment_extent(&self) -> Result<Extent, StoreError> {
        ask!(self, SEGMENT, segment_queries::extent())
    }

    /// The samples of an agent, if there are any.
    pub(super) async fn find_samples(&self, agent_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        ask!(self, SAMPLES, segment_queries::find_samples(agent_id))
    }

    pub(super) async fn event_heads(
        &self,
        query: &EventQuery,
        kept_since_ms: i64,
    ) -> Result<Vec<SegmentColumns>, StoreError> {
        ask!(
            self,
            SEGMENT,
            segment_queries::event_heads(query, kept_since_ms)
        )
    }

    pub(super) async fn event_digest(&self) -> Result<EventDigest, StoreError> {
        ask!(self, SEGMENT, segment_queries::event_digest())
    }

    pub(super) async fn segment_events(&self, agent_id: &str) -> Result<Vec<u8>, StoreError> {
        ask!(self, SEGMENT, segment_queries::body("events", agent_id))
    }

    pub(super) async fn segment_samples(&self, agent_id: &str) -> Result<Vec<u8>, StoreError> {
        ask!(self, SAMPLES, segment_queries::body("samples", agent_id))
    }
}

/// Of any part.
impl Part {
    /// What it takes on the disk.
    pub(super) async fn bytes(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(file) => Ok(file.bytes()),
            Self::Postgres(table) => table.bytes().await,
        }
    }

    /// Removes it. Nobody may be reading.
    pub(super) async fn remove(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(file) => file.remove().await,
            Self::Postgres(table) => table.remove().await,
        }
    }

    /// The table, where it is one in a database.
    pub(super) fn table_name(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(table) => Some(&table.name),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(file) => file.readers.close().await,
            Self::Postgres(_) => {}
        }
    }

    /// Moves what is committed to its place, where that is worth it and the engine does not do it by itself; whether it was.
    pub(super) async fn checkpoint(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(file) if file.log_is_long() => {
                file.checkpoint().await?;
                Ok(true)
            }
            Self::Sqlite(_) | Self::Postgres(_) => Ok(false),
        }
    }
}
