//! Samples from the log of batches.

use std::sync::Arc;

use sqlx::Row;

use super::replay::{Place, Replay};
use super::{HostSamples, SampleQuery};
use crate::store::format::{self, SampleParts};
use crate::store::slice::Slice;
use crate::store::{Store, StoreError, TENANT};

/// Batches read at a time.
const CHUNK: u32 = 512;
/// A clock may have been better or worse when the batches came than it is now.
const CLOCK_SLACK_MS: i64 = 10_000;

/// A place in the log to begin at.
#[derive(Clone, Copy, Debug)]
struct Start {
    slice: u32,
    batch: i64,
}

impl Store {
    /// What the log says. It is read from the last span of handles that began before the time asked for, because all
    /// before that was received before, too; and for as long as what comes is not after that time.
    pub(super) async fn log_samples(
        &self,
        query: &SampleQuery,
        slices: &[Arc<Slice>],
    ) -> Result<HostSamples, StoreError> {
        let start = span_before(query, slices).await?;
        let mut replay = Replay::new(query);
        let from = slices.partition_point(|slice| slice.number < start.slice);
        for slice in &slices[from..] {
            let mut after = if slice.number == start.slice {
                start.batch - 1
            } else {
                0
            };
            loop {
                let rows = read(slice, &query.agent_id, after).await?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                if take(query, &mut replay, &rows, slice.number) {
                    return Ok(replay.finish());
                }
            }
        }
        Ok(replay.finish())
    }
}

/// Hands rows on; true when there is nothing to come that the query wants.
fn take(query: &SampleQuery, replay: &mut Replay<'_>, rows: &[LogRow], slice: u32) -> bool {
    let parts = SampleParts {
        columns: &query.columns,
        ports: query.ports,
        short_lived: query.short_lived,
    };
    let until_received_ms = query
        .to_ms
        .saturating_sub(query.clock_offset_ms)
        .saturating_add(CLOCK_SLACK_MS);
    for row in rows {
        match format::decode_sample(&row.body, parts) {
            Ok(batch) => {
                let sampled_ns = batch.frame.as_ref().map(|frame| frame.ts_ns);
                let later = sampled_ns.is_some_and(|ns| ns.div_euclid(1_000_000) >= query.to_ms);
                if later && row.received_ms > until_received_ms {
                    return true;
                }
                replay.apply(row.place, &batch);
            }
            Err(error) => {
                tracing::error!(slice, batch = row.id, %error, "a stored batch cannot be read; its sample is left out");
                replay.skip();
            }
        }
    }
    false
}

struct LogRow {
    id: i64,
    place: Place,
    received_ms: i64,
    body: Vec<u8>,
}

/// Where the last span begins that began before the time asked for; the beginning of the log when there is none.
async fn span_before(query: &SampleQuery, slices: &[Arc<Slice>]) -> Result<Start, StoreError> {
    let before_ms = query
        .from_ms
        .saturating_sub(query.clock_offset_ms)
        .saturating_sub(CLOCK_SLACK_MS);
    for slice in slices.iter().rev() {
        let row = sqlx::query(
            "select max(+id) from batch where tenant_id = ?1 and agent_id = ?2 and received_ms <= ?3 and (span & 1) = 1",
        )
        .bind(TENANT)
        .bind(&*query.agent_id)
        .bind(before_ms)
        .fetch_one(&slice.readers)
        .await?;
        if let Some(batch) = row.try_get(0)? {
            let slice = slice.number;
            return Ok(Start { slice, batch });
        }
    }
    Ok(Start { slice: 0, batch: 0 })
}

async fn read(slice: &Slice, agent_id: &str, after: i64) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query(
        "select id, epoch, seq, received_ms, body from batch where tenant_id = ?1 and agent_id = ?2 and +id > ?3 \
         order by +id limit ?4",
    )
    .bind(TENANT)
    .bind(agent_id)
    .bind(after)
    .bind(CHUNK)
    .fetch_all(&slice.readers)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LogRow {
                id: row.try_get(0)?,
                place: Place {
                    epoch: row.try_get::<i64, _>(1)? as u64,
                    seq: row.try_get::<i64, _>(2)? as u64,
                },
                received_ms: row.try_get(3)?,
                body: row.try_get(4)?,
            })
        })
        .collect()
}
