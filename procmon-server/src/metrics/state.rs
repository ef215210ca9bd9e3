//! Metrics that are read from the state when asked.

use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::app::App;
use crate::batch::{BUCKETS, Histogram};
use crate::live::AgentStatus;

#[derive(Debug)]
pub(super) struct StateCollector(pub(super) App);

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.agents(&mut encoder)?;
        self.processes(&mut encoder)?;
        self.lives(&mut encoder)?;
        self.drops(&mut encoder)?;
        self.block_latency(&mut encoder)?;
        self.store(&mut encoder)?;
        super::store::encode(&self.0.store, &mut encoder)?;
        super::compaction::encode(&self.0.compaction, &mut encoder)?;
        gauge(
            &mut encoder,
            "open_streams",
            "Clients that follow events or processes.",
            self.0.open_streams() as u64,
        )
    }
}

impl StateCollector {
    fn agents(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now_ms = self.0.clock.now_ms();
        let hosts = self.0.live.hosts(None);
        let live = hosts
            .iter()
            .filter(|entry| entry.read().agent.status(now_ms) == AgentStatus::Live)
            .count();
        let mut metric = encoder.encode_descriptor(
            "agents",
            "Agents that have reported, by status.",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for (status, count) in [("live", live), ("stale", hosts.len() - live)] {
            ConstGauge::new(count as u64).encode(metric.encode_family(&[("status", status)])?)?;
        }
        Ok(())
    }

    fn processes(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now_ms = self.0.clock.now_ms();
        let mut metric = encoder.encode_descriptor(
            "processes",
            "Processes by host and state letter.",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for entry in self.0.live.hosts(None) {
            let host = entry.read();
            let mut states = std::collections::BTreeMap::<&str, u64>::new();
            for view in host.views(now_ms) {
                *states.entry(state_label(view.status())).or_default() += 1;
            }
            for (state, count) in states {
                let labels = [("agent_id", &*host.agent_id), ("state", state)];
                ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn lives(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        for (name, help, is_start) in [
            (
                "process_starts",
                "Processes that started, since the server did.",
                true,
            ),
            (
                "process_exits",
                "Processes that ended, since the server started.",
                false,
            ),
        ] {
            let counter = ConstCounter::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, counter)?;
            for entry in self.0.live.hosts(None) {
                let host = entry.read();
                let count = if is_start { host.starts } else { host.exits };
                let labels = [("agent_id", &*host.agent_id)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn drops(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let counter = ConstCounter::new(0_u64).metric_type();
        let mut metric = encoder.encode_descriptor(
            "agent_drops",
            "What an agent could not see or keep, since it started.",
            None,
            counter,
        )?;
        for entry in self.0.live.hosts(None) {
            let host = entry.read();
            for (key, count) in &host.agent.health.drops {
                let (kind, reason) = key.split_once('.').unwrap_or((key, "unknown"));
                let labels = [
                    ("agent_id", &*host.agent_id),
                    ("kind", kind),
                    ("reason", reason),
                ];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Every second bucket: a power of four of microseconds.
    fn block_latency(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "block_latency",
            "From the issue of a block request to its completion, since the agent or this server started.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for entry in self.0.live.hosts(None) {
            let host = entry.read();
            for (device, histograms) in &host.block_latencies.devices {
                for (operation, histogram) in histograms {
                    let labels = [
                        ("agent_id", &*host.agent_id),
                        ("device", &**device),
                        ("op", operation.name()),
                    ];
                    metric
                        .encode_family(&labels)?
                        .encode_histogram::<NoLabelSet>(
                            histogram.latency_sum_ns as f64 / 1e9,
                            histogram.requests(),
                            &exported(histogram),
                            None,
                        )?;
                }
            }
        }
        Ok(())
    }

    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let stats = self.0.store.stats();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, value) in [
            (
                "store_commits",
                "Transactions of the log.",
                load(&stats.commits),
            ),
            ("store_batches", "Batches stored.", load(&stats.batches)),
            (
                "store_failures",
                "Transactions that failed.",
                load(&stats.failures),
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let bytes = ConstCounter::new(load(&stats.bytes));
        bytes.encode(encoder.encode_descriptor(
            "store_written",
            "Bytes of batches stored.",
            Some(&Unit::Bytes),
            bytes.metric_type(),
        )?)?;
        let seconds = ConstCounter::new(load(&stats.commit_nanos) as f64 / 1e9);
        seconds.encode(encoder.encode_descriptor(
            "store_commit",
            "Time spent in transactions of the log.",
            Some(&Unit::Seconds),
            seconds.metric_type(),
        )?)?;
        gauge(
            encoder,
            "store_queue_length",
            "Batches that wait to be stored.",
            self.0.store.queue_depth() as u64,
        )
    }
}

/// Upper bounds in seconds, and what lies between each and the one before.
fn exported(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(BUCKETS / 2 + 1);
    let mut count = 0;
    for (index, more) in histogram.buckets[..BUCKETS - 1].iter().enumerate() {
        count += more;
        if index.is_multiple_of(2) {
            buckets.push(((1_u64 << index) as f64 / 1e6, std::mem::take(&mut count)));
        }
    }
    buckets.push((f64::INFINITY, count + histogram.buckets[BUCKETS - 1]));
    buckets
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> std::fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// A closed set, whatever an agent sends.
fn state_label(status: Option<char>) -> &'static str {
    match status {
        Some('R') => "R",
        Some('S') => "S",
        Some('D') => "D",
        Some('Z') => "Z",
        Some('T' | 't') => "T",
        Some('I') => "I",
        Some(_) => "other",
        None => "unknown",
    }
}
