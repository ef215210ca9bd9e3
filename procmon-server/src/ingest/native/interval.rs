//! What completed and ended between two samples, from the wire.

use procmon_common::wire;

use super::text::{NAME_BYTES, PATH_BYTES, clip, cut};
use crate::batch::{BUCKETS, BlockLatency, BlockSource, Histogram, Operation, ShortLived};

/// Groups and histograms of one frame; the agent sends far fewer.
const MAX_GROUPS: usize = 4096;
const MAX_HISTOGRAMS: usize = 4096;

pub(in crate::ingest) fn short_lived(groups: &[wire::ShortLived]) -> Vec<ShortLived> {
    let group = |group: &wire::ShortLived| ShortLived {
        name: (!group.rest).then(|| clip(&group.name, NAME_BYTES).into()),
        uid: (!group.rest).then_some(group.uid),
        username: group.username.as_deref().map(|text| cut(text, NAME_BYTES)),
        cgroup: group.cgroup.as_deref().map(|text| cut(text, PATH_BYTES)),
        container_id: group
            .container_id
            .as_deref()
            .map(|text| cut(text, NAME_BYTES)),
        lives: group.lives,
        cpu_time_ns: group.cpu_time_ns,
        read_bytes: group.read_bytes,
        write_bytes: group.write_bytes,
        minor_faults: group.minor_faults,
        major_faults: group.major_faults,
    };
    groups.iter().take(MAX_GROUPS).map(group).collect()
}

/// Those that name a device, an issuer or writeback; a histogram of something newer is left out.
pub(in crate::ingest) fn block_latency(
    histograms: &[wire::BlockLatency],
) -> impl Iterator<Item = BlockLatency> {
    histograms
        .iter()
        .take(MAX_HISTOGRAMS)
        .filter_map(|latency| {
            let of = match (&latency.device, latency.issuer) {
                (Some(device), _) => BlockSource::Device {
                    major: device.major,
                    minor: device.minor,
                    name: cut(&device.name, NAME_BYTES),
                },
                (None, Some(handle)) => BlockSource::Issuer(handle),
                (None, None) if latency.writeback == Some(true) => BlockSource::Writeback,
                (None, None) => return None,
            };
            Some(BlockLatency {
                of,
                operation: Operation::from_number(u64::try_from(latency.operation).unwrap_or(0)),
                histogram: histogram(latency),
            })
        })
}

/// What is beyond the last bucket is in the last bucket.
fn histogram(latency: &wire::BlockLatency) -> Histogram {
    let mut histogram = Histogram {
        bytes: latency.bytes,
        latency_sum_ns: latency.latency_sum_ns,
        ..Histogram::default()
    };
    for (index, count) in latency.buckets.iter().enumerate() {
        histogram.buckets[index.min(BUCKETS - 1)] += u64::from(*count);
    }
    histogram
}
