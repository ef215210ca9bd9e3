//! What happened between the samples of a host, as the API shows it: latencies of block requests, and short lives.

use std::cmp::Reverse;

use serde::Serialize;
use utoipa::ToSchema;

use crate::batch::{BUCKETS, Histogram, ShortLived, lossy};
use crate::clock::rfc3339_ns;
use crate::live::{Histograms, Host};

/// Issuers listed, those that waited longest.
const TOP_ISSUERS: usize = 50;

/// Latencies of block requests from issue to completion, since the agent started (or this server, when that was later).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlockLatency)]
pub struct BlockLatencyBody {
    pub agent_id: String,
    /// By device and operation, requests of all issuers.
    pub devices: Vec<BlockLatencyRow>,
    /// By process and operation, the 50 processes that waited longest; then `other`: all others.
    pub issuers: Vec<BlockLatencyRow>,
    /// By operation: kernel workers on behalf of others.
    pub writeback: Vec<BlockLatencyRow>,
}

/// One histogram.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockLatencyRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// read, write, flush, discard or other.
    #[schema(value_type = String)]
    pub op: &'static str,
    pub requests: u64,
    pub bytes: u64,
    pub latency_sum_seconds: f64,
    /// Cumulative; the last one has no bound.
    pub buckets: Vec<LatencyBucket>,
}

/// Requests that took less than `le` seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyBucket {
    /// Null: any time.
    pub le: Option<f64>,
    pub count: u64,
}

/// What no sample shows of lives that ended between the two newest ones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShortLivedList)]
pub struct ShortLivedListBody {
    pub agent_id: String,
    /// Time of the newer sample.
    pub at: Option<String>,
    /// By CPU time, most first.
    pub groups: Vec<ShortLivedBody>,
}

/// Lives of one command, user and cgroup. All of these are null for the rest that did not fit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShortLived)]
pub struct ShortLivedBody {
    pub name: Option<String>,
    pub username: Option<String>,
    pub uid: Option<u32>,
    pub cgroup: Option<String>,
    pub container_id: Option<String>,
    /// Those that no sample saw at all; the figures are of the others too, after their last sample.
    pub lives: u32,
    pub cpu_time_ms: f64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

impl BlockLatencyBody {
    pub fn new(host: &Host) -> Self {
        let latencies = &host.block_latencies;
        let mut devices = Vec::new();
        for (device, histograms) in &latencies.devices {
            rows(histograms, &mut devices, |row| {
                row.device = Some(device.to_string());
            });
        }
        let mut sorted: Vec<_> = latencies.issuers.iter().collect();
        sorted.sort_unstable_by_key(|(id, issuer)| (Reverse(issuer.latency_sum_ns()), id.pid));
        let mut issuers = Vec::new();
        let mut others = latencies.others.clone();
        for (index, (id, issuer)) in sorted.into_iter().enumerate() {
            if index >= TOP_ISSUERS {
                for (operation, histogram) in &issuer.histograms {
                    others.entry(*operation).or_default().add(histogram);
                }
                continue;
            }
            rows(&issuer.histograms, &mut issuers, |row| {
                row.process_id = Some(id.to_string());
                row.pid = Some(id.pid);
                row.name = issuer.name.as_deref().map(lossy);
            });
        }
        rows(&others, &mut issuers, |row| {
            row.name = Some("other".to_owned());
        });
        let mut writeback = Vec::new();
        rows(&latencies.writeback, &mut writeback, |_| {});
        Self {
            agent_id: host.agent_id.to_string(),
            devices,
            issuers,
            writeback,
        }
    }
}

fn rows(
    histograms: &Histograms,
    out: &mut Vec<BlockLatencyRow>,
    mut name: impl FnMut(&mut BlockLatencyRow),
) {
    for (operation, histogram) in histograms {
        let mut row = BlockLatencyRow {
            device: None,
            process_id: None,
            pid: None,
            name: None,
            op: operation.name(),
            requests: histogram.requests(),
            bytes: histogram.bytes,
            latency_sum_seconds: histogram.latency_sum_ns as f64 / 1e9,
            buckets: buckets(histogram),
        };
        name(&mut row);
        out.push(row);
    }
}

/// Buckets beyond the slowest request are left out.
fn buckets(histogram: &Histogram) -> Vec<LatencyBucket> {
    let used = histogram.buckets[..BUCKETS - 1]
        .iter()
        .rposition(|count| *count > 0)
        .map_or(0, |last| last + 1);
    let mut count = 0;
    let mut buckets = Vec::with_capacity(used + 1);
    for (index, more) in histogram.buckets[..used].iter().enumerate() {
        count += more;
        let le = Some((1_u64 << index) as f64 / 1e6);
        buckets.push(LatencyBucket { le, count });
    }
    buckets.push(LatencyBucket {
        le: None,
        count: histogram.requests(),
    });
    buckets
}

impl ShortLivedListBody {
    pub fn new(host: &Host) -> Self {
        let mut groups: Vec<&ShortLived> = host.short_lived.iter().collect();
        groups.sort_by_key(|group| Reverse(group.cpu_time_ns));
        Self {
            agent_id: host.agent_id.to_string(),
            at: host.sampled_ns.map(rfc3339_ns),
            groups: groups.into_iter().map(ShortLivedBody::new).collect(),
        }
    }
}

impl ShortLivedBody {
    fn new(group: &ShortLived) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            name: group.name.as_deref().map(lossy),
            username: text(&group.username),
            uid: group.uid,
            cgroup: text(&group.cgroup),
            container_id: text(&group.container_id),
            lives: group.lives,
            cpu_time_ms: group.cpu_time_ns as f64 / 1e6,
            read_bytes: group.read_bytes,
            write_bytes: group.write_bytes,
            minor_faults: group.minor_faults,
            major_faults: group.major_faults,
        }
    }
}
