//! Metrics of compaction: what it wrote, what it cost, and what it could not read.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

use super::families as of;
use super::state::{Encoded, counted};
use crate::compaction::CompactionStats;

const LEVELS: [&str; 2] = ["1", "2"];

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(super) fn encode(stats: &CompactionStats, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    for (family, counters) in [
        (&of::COMPACTION_SEGMENTS, &stats.segments),
        (&of::COMPACTION_WRITTEN, &stats.bytes),
    ] {
        family.encode(encoder, |metric| {
            for (level, counter) in LEVELS.into_iter().zip(counters) {
                let counter = ConstCounter::new(load(counter));
                counter.encode(metric.encode_family(&[("level", level)])?)?;
            }
            Ok(())
        })?;
    }
    of::COMPACTION.encode(encoder, |metric| {
        for (level, nanos) in LEVELS.into_iter().zip(&stats.nanos) {
            let seconds = ConstCounter::new(load(nanos) as f64 / 1e9);
            seconds.encode(metric.encode_family(&[("level", level)])?)?;
        }
        Ok(())
    })?;
    for (family, value) in [
        (&of::COMPACTION_FAILURES, &stats.failures),
        (
            &of::COMPACTION_UNREADABLE_BATCHES,
            &stats.unreadable_batches,
        ),
        (
            &of::COMPACTION_UNREADABLE_SEGMENTS,
            &stats.unreadable_segments,
        ),
    ] {
        family.encode(encoder, |metric| counted(metric, &load(value)))?;
    }
    Ok(())
}
