//! A pass over what there is to do: closed slices, oldest first, and then hours.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::CompactionStats;
use super::agent_slice::AgentSlice;
use super::hour::{self, Lower};
use crate::store::{LogBatch, SegmentHead, SegmentRow, Store, StoreError, View};

/// Batches read at a time: the first ones of an agent, and then as many as are likely to have so many bytes. Each page costs
/// a walk over the agent's entries in the index.
const FIRST_PAGE: u32 = 64;
const LARGEST_PAGE: u32 = 4096;
const PAGE_BYTES: usize = 4 << 20;
/// Slices looked back for the state that an agent's batches go on from; beyond, its next key batch gives it.
const LOOK_BACK: u32 = 18;
/// Failures in a row after which a slice, or an hour, is left as it is until the next start.
const PATIENCE: u32 = 3;

/// What is to be compacted: level and first slice.
type Work = (u8, u32);

pub(super) struct Compactor {
    store: Store,
    stats: Arc<CompactionStats>,
    shutdown: CancellationToken,
    /// How often in a row each failed; one entry for what is being tried, and one for each that was given up.
    failures: HashMap<Work, u32>,
}

/// Compacts all that can be compacted now.
pub async fn compact_once(store: &Store, stats: &Arc<CompactionStats>) {
    let shutdown = CancellationToken::new();
    let mut compactor = Compactor::new(store.clone(), Arc::clone(stats), shutdown);
    compactor.pass().await;
}

impl Compactor {
    pub(super) fn new(
        store: Store,
        stats: Arc<CompactionStats>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store,
            stats,
            shutdown,
            failures: HashMap::new(),
        }
    }

    pub(super) async fn pass(&mut self) {
        loop {
            let closed = self.store.closed_slices();
            let next = closed.into_iter().find(|slice| !self.gave_up((1, *slice)));
            let Some(slice) = next else { break };
            let started = Instant::now();
            let outcome = self.compact_slice(slice).await;
            self.stats.took(1, started.elapsed());
            if !self.note((1, slice), outcome) {
                return;
            }
        }
        loop {
            let files = self.store.view().segment_files(1);
            let mut due = hour::due(&files).into_iter();
            let next = due.find(|name| !self.gave_up((2, name.0)));
            let Some(name) = next else { break };
            let started = Instant::now();
            let outcome = Box::pin(self.compact_hour(name)).await;
            self.stats.took(2, started.elapsed());
            if !self.note((2, name.0), outcome) {
                return;
            }
        }
    }

    fn gave_up(&self, work: Work) -> bool {
        self.failures
            .get(&work)
            .is_some_and(|count| *count >= PATIENCE)
    }

    /// Whether to go on with this pass.
    fn note(&mut self, work: Work, outcome: Result<bool, StoreError>) -> bool {
        match outcome {
            Ok(done) => {
                self.failures.remove(&work);
                done
            }
            Err(error) => {
                CompactionStats::add(&self.stats.failures, 1);
                let (level, slice) = work;
                // A full disk, or a database that is away, says nothing against the slice.
                let count = self.failures.entry(work).or_default();
                if matches!(error, StoreError::Failed(_)) {
                    *count += 1;
                }
                let given_up = *count >= PATIENCE;
                tracing::warn!(level, slice, %error, given_up, "compaction failed; nothing is lost");
                given_up
            }
        }
    }

    /// False when it was told to stop.
    async fn compact_slice(&self, slice: u32) -> Result<bool, StoreError> {
        let view = self.store.view();
        let before = latest(&view, slice).await?;
        let mut file = self.store.begin_segments(1, slice, slice);
        for agent_id in view.slice_agents(slice).await? {
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
            let before = before.get(&agent_id);
            let row = self.agent_slice(&view, slice, &agent_id, before).await?;
            self.stats.wrote(1, row.samples.len() + row.events.len());
            file.put(row).await?;
        }
        file.publish().await?;
        Ok(true)
    }

    async fn agent_slice(
        &self,
        view: &View,
        slice: u32,
        agent_id: &Arc<str>,
        before: Option<&SegmentHead>,
    ) -> Result<SegmentRow, StoreError> {
        let samples = match before {
            Some(head) => self.store.segment_samples(head).await?,
            None => Vec::new(),
        };
        let (mut state, resumed) = aside(move || AgentSlice::begin(slice, &samples)).await?;
        if let Err(error) = resumed {
            CompactionStats::add(&self.stats.unreadable_segments, 1);
            tracing::error!(%agent_id, slice, %error, "the segment before cannot be read; samples go on from the next key batch");
        }
        let (mut after, mut page) = (i64::MIN, FIRST_PAGE);
        loop {
            let rows = view.slice_batches(slice, agent_id, after, page).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let is_last = rows.len() < page as usize;
            page = next_page(&rows);
            let name = Arc::clone(agent_id);
            state = aside(move || {
                state.add(&name, &rows);
                state
            })
            .await?;
            if is_last {
                break;
            }
        }
        CompactionStats::add(&self.stats.unreadable_batches, state.unreadable);
        let agent_id = Arc::clone(agent_id);
        aside(move || state.finish(agent_id)).await
    }

    /// False when it was told to stop.
    async fn compact_hour(&self, name: (u32, u32)) -> Result<bool, StoreError> {
        let view = self.store.view();
        let mut agents: BTreeMap<Arc<str>, Vec<SegmentHead>> = BTreeMap::new();
        for head in view.segments_between(1, name.0, name.1).await? {
            agents
                .entry(Arc::clone(&head.agent_id))
                .or_default()
                .push(head);
        }
        let argv_bytes = self.store.argv_bytes();
        let mut file = self.store.begin_segments(2, name.0, name.1);
        for heads in agents.into_values() {
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
            let mut lower = Vec::with_capacity(heads.len());
            for head in heads {
                lower.push(Lower {
                    samples: self.store.segment_samples(&head).await?,
                    events: self.store.segment_events(&head).await?,
                    head,
                });
            }
            let merge = move || hour::merge(lower, name, argv_bytes);
            let Some((row, lost)) = aside(merge).await? else {
                continue;
            };
            CompactionStats::add(&self.stats.unreadable_segments, lost);
            self.stats.wrote(2, row.samples.len() + row.events.len());
            file.put(row).await?;
        }
        file.publish().await?;
        Ok(true)
    }
}

fn next_page(rows: &[LogBatch]) -> u32 {
    let bytes: usize = rows.iter().map(|row| row.body.len() + 64).sum();
    let most = PAGE_BYTES * rows.len() / bytes.max(1);
    u32::try_from(most).map_or(LARGEST_PAGE, |most| most.clamp(FIRST_PAGE, LARGEST_PAGE))
}

/// The newest segment of each agent before a slice.
async fn latest(view: &View, slice: u32) -> Result<HashMap<Arc<str>, SegmentHead>, StoreError> {
    let Some(last) = slice.checked_sub(1) else {
        return Ok(HashMap::new());
    };
    let first = slice.saturating_sub(LOOK_BACK);
    let mut newest: HashMap<Arc<str>, SegmentHead> = HashMap::new();
    for level in [2, 1] {
        for head in view.segments_between(level, first, last).await? {
            let known = newest.get(&head.agent_id);
            if known.is_none_or(|known| known.last_slice < head.last_slice) {
                newest.insert(Arc::clone(&head.agent_id), head);
            }
        }
    }
    Ok(newest)
}

/// Runs computation where it delays nobody. It may fail only by a mistake in it, which is then the slice's failure.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Failed(format!("compaction: {error}")))
}
