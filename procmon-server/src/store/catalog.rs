//! What is there: the slices of the log and the segments. The numbers of slices are dense and only grow, whatever the clock
//! does, so that a position in the log is always comparable with another. A reader takes the whole catalogue as it is at
//! one moment; what is replaced or expires goes away after the last reader that may know of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::OnceCell;

use super::part::Part;
use super::segment::EventDigest;
use super::{EventQuery, Position, StoreError};

/// Slices of the log behind the newest that are not compacted, so that the state can be brought back from the log after a
/// restart: a span of handles is renewed every ten minutes, and processes stay listed for as long after the last batch.
pub const OPEN_SLICES: u32 = 3;

/// Where a slice that is compacted ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SliceEnd {
    pub(super) slice: u32,
    pub(super) last_batch: i64,
    pub(super) received_last_ms: i64,
}

/// The segments of a stretch of the log.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    pub(super) level: u8,
    pub(super) first_slice: u32,
    pub(super) last_slice: u32,
    /// The slices that had anything, in order.
    pub(super) ends: Vec<SliceEnd>,
    /// Heads and events.
    pub(super) events: Arc<Part>,
    /// `None` when they are no longer kept.
    pub(super) samples: Option<Arc<Part>>,
    /// Read when it is first asked for; what is published never changes.
    pub(super) extent: Arc<OnceCell<Extent>>,
    /// Likewise, of the events of all agents. At most some 40 KiB.
    pub(super) event_digest: Arc<OnceCell<EventDigest>>,
}

/// What segments of any agent have, by which all of them are passed over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Host time of samples and events, both inclusive.
    pub(super) host_ms: (i64, i64),
    /// Bits of [`crate::batch::KindSet`].
    pub(super) event_kinds: u32,
    /// Host time of the events, both inclusive; the first is after the last where there is none.
    pub(super) event_ms: (i64, i64),
}

impl Extent {
    /// Whether there may be something in `from_ms..to_ms`.
    pub(super) fn touches(&self, (from_ms, to_ms): (i64, i64)) -> bool {
        self.host_ms.1 >= from_ms && self.host_ms.0 < to_ms
    }

    pub(super) fn may_have(&self, query: &EventQuery) -> bool {
        (query.kinds == 0 || query.kinds & self.event_kinds != 0)
            && self.event_ms.0 <= self.event_ms.1
            && query.since_ms.is_none_or(|since| self.event_ms.1 >= since)
            && query.until_ms.is_none_or(|until| self.event_ms.0 <= until)
    }
}

impl Segments {
    pub(super) async fn extent(&self) -> Result<Extent, StoreError> {
        let read = || self.events.segment_extent();
        self.extent.get_or_try_init(read).await.copied()
    }

    /// Whether some agent may have what a query wants, by what is known of all of them together.
    pub(super) async fn may_have_events(&self, query: &EventQuery) -> Result<bool, StoreError> {
        if !self.extent().await?.may_have(query) {
            return Ok(false);
        }
        // The row of one agent tells more than all of them together.
        if query.agent_id.is_some() || !EventDigest::tells_of(query) {
            return Ok(true);
        }
        let read = || self.events.event_digest();
        let digest = self.event_digest.get_or_try_init(read).await?;
        Ok(digest.may_have(query))
    }

    /// What an agent's samples are, if it has any here and they are still kept.
    pub(super) async fn samples_of(&self, agent_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.samples {
            Some(part) => part.find_samples(agent_id).await,
            None => Ok(None),
        }
    }

    pub(super) fn received_last_ms(&self) -> i64 {
        let last = self.ends.iter().map(|end| end.received_last_ms).max();
        last.unwrap_or(i64::MIN)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pub(super) slices: BTreeMap<u32, Arc<Part>>,
    /// By their first slice. They overlap neither each other nor the slices.
    pub(super) segments: BTreeMap<u32, Arc<Segments>>,
}

impl Catalog {
    pub(super) fn last_slice(&self) -> Option<(u32, &Arc<Part>)> {
        let (number, part) = self.slices.last_key_value()?;
        Some((*number, part))
    }

    /// The number that the log goes on with.
    pub(super) fn next_number(&self) -> u32 {
        let slice = self.slices.last_key_value().map(|(number, _)| *number);
        let segments = self.segments.values().map(|file| file.last_slice).max();
        slice.max(segments).map_or(1, |last| last + 1)
    }

    /// The oldest slice of which events are kept.
    pub(super) fn oldest(&self) -> Option<u32> {
        let slice = self.slices.keys().next();
        let segment = self.segments.keys().next();
        [slice, segment].into_iter().flatten().min().copied()
    }

    pub(super) fn contains(&self, slice: u32) -> bool {
        self.slices.contains_key(&slice) || self.segments_of(slice).is_some()
    }

    pub(super) fn segments_of(&self, slice: u32) -> Option<&Arc<Segments>> {
        let (_, file) = self.segments.range(..=slice).next_back()?;
        (file.last_slice >= slice).then_some(file)
    }

    pub(super) fn slice(&self, number: u32) -> Result<&Arc<Part>, StoreError> {
        self.slices.get(&number).ok_or(StoreError::Gone(number))
    }

    /// Slices that are complete and not compacted, oldest first.
    pub(super) fn closed_slices(&self) -> Vec<u32> {
        let Some((newest, _)) = self.last_slice() else {
            return Vec::new();
        };
        let open_from = newest.saturating_sub(OPEN_SLICES - 1);
        self.slices.range(..open_from).map(|(n, _)| *n).collect()
    }

    /// The end of the log.
    pub(super) async fn newest(&self) -> Result<Position, StoreError> {
        match self.last_slice() {
            Some((number, part)) => {
                let last_batch = part.newest().await?.map_or(0, |(id, _)| id);
                Ok(Position::after_batch(number, last_batch))
            }
            None if self.segments.is_empty() => Ok(Position::START),
            None => Ok(Position::after_batch(self.next_number() - 1, i64::MAX)),
        }
    }
}

/// The catalogue as it is now, and what left it but may still be read.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    current: RwLock<Arc<Catalog>>,
    /// Bounded by what is stored. Looked through whenever something leaves, and every minute.
    doomed: Mutex<Vec<Arc<Part>>>,
}

impl Shelf {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self {
            current: RwLock::new(Arc::new(catalog)),
            doomed: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the catalogue; returns what `change` does.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Catalog::clone(&current);
        let outcome = change(&mut next);
        *current = Arc::new(next);
        outcome
    }

    pub(super) fn doom(&self, parts: impl IntoIterator<Item = Arc<Part>>) {
        self.doomed().extend(parts);
    }

    pub(super) fn doomed_count(&self) -> usize {
        self.doomed().len()
    }

    fn doomed(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Part>>> {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what nobody reads any more. What cannot be removed is tried again later.
    pub(super) async fn sweep(&self) {
        let unread: Vec<_> = {
            let mut doomed = self.doomed();
            let (unread, read): (Vec<_>, Vec<_>) = std::mem::take(&mut *doomed)
                .into_iter()
                .partition(|part| Arc::strong_count(part) == 1);
            *doomed = read;
            unread
        };
        let mut unread = unread.into_iter();
        while let Some(part) = unread.next() {
            if let Err(error) = part.remove().await {
                // Whatever keeps this one keeps the others too: each try may take seconds.
                tracing::warn!(%error, "what is no longer needed cannot be removed yet; it is tried again");
                self.doom([part]);
                self.doom(unread);
                return;
            }
        }
    }
}
