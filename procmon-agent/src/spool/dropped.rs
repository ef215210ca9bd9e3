//! What was dropped because the spool was full. The record of it would be dropped with the batch that tells it: so it is one loss,
//! from the first to the last of what was dropped, told when the server takes batches again, and forgotten when it has that one.
//!
//! The file `dropped` keeps it over a restart. Little-endian: two losses (batches, bytes, from, until; no batches: none), the waiting
//! one and the told one, epoch and seq of the batch that tells, and a CRC-32 of all that.

use std::path::Path;

use super::SpoolLoss;

pub(super) const DROPPED_FILE: &str = "dropped";
const DROPPED_BYTES: usize = 84;
pub(super) const REASON: &str = "spool_full";

type BatchId = (u64, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    waiting: Option<SpoolLoss>,
    /// Taken for a batch that is being built.
    telling: Option<SpoolLoss>,
    /// In a batch that is not acknowledged.
    told: Option<(BatchId, SpoolLoss)>,
    /// The server has taken a batch since something was dropped.
    flows: bool,
}

impl Dropped {
    pub(super) fn add(&mut self, loss: SpoolLoss) {
        merge(&mut self.waiting, loss);
        self.flows = false;
    }

    /// What is to be told now.
    pub(super) fn take(&mut self) -> Option<SpoolLoss> {
        if !self.flows || self.told.is_some() || self.telling.is_some() {
            return None;
        }
        self.telling = self.waiting.take();
        self.telling.clone()
    }

    /// What was taken is in this batch; `None` when that was lost at once.
    pub(super) fn told(&mut self, batch: Option<BatchId>) {
        match (self.telling.take(), batch) {
            (Some(loss), Some(batch)) => self.told = Some((batch, loss)),
            (Some(loss), None) => merge(&mut self.waiting, loss),
            (None, _) => {}
        }
    }

    /// The server has these batches.
    pub(super) fn acknowledged(&mut self, (epoch, seq): BatchId) {
        self.flows = true;
        self.told
            .take_if(|(told, _)| told.0 == epoch && told.1 <= seq);
    }

    /// The batches up to this one are gone, but for one that may still be delivered: if they told it, it is to be told again.
    pub(super) fn gone(&mut self, until: BatchId, held: Option<BatchId>) {
        let is_gone = |(told, _): &mut (BatchId, _)| *told <= until && held != Some(*told);
        if let Some((_, loss)) = self.told.take_if(is_gone) {
            merge(&mut self.waiting, loss);
        }
    }

    /// What the run before left. `waits` knows whether a batch is in the spool and not acknowledged.
    pub(super) fn read(folder: &Path, waits: impl FnOnce(BatchId) -> bool) -> Self {
        let bytes = std::fs::read(folder.join(DROPPED_FILE)).unwrap_or_default();
        let mut dropped = Self::decode(&bytes).unwrap_or_default();
        dropped.told.take_if(|(told, _)| !waits(*told));
        dropped
    }

    pub(super) fn encode(&self) -> [u8; DROPPED_BYTES] {
        let mut waiting = self.waiting.clone();
        if let Some(telling) = self.telling.clone() {
            merge(&mut waiting, telling);
        }
        let (told_in, told) = self.told.clone().unzip();
        let (epoch, seq) = told_in.unwrap_or_default();
        let mut words = Vec::with_capacity(10);
        for loss in [waiting, told] {
            words.extend(loss.map_or([0; 4], |loss| {
                let (from, until) = (loss.from_unix_ns, loss.until_unix_ns);
                [
                    loss.batches,
                    loss.bytes,
                    from.cast_unsigned(),
                    until.cast_unsigned(),
                ]
            }));
        }
        words.extend([epoch, seq]);
        let mut bytes = [0; DROPPED_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (content, checksum) = bytes.split_at_mut(DROPPED_BYTES - 4);
        checksum.copy_from_slice(&crc32fast::hash(content).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(DROPPED_BYTES - 4)?;
        if checksum != crc32fast::hash(content).to_le_bytes() {
            return None;
        }
        let words: Vec<u64> = content
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
            .collect();
        let loss = |at: usize| {
            (words[at] > 0).then(|| SpoolLoss {
                reason: REASON,
                batches: words[at],
                bytes: words[at + 1],
                from_unix_ns: words[at + 2].cast_signed(),
                until_unix_ns: words[at + 3].cast_signed(),
            })
        };
        Some(Self {
            waiting: loss(0),
            told: loss(4).map(|loss| ((words[8], words[9]), loss)),
            ..Self::default()
        })
    }
}

/// One loss of both.
pub(super) fn merge(known: &mut Option<SpoolLoss>, loss: SpoolLoss) {
    match known {
        Some(known) => {
            known.batches += loss.batches;
            known.bytes += loss.bytes;
            known.from_unix_ns = known.from_unix_ns.min(loss.from_unix_ns);
            known.until_unix_ns = known.until_unix_ns.max(loss.until_unix_ns);
        }
        None => *known = Some(loss),
    }
}
