//! Histograms of block requests in terms of the wire: devices by name, issuers by their handles.

use procmon_common::ids::start_ticks;
use procmon_common::kernel::{Latency, LatencyKey, LatencyScope};
use procmon_common::wire;

use super::Table;
use super::process::Life;
use super::records::operation;

impl Table {
    pub fn block_latency(&mut self, added: &[(LatencyKey, Latency)]) -> Vec<wire::BlockLatency> {
        added
            .iter()
            .map(|(key, latency)| self.histogram(key, latency))
            .collect()
    }

    fn histogram(&mut self, key: &LatencyKey, latency: &Latency) -> wire::BlockLatency {
        let used = latency.buckets.iter().rposition(|count| *count > 0);
        let mut histogram = wire::BlockLatency {
            operation: operation(key.operation).into(),
            buckets: latency.buckets[..used.map_or(0, |last| last + 1)].to_vec(),
            bytes: latency.bytes,
            latency_sum_ns: latency.sum_ns,
            ..wire::BlockLatency::default()
        };
        if key.scope == LatencyScope::Device as u32 {
            let (major, minor) = ((key.id >> 32) as u32, key.id as u32);
            histogram.device = Some(wire::BlockDevice {
                major,
                minor,
                name: self.devices.name(major, minor),
            });
        } else if key.scope == LatencyScope::Writeback as u32 {
            histogram.writeback = Some(true);
        } else {
            let life = Life {
                pid: key.id as u32,
                start_ticks: start_ticks(key.start_boot_ns),
            };
            let issuer = self.live.get(&life.pid);
            let issuer = issuer.filter(|process| process.life == life);
            histogram.issuer = Some(issuer.map_or(0, |process| process.handle));
        }
        histogram
    }
}
