//! The log as compaction and history read it: slice by slice, agent by agent.

use std::sync::Arc;

use super::catalog::{Catalog, Segments};
use super::segment_row::SegmentHead;
use super::{Store, StoreError};

/// A batch as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    /// Its row: with the slice, and an index into its events, the position of an event.
    pub id: i64,
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
    /// Begins a span of handles.
    pub key: bool,
    /// The span goes on with the next batch.
    pub more: bool,
    pub body: Vec<u8>,
}

/// A batch without its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) received_ms: i64,
    pub(super) key: bool,
    pub(super) more: bool,
}

/// The store as it is at one moment. What it shows is in the log or in segments, never in both, and stays readable for as
/// long as this is held.
#[derive(Clone, Debug)]
pub struct View {
    catalog: Arc<Catalog>,
}

impl View {
    /// The slices that are not compacted, oldest first; the last one is still written.
    pub fn slices(&self) -> Vec<u32> {
        self.catalog.slices.keys().copied().collect()
    }

    /// The agents with batches in a slice.
    pub async fn slice_agents(&self, slice: u32) -> Result<Vec<Arc<str>>, StoreError> {
        self.catalog.slice(slice)?.agents().await
    }

    /// An agent's batches in a slice after a row, in order of arrival.
    pub async fn slice_batches(
        &self,
        slice: u32,
        agent_id: &str,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<LogBatch>, StoreError> {
        let part = self.catalog.slice(slice)?;
        part.batches(agent_id, after_id, limit).await
    }

    /// Where the agent's newest span of handles begins that was received by then: slice and row.
    pub async fn span_before(
        &self,
        agent_id: &str,
        received_ms: i64,
    ) -> Result<Option<(u32, i64)>, StoreError> {
        // Where the clock was set back meanwhile there may be one all the same: then more is read than needed.
        if self
            .compacted_until_ms()
            .is_some_and(|until_ms| received_ms < until_ms)
        {
            return Ok(None);
        }
        for (number, part) in self.catalog.slices.iter().rev() {
            if let Some(id) = part.span_before(agent_id, received_ms).await? {
                return Ok(Some((*number, id)));
            }
        }
        Ok(None)
    }

    /// An agent's segments that touch `from_ms..to_ms` by host time, oldest first, without bodies.
    pub async fn segments(
        &self,
        agent_id: &str,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<SegmentHead>, StoreError> {
        let mut found = Vec::new();
        let range_ms = (from_ms, to_ms);
        for file in self.catalog.segments.values() {
            if !file.extent().await?.touches(range_ms) {
                continue;
            }
            let columns = file.events.segment_heads(Some(agent_id), range_ms).await?;
            found.extend(columns.into_iter().map(|columns| columns.into_head(file)));
        }
        Ok(found)
    }

    /// The segments that may have something of `from_ms..to_ms` by host time, of any agent, oldest first.
    pub(super) async fn files_touching(
        &self,
        range_ms: (i64, i64),
    ) -> Result<Vec<Arc<Segments>>, StoreError> {
        let mut found = Vec::new();
        for file in self.catalog.segments.values() {
            if file.extent().await?.touches(range_ms) {
                found.push(Arc::clone(file));
            }
        }
        Ok(found)
    }

    /// When the newest batch was received that is no longer in the log.
    pub(super) fn compacted_until_ms(&self) -> Option<i64> {
        let files = self.catalog.segments.values();
        files.map(|file| file.received_last_ms()).max()
    }

    /// The segments of all agents of one level between two slices, oldest first, by agent: what compaction merges.
    pub async fn segments_between(
        &self,
        level: u8,
        first_slice: u32,
        last_slice: u32,
    ) -> Result<Vec<SegmentHead>, StoreError> {
        let mut found = Vec::new();
        for (_, file) in self.catalog.segments.range(first_slice..=last_slice) {
            if file.level != level || file.last_slice > last_slice {
                continue;
            }
            let columns = file
                .events
                .segment_heads(None, (i64::MIN, i64::MAX))
                .await?;
            found.extend(columns.into_iter().map(|columns| columns.into_head(file)));
        }
        Ok(found)
    }

    /// The segments there are of a level, oldest first: first and last slice, and when the last of it was received.
    pub fn segment_files(&self, level: u8) -> Vec<(u32, u32, i64)> {
        let files = self.catalog.segments.values();
        files
            .filter(|file| file.level == level)
            .map(|file| (file.first_slice, file.last_slice, file.received_last_ms()))
            .collect()
    }
}

impl Store {
    pub fn view(&self) -> View {
        View {
            catalog: self.shelf.view(),
        }
    }

    /// Slices that are complete and not compacted, oldest first.
    pub fn closed_slices(&self) -> Vec<u32> {
        self.shelf.view().closed_slices()
    }

    /// See [`View::slice_agents`].
    pub async fn slice_agents(&self, slice: u32) -> Result<Vec<Arc<str>>, StoreError> {
        self.view().slice_agents(slice).await
    }

    /// See [`View::slice_batches`].
    pub async fn slice_batches(
        &self,
        slice: u32,
        agent_id: &str,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<LogBatch>, StoreError> {
        let view = self.view();
        view.slice_batches(slice, agent_id, after_id, limit).await
    }

    /// See [`View::segments`].
    pub async fn segments(
        &self,
        agent_id: &str,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<SegmentHead>, StoreError> {
        self.view().segments(agent_id, from_ms, to_ms).await
    }

    /// Empty when there are none, or when they are no longer kept.
    pub async fn segment_samples(&self, head: &SegmentHead) -> Result<Vec<u8>, StoreError> {
        match &head.file.samples {
            Some(part) if head.samples_bytes > 0 => part.segment_samples(&head.agent_id).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Empty when there are none.
    pub async fn segment_events(&self, head: &SegmentHead) -> Result<Vec<u8>, StoreError> {
        if head.events_bytes == 0 {
            return Ok(Vec::new());
        }
        head.file.events.segment_events(&head.agent_id).await
    }
}
