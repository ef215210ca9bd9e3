//! Metrics of what channels are told.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

use super::families as of;
use super::state::{Encoded, counted, gauge};
use crate::delivery::DeliveryStats;
use crate::delivery::channel::ChannelKind;

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(super) fn encode(stats: &DeliveryStats, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    gauge(encoder, &of::CHANNELS, &load(&stats.channels))?;
    gauge(encoder, &of::DELIVERIES_WAITING, &load(&stats.waiting))?;
    attempts(stats, encoder)?;
    of::DELIVERIES_DEAD.encode(encoder, |metric| {
        for (reason, count) in [("attempts", &stats.dead), ("overflow", &stats.overflowed)] {
            let labels = [("reason", reason)];
            ConstCounter::new(load(count)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    })?;
    for (family, count) in [
        (&of::CHANNELS_DISABLED, &stats.disabled),
        (&of::SUBSCRIPTION_GAPS, &stats.lost_events),
        (&of::DELIVERY_STORE_FAILURES, &stats.store_failures),
    ] {
        family.encode(encoder, |metric| counted(metric, &load(count)))?;
    }
    Ok(())
}

fn attempts(stats: &DeliveryStats, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    of::DELIVERY_ATTEMPTS.encode(encoder, |metric| {
        for kind in ChannelKind::ALL {
            let of_kind = stats.of(kind);
            for (result, count) in [
                ("delivered", &of_kind.delivered),
                ("failed", &of_kind.failed),
            ] {
                let labels = [("kind", kind.name()), ("result", result)];
                ConstCounter::new(load(count)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    })?;
    of::DELIVERY_LATENCY.encode(encoder, |metric| {
        for kind in ChannelKind::ALL {
            let seconds = load(&stats.of(kind).latency_ms) as f64 / 1e3;
            let labels = [("kind", kind.name())];
            ConstCounter::new(seconds).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    })
}
