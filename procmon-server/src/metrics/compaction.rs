//! Metrics of compaction: what it wrote, what it cost, and what it could not read.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use crate::compaction::CompactionStats;

const LEVELS: [&str; 2] = ["1", "2"];

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(super) fn encode(
    stats: &CompactionStats,
    encoder: &mut DescriptorEncoder<'_>,
) -> std::fmt::Result {
    let count = |counters: &[AtomicU64; 2]| [load(&counters[0]), load(&counters[1])];
    for (name, help, unit, values) in [
        (
            "compaction_segments",
            "Segments written, one per agent, by level.",
            None,
            count(&stats.segments),
        ),
        (
            "compaction_written",
            "Bytes of the segments written, by level.",
            Some(&Unit::Bytes),
            count(&stats.bytes),
        ),
    ] {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        for (level, value) in LEVELS.into_iter().zip(values) {
            ConstCounter::new(value).encode(metric.encode_family(&[("level", level)])?)?;
        }
    }
    let mut metric = encoder.encode_descriptor(
        "compaction",
        "Time spent on compaction, by level.",
        Some(&Unit::Seconds),
        ConstCounter::new(0_u64).metric_type(),
    )?;
    for (level, nanos) in LEVELS.into_iter().zip(count(&stats.nanos)) {
        let seconds = ConstCounter::new(nanos as f64 / 1e9);
        seconds.encode(metric.encode_family(&[("level", level)])?)?;
    }
    troubles(stats, encoder)
}

fn troubles(stats: &CompactionStats, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    for (name, help, value) in [
        (
            "compaction_failures",
            "Slices or hours that could not be compacted; they are tried again.",
            &stats.failures,
        ),
        (
            "compaction_unreadable_batches",
            "Stored batches that compaction could not read and left out.",
            &stats.unreadable_batches,
        ),
        (
            "compaction_unreadable_segments",
            "Segments that compaction could not read and left out.",
            &stats.unreadable_segments,
        ),
    ] {
        let counter = ConstCounter::new(load(value));
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
    }
    Ok(())
}
