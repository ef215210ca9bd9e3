//! Loss is data: turns the counts of what was not seen into the records that a batch carries, and into the agent's health.

use std::collections::HashMap;

use procmon_common::kernel::Counter;
use procmon_common::wire;

use crate::decode::{DecodeError, trim_comm};
use crate::enrich::clock::unix_ns;
use crate::kernel::{KernelCounters, LostBy};
use crate::spool::{SpoolLoss, SpoolStats};

/// Knows what has been told already.
pub(crate) struct LossMeter {
    told: HashMap<(&'static str, &'static str), u64>,
    undecodable: u64,
    /// Records of processes that were not added to a table that is full, by kind.
    refused: [(&'static str, u64); 4],
    /// Records in a ring of another version of procmon.
    other_abi: u64,
    since_unix_ns: i64,
}

impl LossMeter {
    /// What was lost before this run, since `since_unix_ns`, is told with its first losses.
    pub(crate) fn since(since_unix_ns: i64, other_abi: u64) -> Self {
        Self {
            told: HashMap::new(),
            undecodable: 0,
            refused: [("", 0); 4],
            other_abi,
            since_unix_ns,
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

    /// What is new since the last call. Records that found the ring full are told by command and cgroup as far as that is
    /// known; those and the rest add up to the kernel's count.
    pub(crate) fn take(
        &mut self,
        kernel: &KernelCounters,
        spool: &SpoolStats,
        mut cgroup_path: impl FnMut(u64) -> Option<String>,
    ) -> Vec<wire::Loss> {
        let (from_unix_ns, until_unix_ns) = (self.since_unix_ns, unix_ns());
        self.since_unix_ns = until_unix_ns;
        let mut losses = Vec::new();
        for (what, total) in self.counts(kernel) {
            let told = self.told.insert(what, total).unwrap_or(0);
            let count = total.saturating_sub(told);
            let loss = |count| wire::Loss {
                kind: what.0.into(),
                reason: what.1.into(),
                count,
                from_unix_ns,
                until_unix_ns,
                ..wire::Loss::default()
            };
            let mut rest = count;
            if what.1 == Counter::RingFull.name() {
                let known = kernel
                    .lost_by
                    .iter()
                    .filter(|lost| lost.kind.name() == what.0);
                for (lost, count) in share(known, &mut rest) {
                    losses.push(wire::Loss {
                        command: trim_comm(&lost.command).to_vec().into(),
                        cgroup: cgroup_path(lost.cgroup_id),
                        ..loss(count)
                    });
                }
            }
            if rest > 0 {
                losses.push(loss(rest));
            }
        }
        losses.extend(spool.take_losses().iter().map(of_spool));
        losses
    }

    fn counts(&self, kernel: &KernelCounters) -> Vec<((&'static str, &'static str), u64)> {
        let mut counts = vec![
            (("record", "undecodable"), self.undecodable),
            (("record", "other_abi"), self.other_abi),
        ];
        let refused = self.refused.iter().filter(|(_, count)| *count > 0);
        counts.extend(refused.map(|(kind, count)| ((*kind, "mem_limit"), *count)));
        counts.extend(
            kernel
                .lost()
                .map(|(kind, reason, count)| ((kind, reason), count)),
        );
        counts
    }
}

/// Takes the known parts off `rest`, the largest first. After a kill some may be counted there that were told already: then
/// there is less to share than they say.
fn share<'a>(known: impl Iterator<Item = &'a LostBy>, rest: &mut u64) -> Vec<(&'a LostBy, u64)> {
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|lost| std::cmp::Reverse(lost.count));
    let shared = known.into_iter().map(|lost| {
        let count = lost.count.min(*rest);
        *rest -= count;
        (lost, count)
    });
    shared.filter(|(_, count)| *count > 0).collect()
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
        let mut meter = LossMeter::since(0, 0);
        let lost = |count| KernelCounters {
            counts: vec![(Kind::Exit, "ring_full", count), (Kind::Exec, "emitted", 9)],
            ..KernelCounters::default()
        };
        let told = meter.take(&lost(3), &spool, |_| None);
        assert_eq!(
            (told.len(), &*told[0].kind, &*told[0].reason, told[0].count),
            (1, "exit", "ring_full", 3)
        );
        assert!(meter.take(&lost(3), &spool, |_| None).is_empty());
        assert_eq!(meter.take(&lost(5), &spool, |_| None)[0].count, 2);
        meter.undecodable(DecodeError::Short(1));
        assert_eq!(meter.take(&lost(5), &spool, |_| None)[0].kind, "record");
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

    #[test]
    fn losses_by_command_and_the_rest_are_the_kernel_s_count() {
        let spool = SpoolStats::default();
        let mut meter = LossMeter::since(0, 0);
        let lost_by = |kind, command: &[u8], count| {
            let mut comm = [0; 16];
            comm[..command.len()].copy_from_slice(command);
            LostBy {
                kind,
                command: comm,
                cgroup_id: 7,
                count,
            }
        };
        let mut lost = |total, parts: &[LostBy]| {
            let counters = KernelCounters {
                counts: vec![
                    (Kind::Exec, "ring_full", total),
                    (Kind::Exit, "ring_full", 1),
                ],
                lost_by: parts.to_vec(),
                ..KernelCounters::default()
            };
            let losses = meter.take(&counters, &spool, |id| (id == 7).then(|| "/a".into()));
            let of_exec = losses.into_iter().filter(|loss| loss.kind == "exec");
            let told = of_exec.map(|loss| {
                let is_known = !loss.command.is_empty();
                assert_eq!(loss.cgroup.as_deref(), is_known.then_some("/a"));
                (
                    String::from_utf8_lossy(&loss.command).into_owned(),
                    loss.count,
                )
            });
            told.collect::<Vec<_>>()
        };
        let parts = [
            lost_by(Kind::Exec, b"sh", 2),
            lost_by(Kind::Exec, b"true", 5),
            lost_by(Kind::Exit, b"true", 1),
        ];
        let pair = |command: &str, count| (command.to_owned(), count);
        assert_eq!(
            lost(10, &parts),
            [pair("true", 5), pair("sh", 2), pair("", 3)]
        );
        assert_eq!(lost(10, &[]), [], "told");
        assert_eq!(
            lost(13, &parts),
            [pair("true", 3)],
            "never more than there are"
        );
    }
}
