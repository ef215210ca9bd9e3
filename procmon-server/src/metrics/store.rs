//! Metrics of the store beyond its commits: what it has, what it dropped, and how far compaction is behind.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families as of;
use super::state::{Encoded, counted, gauge};
use crate::store::Store;

pub(super) fn encode(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    contents(store, encoder)?;
    sizes(store, encoder)?;
    expired(store, encoder)?;
    published(store, encoder)
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn contents(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let contents = store.contents();
    for (family, count) in [
        (&of::STORE_SLICES, contents.slices),
        (&of::STORE_SLICES_WAITING, contents.closed_slices),
        (&of::STORE_PARTS_LEAVING, contents.leaving),
    ] {
        gauge(encoder, family, &(count as u64))?;
    }
    of::STORE_SEGMENTS.encode(encoder, |metric| {
        for (level, count) in contents.segments {
            let level = level.to_string();
            let labels = [("level", &*level)];
            ConstGauge::new(count as u64).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    })
}

fn sizes(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let stats = store.stats();
    of::STORE_SIZE.encode(encoder, |metric| {
        for (kind, bytes) in [
            ("log", &stats.log_bytes),
            ("samples", &stats.sample_bytes),
            ("events", &stats.event_bytes),
        ] {
            ConstGauge::new(load(bytes)).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    })
}

fn expired(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let stats = store.stats();
    of::STORE_PARTS_DROPPED.encode(encoder, |metric| {
        for (kind, count) in [
            ("slice", &stats.expired_slices),
            ("segments", &stats.expired_segments),
            ("samples", &stats.expired_samples),
        ] {
            ConstCounter::new(load(count)).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    })
}

fn published(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let stats = store.stats();
    let count = load(&stats.published);
    of::STORE_SEGMENTS_PUBLISHED.encode(encoder, |metric| counted(metric, &count))?;
    let seconds = load(&stats.publish_nanos) as f64 / 1e9;
    of::STORE_SEGMENTS_PUBLISH.encode(encoder, |metric| counted(metric, &seconds))
}
