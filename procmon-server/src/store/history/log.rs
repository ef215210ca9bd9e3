//! Samples from the log of batches.

use super::replay::{Place, Replay};
use super::{HostSamples, SampleQuery};
use crate::store::format::{self, SampleParts};
use crate::store::segment::Carried;
use crate::store::{LogBatch, StoreError, View};

/// Batches read at a time; between two such reads others have their turn.
const CHUNK: u32 = 512;
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
    let mut carried = start.is_none().then_some(carried);
    let mut replay = Replay::new(query);
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
            if let Some(carried) = carried.take() {
                if begins_later(query, &rows) {
                    return Ok(replay.finish());
                }
                if let Some(carried) = carried.await? {
                    replay.seed(&carried);
                }
            }
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

/// Whether the first sample that the log has of the agent is already later than what is asked for: then what a segment
/// carries is not needed.
fn begins_later(query: &SampleQuery, rows: &[LogBatch]) -> bool {
    const LOOK_AT: usize = 32;
    let first = rows.iter().take(LOOK_AT).find_map(|row| {
        let batch = format::decode_sample(&row.body, parts(query)).ok()?;
        Some((row.received_ms, batch.frame?.ts_ns))
    });
    first.is_some_and(|(received_ms, ts_ns)| is_later(query, received_ms, ts_ns))
}

fn parts(query: &SampleQuery) -> SampleParts<'_> {
    SampleParts {
        columns: &query.columns,
        ports: query.ports,
        short_lived: query.short_lived,
    }
}

/// Whether a sample, and all that comes after it, is later than what is asked for. One that was taken later may still come
/// before one that was taken earlier, by a clock that was set back: so it must have been received later, too.
fn is_later(query: &SampleQuery, received_ms: i64, ts_ns: i64) -> bool {
    let until_received_ms = query
        .to_ms
        .saturating_sub(query.clock_offset_ms)
        .saturating_add(CLOCK_SLACK_MS);
    ts_ns.div_euclid(1_000_000) >= query.to_ms && received_ms > until_received_ms
}

/// Hands rows on; true when there is nothing to come that the query wants.
fn take(query: &SampleQuery, replay: &mut Replay<'_>, rows: &[LogBatch], slice: u32) -> bool {
    for row in rows {
        match format::decode_sample(&row.body, parts(query)) {
            Ok(batch) => {
                let sampled_ns = batch.frame.as_ref().map(|frame| frame.ts_ns);
                if sampled_ns.is_some_and(|ns| is_later(query, row.received_ms, ns)) {
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
