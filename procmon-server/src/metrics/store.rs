//! Metrics of the store beyond its commits: what it has, what it dropped, and how far compaction is behind.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::store::Store;

pub(super) fn encode(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    contents(store, encoder)?;
    sizes(store, encoder)?;
    expired(store, encoder)?;
    published(store, encoder)
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn contents(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let contents = store.contents();
    for (name, help, count) in [
        (
            "store_slices",
            "Slices of the log that are not compacted.",
            contents.slices,
        ),
        (
            "store_slices_waiting",
            "Complete slices of the log that wait to be compacted.",
            contents.closed_slices,
        ),
        (
            "store_parts_leaving",
            "Slices and segments that are no longer shown, and wait for their last reader.",
            contents.leaving,
        ),
    ] {
        let gauge = ConstGauge::new(count as u64);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    let mut metric = encoder.encode_descriptor(
        "store_segments",
        "Stretches of time that are compacted, by level: 1 is one slice, 2 an hour.",
        None,
        ConstGauge::new(0_u64).metric_type(),
    )?;
    for (level, count) in contents.segments {
        let level = level.to_string();
        let labels = [("level", &*level)];
        ConstGauge::new(count as u64).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn sizes(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let stats = store.stats();
    let mut metric = encoder.encode_descriptor(
        "store_size",
        "What the store takes on the disk or in the database, measured every minute.",
        Some(&Unit::Bytes),
        ConstGauge::new(0_u64).metric_type(),
    )?;
    for (kind, bytes) in [
        ("log", &stats.log_bytes),
        ("samples", &stats.sample_bytes),
        ("events", &stats.event_bytes),
    ] {
        ConstGauge::new(load(bytes)).encode(metric.encode_family(&[("kind", kind)])?)?;
    }
    Ok(())
}

fn expired(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let stats = store.stats();
    let mut metric = encoder.encode_descriptor(
        "store_parts_dropped",
        "Parts of the store that were dropped because they were too old or too much.",
        None,
        ConstCounter::new(0_u64).metric_type(),
    )?;
    for (kind, count) in [
        ("slice", &stats.expired_slices),
        ("segments", &stats.expired_segments),
        ("samples", &stats.expired_samples),
    ] {
        ConstCounter::new(load(count)).encode(metric.encode_family(&[("kind", kind)])?)?;
    }
    Ok(())
}

fn published(store: &Store, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let stats = store.stats();
    let published = ConstCounter::new(load(&stats.published));
    published.encode(encoder.encode_descriptor(
        "store_segments_published",
        "Stretches of time that were compacted.",
        None,
        published.metric_type(),
    )?)?;
    let seconds = ConstCounter::new(load(&stats.publish_nanos) as f64 / 1e9);
    seconds.encode(encoder.encode_descriptor(
        "store_segments_publish",
        "Time that making segments durable and visible took.",
        Some(&Unit::Seconds),
        seconds.metric_type(),
    )?)
}
