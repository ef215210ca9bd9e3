//! Loss is data: turns the counts of what was not seen into the records that a batch carries, and into the agent's health.

use std::collections::HashMap;

use procmon_common::wire;

use crate::decode::DecodeError;
use crate::enrich::clock::unix_ns;
use crate::kernel::KernelCounters;
use crate::spool::{SpoolLoss, SpoolStats};

/// Knows what has been told already.
pub(crate) struct LossMeter {
    told: HashMap<(&'static str, &'static str), u64>,
    undecodable: u64,
    /// Records of processes that were not added to a table that is full, by kind.
    refused: [(&'static str, u64); 4],
    since_unix_ns: i64,
}

impl LossMeter {
    pub(crate) fn new() -> Self {
        Self {
            told: HashMap::new(),
            undecodable: 0,
            refused: [("", 0); 4],
            since_unix_ns: unix_ns(),
        }
    }

    pub(crate) fn undecodable(&mut self, error: DecodeError) {
        self.undecodable += 1;
        if self.undecodable == 1 {
            tracing::error!(
                "a record of the kernel programs cannot be read: {error}; counting such records"
            );
        }
    }

    pub(crate) fn refused(&mut self, counts: [(&'static str, u64); 4]) {
        self.refused = counts;
    }

    /// All losses since the agent started, by `kind.reason`.
    pub(crate) fn totals(
        &self,
        kernel: &KernelCounters,
        spool: &SpoolStats,
    ) -> HashMap<String, u64> {
        let records = self
            .counts(kernel)
            .into_iter()
            .filter(|(_, count)| *count > 0);
        let batches = spool
            .dropped()
            .into_iter()
            .map(|(reason, count)| (("batch", reason), count));
        records
            .chain(batches)
            .map(|((kind, reason), count)| (format!("{kind}.{reason}"), count))
            .collect()
    }

    /// What is new since the last call.
    pub(crate) fn take(&mut self, kernel: &KernelCounters, spool: &SpoolStats) -> Vec<wire::Loss> {
        let (from_unix_ns, until_unix_ns) = (self.since_unix_ns, unix_ns());
        self.since_unix_ns = until_unix_ns;
        let mut losses = Vec::new();
        for (what, total) in self.counts(kernel) {
            let told = self.told.insert(what, total).unwrap_or(0);
            let count = total.saturating_sub(told);
            if count > 0 {
                let (kind, reason) = (what.0.into(), what.1.into());
                losses.push(wire::Loss {
                    kind,
                    reason,
                    count,
                    from_unix_ns,
                    until_unix_ns,
                    ..wire::Loss::default()
                });
            }
        }
        losses.extend(spool.take_losses().iter().map(of_spool));
        losses
    }

    fn counts(&self, kernel: &KernelCounters) -> Vec<((&'static str, &'static str), u64)> {
        let mut counts = vec![(("record", "undecodable"), self.undecodable)];
        let refused = self.refused.iter().filter(|(_, count)| *count > 0);
        counts.extend(refused.map(|(kind, count)| ((*kind, "mem_limit"), *count)));
        counts.extend(
            kernel
                .lost()
                .map(|(kind, reason, count)| ((kind.name(), reason), count)),
        );
        counts
    }
}

fn of_spool(loss: &SpoolLoss) -> wire::Loss {
    wire::Loss {
        kind: "batch".into(),
        reason: loss.reason.into(),
        count: loss.batches,
        from_unix_ns: loss.from_unix_ns,
        until_unix_ns: loss.until_unix_ns,
        ..wire::Loss::default()
    }
}

#[cfg(test)]
mod tests {
    use procmon_common::kernel::Kind;

    use super::*;

    #[test]
    fn a_loss_is_told_once_and_stays_in_the_totals() {
        let spool = SpoolStats::default();
        let mut meter = LossMeter::new();
        let lost = |count| KernelCounters {
            counts: vec![(Kind::Exit, "ring_full", count), (Kind::Exec, "emitted", 9)],
        };
        let told = meter.take(&lost(3), &spool);
        assert_eq!(
            (told.len(), &*told[0].kind, &*told[0].reason, told[0].count),
            (1, "exit", "ring_full", 3)
        );
        assert!(meter.take(&lost(3), &spool).is_empty());
        assert_eq!(meter.take(&lost(5), &spool)[0].count, 2);
        meter.undecodable(DecodeError::Short(1));
        assert_eq!(meter.take(&lost(5), &spool)[0].kind, "record");
        let totals = meter.totals(&lost(5), &spool);
        assert_eq!(
            (
                totals.len(),
                totals["exit.ring_full"],
                totals["record.undecodable"]
            ),
            (2, 5, 1)
        );
    }
}
