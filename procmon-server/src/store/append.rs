//! What the log is made of.

use std::sync::Arc;

use super::queries::{SPAN_KEY, SPAN_MORE};
use crate::batch::Batch;

/// A batch to be stored.
#[derive(Clone, Debug)]
pub struct Append {
    pub agent_id: Arc<str>,
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
    pub key: bool,
    pub more: bool,
    pub event_count: u32,
    pub event_kinds: u32,
    pub event_range_ms: Option<(i64, i64)>,
    pub body: Vec<u8>,
}

impl Append {
    /// `body` is the batch, encoded.
    pub fn new(
        agent_id: Arc<str>,
        (epoch, seq): (u64, u64),
        received_ms: i64,
        batch: &Batch,
        body: Vec<u8>,
    ) -> Self {
        Self {
            agent_id,
            epoch,
            seq,
            received_ms,
            key: batch.key,
            // Outside of a span the rest of a long list of new processes needs no mark.
            more: batch.more && (batch.key || batch.continues),
            event_count: batch.events.len() as u32,
            event_kinds: batch.event_kinds().0,
            event_range_ms: batch.event_range_ms(),
            body,
        }
    }

    pub(super) fn span(&self) -> i64 {
        let bit = |set: bool, bit: i64| if set { bit } else { 0 };
        bit(self.key, SPAN_KEY) + bit(self.more, SPAN_MORE)
    }
}
