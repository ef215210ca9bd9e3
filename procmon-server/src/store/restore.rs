//! What a restart needs: how far each agent's batches are stored, and the batches that live state is rebuilt from.

use sqlx::Row;

use super::{Store, StoreError, TENANT, format};
use crate::batch::Batch;

/// Batches looked back at for the beginning of the last span. The server asks for a new span more often than that.
const LOOK_BACK: i64 = 20_000;

/// The newest batches of an agent.
#[derive(Debug, Default)]
pub struct Span {
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
    /// From the beginning of the last span of handles on, in order. Empty when that beginning is not kept.
    pub batches: Vec<StoredBatch>,
}

#[derive(Debug)]
pub struct StoredBatch {
    pub seq: u64,
    pub received_ms: i64,
    pub batch: Batch,
}

struct Head {
    id: i64,
    epoch: u64,
    seq: u64,
    received_ms: i64,
    key: bool,
    more: bool,
}

impl Store {
    /// The highest stored number of an epoch. It only ever grew, so the newest slice with any of it has it.
    pub async fn watermark(&self, agent_id: &str, epoch: u64) -> Result<Option<u64>, StoreError> {
        for slice in self.slices.down_from(u32::MAX) {
            let row = sqlx::query(
                "select max(seq) from batch where tenant_id = ?1 and agent_id = ?2 and epoch = ?3",
            )
            .bind(TENANT)
            .bind(agent_id)
            .bind(epoch as i64)
            .fetch_one(&slice.readers)
            .await?;
            if let Some(seq) = row.try_get::<Option<i64>, _>(0)? {
                return Ok(Some(seq as u64));
            }
        }
        Ok(None)
    }

    /// The agent's last span; `None` when nothing of the agent is kept.
    pub async fn last_span(&self, agent_id: &str) -> Result<Option<Span>, StoreError> {
        for slice in self.slices.down_from(u32::MAX) {
            let heads = self.heads(&slice.readers, agent_id).await?;
            let Some(newest) = heads.first() else {
                continue;
            };
            let mut span = Span {
                epoch: newest.epoch,
                seq: newest.seq,
                received_ms: newest.received_ms,
                batches: Vec::new(),
            };
            let mut wanted = span_heads(&heads);
            let mut pool = &slice.readers;
            // A span that began in the slice before: both parts are needed.
            let before;
            if wanted.is_none()
                && let Some(number) = slice.number.checked_sub(1)
                && let Some(earlier) = self.slices.down_from(number).into_iter().next()
            {
                before = earlier;
                let earlier_heads = self.heads(&before.readers, agent_id).await?;
                let contiguous = earlier_heads.first().is_some_and(|head| {
                    head.epoch == newest.epoch
                        && heads
                            .last()
                            .is_some_and(|oldest| head.seq.wrapping_add(1) == oldest.seq)
                });
                if contiguous && let Some(start) = span_heads(&earlier_heads) {
                    self.load(&before.readers, &earlier_heads[..=start], &mut span.batches)
                        .await?;
                    pool = &slice.readers;
                    wanted = Some(heads.len() - 1);
                }
            }
            if let Some(start) = wanted {
                self.load(pool, &heads[..=start], &mut span.batches).await?;
            }
            return Ok(Some(span));
        }
        Ok(None)
    }

    async fn heads(
        &self,
        pool: &sqlx::SqlitePool,
        agent_id: &str,
    ) -> Result<Vec<Head>, StoreError> {
        let rows = sqlx::query(
            "select id, epoch, seq, received_ms, span from batch where tenant_id = ?1 and agent_id = ?2 \
             order by id desc limit ?3",
        )
        .bind(TENANT)
        .bind(agent_id)
        .bind(LOOK_BACK)
        .fetch_all(pool)
        .await?;
        rows.iter()
            .map(|row| {
                let span: i64 = row.try_get(4)?;
                Ok(Head {
                    id: row.try_get(0)?,
                    epoch: row.try_get::<i64, _>(1)? as u64,
                    seq: row.try_get::<i64, _>(2)? as u64,
                    received_ms: row.try_get(3)?,
                    key: span & 1 != 0,
                    more: span & 2 != 0,
                })
            })
            .collect()
    }

    /// Loads batches, given newest first, in order of arrival.
    async fn load(
        &self,
        pool: &sqlx::SqlitePool,
        heads: &[Head],
        batches: &mut Vec<StoredBatch>,
    ) -> Result<(), StoreError> {
        for head in heads.iter().rev() {
            let row = sqlx::query("select body from batch where id = ?1")
                .bind(head.id)
                .fetch_one(pool)
                .await?;
            match format::decode(row.try_get(0)?) {
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
        Ok(())
    }
}

/// Index of the batch that begins the last span, in a list with the newest first. Numbers must be dense from there on.
fn span_heads(heads: &[Head]) -> Option<usize> {
    let newest = heads.first()?;
    for (index, head) in heads.iter().enumerate() {
        if head.epoch != newest.epoch || newest.seq.wrapping_sub(head.seq) != index as u64 {
            return None;
        }
        let before_goes_on = heads
            .get(index + 1)
            .is_some_and(|before| before.epoch == head.epoch && before.more);
        if head.key && !before_goes_on {
            return Some(index);
        }
    }
    None
}
