//! What the spool holds, and what it had to give up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dropped::{self, Dropped};

/// Batches that no server will see, and the time they covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolLoss {
    /// `spool_full`, `spool_corrupt`, `too_large`, `no_base` (a delta after one of these) or `refused` (by the server).
    pub reason: &'static str,
    /// At least: what a damaged part held cannot be counted.
    pub batches: u64,
    pub bytes: u64,
    pub from_unix_ns: i64,
    pub until_unix_ns: i64,
}

/// Shared between the spool, the batch builder and the agent's health.
#[derive(Debug, Default)]
pub struct SpoolStats {
    bytes: AtomicU64,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    untold: BTreeMap<&'static str, SpoolLoss>,
    dropped: Dropped,
    totals: BTreeMap<&'static str, u64>,
}

impl SpoolStats {
    /// Size of all segments on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What was given up since the last call, one entry per reason: the caller sends it as loss records. What was dropped
    /// because the spool was full only when the server takes batches again; [`super::SpoolWriter::told`] is to follow.
    pub fn take_losses(&self) -> Vec<SpoolLoss> {
        let mut losses = self.losses();
        let mut taken: Vec<_> = std::mem::take(&mut losses.untold).into_values().collect();
        taken.extend(losses.dropped.take());
        taken
    }

    /// Batches given up since the agent started, by reason.
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let losses = self.losses();
        losses.totals.iter().map(|(k, v)| (*k, *v)).collect()
    }

    pub(super) fn add_loss(&self, loss: &SpoolLoss) {
        if loss.batches == 0 {
            return;
        }
        let mut losses = self.losses();
        *losses.totals.entry(loss.reason).or_default() += loss.batches;
        if loss.reason == dropped::REASON {
            losses.dropped.add(loss.clone());
            return;
        }
        let mut known = losses.untold.remove(loss.reason);
        dropped::merge(&mut known, loss.clone());
        losses
            .untold
            .extend(known.map(|known| (loss.reason, known)));
    }

    /// Changes what is known of the batches that were dropped.
    pub(super) fn dropped_mut<T>(&self, change: impl FnOnce(&mut Dropped) -> T) -> T {
        change(&mut self.losses().dropped)
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn losses(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
