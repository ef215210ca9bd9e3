//! Segments that are being written: beside the log, visible at once when they are published.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::agents::AgentEpoch;
use super::catalog::{Catalog, Segments, SliceEnd};
use super::engine::{Engine, table_names};
use super::part::Part;
use super::segment::EventDigest;
use super::segment_row::SegmentRow;
use super::{Store, StoreError, postgres, sqlite};

/// Segments of a stretch of the log that nobody sees yet. When it is dropped instead of published, nothing has happened.
#[derive(Debug)]
pub struct SegmentFile {
    store: Store,
    name: SegmentName,
    writing: Option<Writing>,
    epochs: Vec<AgentEpoch>,
}

/// Which segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) level: u8,
    pub(super) first_slice: u32,
    pub(super) last_slice: u32,
}

#[derive(Debug)]
enum Writing {
    Sqlite(sqlite::SegmentWriter),
    Postgres(postgres::SegmentWriter),
}

impl Store {
    /// Begins segments for what is in the slices from the first to the last: of the log for level 1, of lower segments above.
    pub fn begin_segments(&self, level: u8, first_slice: u32, last_slice: u32) -> SegmentFile {
        SegmentFile {
            store: self.clone(),
            name: SegmentName {
                level,
                first_slice,
                last_slice,
            },
            writing: None,
            epochs: Vec::new(),
        }
    }
}

/// What the row says of its events; nothing where there are none, or where they cannot be read.
async fn with_digest(row: SegmentRow) -> Result<(SegmentRow, Option<Vec<u8>>), StoreError> {
    if row.events.is_empty() {
        return Ok((row, None));
    }
    let made = tokio::task::spawn_blocking(move || {
        let digest = EventDigest::of_segment(&row.events);
        (row, digest.ok().map(|digest| digest.write()))
    });
    made.await
        .map_err(|error| StoreError::Failed(error.to_string()))
}

impl SegmentFile {
    /// Adds an agent's row. There is one row per agent.
    pub async fn put(&mut self, row: SegmentRow) -> Result<(), StoreError> {
        let epochs = row.epochs.iter();
        self.epochs.extend(epochs.map(|(epoch, seq)| AgentEpoch {
            agent_id: Arc::clone(&row.agent_id),
            epoch: *epoch,
            last_seq: *seq,
            received_ms: row.received_last_ms,
        }));
        let (row, event_digest) = with_digest(row).await?;
        match self.writing().await? {
            Writing::Sqlite(writer) => writer.put(&row, event_digest).await,
            Writing::Postgres(writer) => writer.put(&row, event_digest).await,
        }
    }

    async fn writing(&mut self) -> Result<&mut Writing, StoreError> {
        if self.writing.is_none() {
            self.writing = Some(match &*self.store.engine {
                Engine::Sqlite(engine) => Writing::Sqlite(engine.begin_segments(self.name).await?),
                Engine::Postgres(engine) => {
                    Writing::Postgres(engine.begin_segments(self.name).await?)
                }
            });
        }
        self.writing.as_mut().ok_or(StoreError::Closed)
    }

    /// Makes the segments visible and durable, and in the same moment takes away what they replace. Readers under way
    /// finish with what they began.
    pub async fn publish(mut self) -> Result<(), StoreError> {
        self.writing().await?;
        let store = self.store.clone();
        let _order = store.publishing.lock().await;
        let started = Instant::now();
        let ends = ends(&store.shelf.view(), self.name).await?;
        let (events, samples) = self.make_durable(&ends).await?;
        let name = self.name;
        let replaced = store.shelf.change(|catalog| {
            let replaced = take_replaced(catalog, name);
            let file = Segments {
                level: name.level,
                first_slice: name.first_slice,
                last_slice: name.last_slice,
                ends,
                events: Arc::new(events),
                samples: Some(Arc::new(samples)),
                extent: Arc::default(),
                event_digest: Arc::default(),
            };
            catalog.segments.insert(name.first_slice, Arc::new(file));
            replaced
        });
        store.shelf.doom(replaced);
        store.shelf.sweep().await;
        let nanos = started.elapsed().as_nanos() as u64;
        store.stats.published.fetch_add(1, Ordering::Relaxed);
        store
            .stats
            .publish_nanos
            .fetch_add(nanos, Ordering::Relaxed);
        Ok(())
    }

    /// From here on a restart finds the segments, and not what they replace.
    async fn make_durable(&mut self, ends: &[SliceEnd]) -> Result<(Part, Part), StoreError> {
        match self.writing.take() {
            Some(Writing::Sqlite(writer)) => {
                // First, so that a batch that comes again is known at every moment.
                if let Engine::Sqlite(engine) = &*self.store.engine {
                    engine.save_epochs(&self.epochs).await?;
                }
                let (events, samples) = writer.publish(ends).await?;
                Ok((Part::Sqlite(events), Part::Sqlite(samples)))
            }
            Some(Writing::Postgres(writer)) => {
                let mut catalog = Catalog::clone(&self.store.shelf.view());
                let publication = postgres::Publication {
                    ends,
                    epochs: &self.epochs,
                    replaced: table_names(&take_replaced(&mut catalog, self.name)),
                };
                let (events, samples) = writer.publish(publication).await?;
                Ok((Part::Postgres(events), Part::Postgres(samples)))
            }
            None => Err(StoreError::Closed),
        }
    }
}

/// Where the slices that are replaced end, whether they are in the log or in lower segments.
async fn ends(catalog: &Catalog, name: SegmentName) -> Result<Vec<SliceEnd>, StoreError> {
    let range = name.first_slice..=name.last_slice;
    let mut ends = Vec::new();
    for (slice, part) in catalog.slices.range(range.clone()) {
        if let Some((last_batch, received_last_ms)) = part.newest().await? {
            ends.push(SliceEnd {
                slice: *slice,
                last_batch,
                received_last_ms,
            });
        }
    }
    for (_, file) in catalog.segments.range(range) {
        ends.extend(&file.ends);
    }
    ends.sort_by_key(|end| end.slice);
    Ok(ends)
}

/// Takes out of the catalogue what the segments replace.
pub(super) fn take_replaced(catalog: &mut Catalog, name: SegmentName) -> Vec<Arc<Part>> {
    let range = name.first_slice..=name.last_slice;
    let mut replaced = Vec::new();
    catalog.slices.retain(|slice, part| {
        let stays = !range.contains(slice);
        if !stays {
            replaced.push(Arc::clone(part));
        }
        stays
    });
    catalog.segments.retain(|first_slice, file| {
        let stays = !range.contains(first_slice);
        if !stays {
            replaced.push(Arc::clone(&file.events));
            replaced.extend(file.samples.clone());
        }
        stays
    });
    replaced
}
