//! Samples from the log of batches.

use super::replay::{Place, Replay};
use super::{HostSamples, SampleQuery};
use crate::store::format::{self, SampleParts};
use crate::store::segment::Carried;
use crate::store::{LogBatch, StoreError, View};

/// Batches read at a time; between two such reads others have their turn.
const CHUNK: u32 = 256;
/// A clock may have been better or worse when the batches came than it is now.
const CLOCK_SLACK_MS: i64 = 10_000;

/// What the log says. It is read from the last span of handles that began before the time asked for, because all before
/// that was received before, too; and for as long as what comes is not after that time.
///
/// Where the log has no such span it goes on from what the newest segment carries.
pub(super) async fn samples(
    query: &SampleQuery,
    view: &View,
    carried: impl Future<Output = Result<Option<Carried>, StoreError>>,
) -> Result<HostSamples, StoreError> {
    let before_ms = query
        .from_ms
        .saturating_sub(query.clock_offset_ms)
        .saturating_sub(CLOCK_SLACK_MS);
    let start = view.span_before(&query.agent_id, before_ms).await?;
    let (first_slice, first_batch) = start.unwrap_or((0, 0));
    let mut replay = Replay::new(query);
    if start.is_none() {
        if begins_later(query, view).await? {
            return Ok(replay.finish());
        }
        if let Some(carried) = carried.await? {
            replay.seed(&carried);
        }
    }
    for slice in view.slices() {
        if slice < first_slice {
            continue;
        }
        let mut after = if slice == first_slice {
            first_batch - 1
        } else {
            0
        };
        loop {
            let rows = view
                .slice_batches(slice, &query.agent_id, after, CHUNK)
                .await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            if take(query, &mut replay, &rows, slice) {
                return Ok(replay.finish());
            }
            if rows.len() < CHUNK as usize {
                break;
            }
        }
    }
    Ok(replay.finish())
}

/// Whether all that the log has of the agent is later than what is asked for: then what a segment carries is not needed.
async fn begins_later(query: &SampleQuery, view: &View) -> Result<bool, StoreError> {
    const LOOK_AT: u32 = 32;
    for slice in view.slices() {
        let rows = view
            .slice_batches(slice, &query.agent_id, 0, LOOK_AT)
            .await?;
        if !rows.is_empty() {
            return Ok(take(query, &mut Replay::new(query), &rows, slice));
        }
    }
    Ok(true)
}

/// Hands rows on; true when there is nothing to come that the query wants.
fn take(query: &SampleQuery, replay: &mut Replay<'_>, rows: &[LogBatch], slice: u32) -> bool {
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
                let place = Place {
                    epoch: row.epoch,
                    seq: row.seq,
                };
                replay.apply(place, &batch);
            }
            Err(error) => {
                tracing::error!(slice, batch = row.id, %error, "a stored batch cannot be read; its sample is left out");
                replay.skip();
            }
        }
    }
    false
}
