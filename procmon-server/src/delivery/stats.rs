//! What is counted of deliveries, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::channel::ChannelKind;

/// Totals since start, and what was last measured.
#[derive(Debug, Default)]
pub struct DeliveryStats {
    kinds: [OfKind; 3],
    pub dead: AtomicU64,
    pub overflowed: AtomicU64,
    pub disabled: AtomicU64,
    pub lost_events: AtomicU64,
    pub store_failures: AtomicU64,
    pub waiting: AtomicU64,
    pub channels: AtomicU64,
}

/// Of the channels of one kind.
#[derive(Debug, Default)]
pub struct OfKind {
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    pub latency_ms: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl DeliveryStats {
    pub fn of(&self, kind: ChannelKind) -> &OfKind {
        match kind {
            ChannelKind::Webhook => &self.kinds[0],
            ChannelKind::Slack => &self.kinds[1],
            ChannelKind::Alertmanager => &self.kinds[2],
        }
    }

    pub(super) fn attempted(&self, kind: ChannelKind, delivered: bool, latency_ms: i64) {
        let of = self.of(kind);
        add(if delivered { &of.delivered } else { &of.failed }, 1);
        add(&of.latency_ms, latency_ms.max(0) as u64);
    }
}
