//! Latencies of a host's block requests, added up since its agent (or this server) started.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use procmon_common::ids::ProcessId;

use crate::batch::{BlockLatency, BlockSource, Histogram, Life, Operation};

/// Devices of one host. More of them, which no host has, are added to one without a name.
const MAX_DEVICES: usize = 64;
/// Processes are kept up to this number, then the half that waited longest; what the others had is in `others`.
const MAX_ISSUERS: usize = 400;

/// By operation.
pub type Histograms = BTreeMap<Operation, Histogram>;

#[derive(Clone, Debug, Default)]
pub struct BlockLatencies {
    /// By name, or major:minor.
    pub devices: BTreeMap<Box<str>, Histograms>,
    pub issuers: HashMap<ProcessId, Issuer, foldhash::quality::RandomState>,
    /// Kernel workers on behalf of others.
    pub writeback: Histograms,
    /// Issuers that are not kept, or not known.
    pub others: Histograms,
}

#[derive(Clone, Debug, Default)]
pub struct Issuer {
    pub name: Option<Box<[u8]>>,
    pub histograms: Histograms,
}

impl Issuer {
    pub fn latency_sum_ns(&self) -> u64 {
        let sums = self
            .histograms
            .values()
            .map(|histogram| histogram.latency_sum_ns);
        sums.fold(0, u64::saturating_add)
    }
}

impl BlockLatencies {
    /// `issuer`: the life that the handle of an issuer names.
    pub(super) fn add(&mut self, latency: &BlockLatency, issuer: Option<&Life>) {
        let histograms = match &latency.of {
            BlockSource::Device { major, minor, name } => self.device(*major, *minor, name),
            BlockSource::Writeback => &mut self.writeback,
            BlockSource::Issuer(_) => match issuer.and_then(|life| Some((life.id?, life))) {
                Some((id, life)) => self.issuer(id, life),
                None => &mut self.others,
            },
        };
        let histogram = histograms.entry(latency.operation).or_default();
        histogram.add(&latency.histogram);
    }

    fn device(&mut self, major: u32, minor: u32, name: &str) -> &mut Histograms {
        let mut key: Box<str> = name.into();
        if key.is_empty() {
            key = format!("{major}:{minor}").into();
        }
        if self.devices.len() >= MAX_DEVICES && !self.devices.contains_key(&key) {
            key = "other".into();
        }
        self.devices.entry(key).or_default()
    }

    fn issuer(&mut self, id: ProcessId, life: &Life) -> &mut Histograms {
        if self.issuers.len() >= MAX_ISSUERS && !self.issuers.contains_key(&id) {
            self.forget_half();
        }
        let issuer = self.issuers.entry(id).or_default();
        issuer.name = life.name().map(Box::from);
        &mut issuer.histograms
    }

    fn forget_half(&mut self) {
        let mut issuers: Vec<(ProcessId, Issuer)> = self.issuers.drain().collect();
        issuers.sort_unstable_by_key(|(id, issuer)| (Reverse(issuer.latency_sum_ns()), id.pid));
        for (_, issuer) in issuers.drain(MAX_ISSUERS / 2..) {
            for (operation, histogram) in issuer.histograms {
                self.others.entry(operation).or_default().add(&histogram);
            }
        }
        self.issuers.extend(issuers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(of: BlockSource, count: u64) -> BlockLatency {
        let mut histogram = Histogram {
            latency_sum_ns: count * 1000,
            ..Histogram::default()
        };
        histogram.buckets[1] = count;
        BlockLatency {
            of,
            operation: Operation::Read,
            histogram,
        }
    }

    fn requests(histograms: &Histograms) -> u64 {
        histograms.values().map(Histogram::requests).sum()
    }

    #[test]
    fn nothing_is_lost_when_there_are_too_many() {
        let mut all = BlockLatencies::default();
        let count = MAX_ISSUERS as u32 + 50;
        for pid in 1..=count {
            let life = Life {
                id: Some(ProcessId::upload(pid, 1)),
                ..Life::default()
            };
            all.add(
                &latency(BlockSource::Issuer(pid), u64::from(pid)),
                Some(&life),
            );
            let (name, minor) = (Box::default(), pid);
            all.add(
                &latency(
                    BlockSource::Device {
                        major: 8,
                        minor,
                        name,
                    },
                    1,
                ),
                None,
            );
        }
        assert!(all.issuers.len() <= MAX_ISSUERS);
        assert!(
            all.issuers
                .contains_key(&ProcessId::upload(MAX_ISSUERS as u32, 1)),
            "those that waited longest stay"
        );
        let kept: u64 = all
            .issuers
            .values()
            .map(|issuer| requests(&issuer.histograms))
            .sum();
        let sent = u64::from(count) * (u64::from(count) + 1) / 2;
        assert_eq!(kept + requests(&all.others), sent);
        assert_eq!(all.devices.len(), MAX_DEVICES + 1);
        assert_eq!(
            all.devices.values().map(requests).sum::<u64>(),
            u64::from(count)
        );
    }
}
