//! What a restart needs: how far each agent's batches are stored, and the batches that live state is rebuilt from.

use std::sync::Arc;

use super::log::Head;
use super::part::Part;
use super::{Store, StoreError, format};
use crate::batch::Batch;

/// Batches looked back at for the beginning of the last span. The server asks for a new span more often than that.
const LOOK_BACK: u32 = 20_000;

/// The newest batches of an agent.
#[derive(Debug, Default)]
pub struct Span {
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
    /// From the beginning of the last span of handles on, in order. Empty when that beginning is not in the log any more.
    pub batches: Vec<StoredBatch>,
}

#[derive(Debug)]
pub struct StoredBatch {
    pub seq: u64,
    pub received_ms: i64,
    pub batch: Batch,
}

impl Store {
    /// The highest stored number of an epoch. It only ever grew, so the newest slice with any of it has it.
    pub async fn watermark(&self, agent_id: &str, epoch: u64) -> Result<Option<u64>, StoreError> {
        // Slices first: what leaves the log was written down among the epochs before.
        let catalog = self.shelf.view();
        for part in catalog.slices.values().rev() {
            if let Some(seq) = part.watermark(agent_id, epoch).await? {
                return Ok(Some(seq));
            }
        }
        self.engine.epoch(agent_id, epoch).await
    }

    /// The agent's last span; `None` when the log has nothing of the agent.
    pub async fn last_span(&self, agent_id: &str) -> Result<Option<Span>, StoreError> {
        let catalog = self.shelf.view();
        let mut heads: Vec<(Arc<Part>, Head)> = Vec::new();
        let mut start = None;
        for part in catalog.slices.values().rev() {
            let earlier = part.heads(agent_id, LOOK_BACK).await?;
            let goes_on = match (heads.last(), earlier.first()) {
                (Some((_, later)), Some(head)) => {
                    head.epoch == later.epoch && head.seq.wrapping_add(1) == later.seq
                }
                _ => true,
            };
            if !goes_on || heads.len() > LOOK_BACK as usize {
                break;
            }
            heads.extend(earlier.into_iter().map(|head| (Arc::clone(part), head)));
            start = span_start(&heads);
            if start.is_some() {
                break;
            }
        }
        let Some((_, newest)) = heads.first() else {
            return Ok(None);
        };
        let batches = match start {
            Some(start) => load(&heads[..=start]).await?,
            None => Vec::new(),
        };
        Ok(Some(Span {
            epoch: newest.epoch,
            seq: newest.seq,
            received_ms: newest.received_ms,
            batches,
        }))
    }
}

/// Loads batches, given newest first, in order of arrival.
async fn load(heads: &[(Arc<Part>, Head)]) -> Result<Vec<StoredBatch>, StoreError> {
    let mut batches = Vec::with_capacity(heads.len());
    for (part, head) in heads.iter().rev() {
        match format::decode(&part.batch_body(head.id).await?) {
            Ok(batch) => batches.push(StoredBatch {
                seq: head.seq,
                received_ms: head.received_ms,
                batch,
            }),
            Err(error) => {
                tracing::error!(batch = head.id, %error, "a stored batch cannot be read");
                // What came before can no longer be continued.
                batches.clear();
            }
        }
    }
    Ok(batches)
}

/// Index of the batch that begins the last span, in a list with the newest first. Numbers must be dense from there on.
fn span_start(heads: &[(Arc<Part>, Head)]) -> Option<usize> {
    let (_, newest) = heads.first()?;
    for (index, (_, head)) in heads.iter().enumerate() {
        if head.epoch != newest.epoch || newest.seq.wrapping_sub(head.seq) != index as u64 {
            return None;
        }
        let before_goes_on = heads
            .get(index + 1)
            .is_some_and(|(_, before)| before.epoch == head.epoch && before.more);
        if head.key && !before_goes_on {
            return Some(index);
        }
    }
    None
}
