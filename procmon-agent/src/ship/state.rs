//! How shipping goes: for the batch builder, the agent's health, and the log.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state of the way to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    #[default]
    Connecting,
    Connected,
    /// The text says why.
    Unreachable(String),
    /// The server answers and will not take anything until an operator acts. The text says why, and the fix.
    Held(String),
}

/// Shared with the rest of the agent. Times are of the host's clock.
#[derive(Debug, Default)]
pub struct ShipState {
    resync: Arc<AtomicBool>,
    shipped_batches: AtomicU64,
    shipped_bytes: AtomicU64,
    retries: AtomicU64,
    quarantined: AtomicU64,
    latency_us: AtomicU64,
    clock_offset_ms: AtomicI64,
    last_success_unix_ms: AtomicI64,
    link: Mutex<Link>,
}

impl ShipState {
    /// Set when the server needs a key batch. Whoever builds the next one swaps it for false.
    pub fn resync(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.resync)
    }

    pub fn link(&self) -> Link {
        self.link_guard().clone()
    }

    /// Why nothing is delivered although the server answers, with the fix.
    pub fn held_reason(&self) -> Option<String> {
        match &*self.link_guard() {
            Link::Held(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    pub fn shipped_batches(&self) -> u64 {
        self.shipped_batches.load(Ordering::Relaxed)
    }

    pub fn shipped_bytes(&self) -> u64 {
        self.shipped_bytes.load(Ordering::Relaxed)
    }

    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Of the last batch stored, from request to answer.
    pub fn latency(&self) -> Option<Duration> {
        self.last_success_unix_ms()
            .map(|_| Duration::from_micros(self.latency_us.load(Ordering::Relaxed)))
    }

    /// The server's clock minus the host's, give or take half of the latency.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.last_success_unix_ms()
            .map(|_| self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// When the server last stored a batch.
    pub fn last_success_unix_ms(&self) -> Option<i64> {
        match self.last_success_unix_ms.load(Ordering::Relaxed) {
            0 => None,
            time => Some(time),
        }
    }
}

impl ShipState {
    pub(super) fn ask_resync(&self) {
        self.resync.store(true, Ordering::Relaxed);
    }

    pub(super) fn count_shipped(&self, bytes: usize, latency: Duration, offset_ms: i64) {
        self.shipped_batches.fetch_add(1, Ordering::Relaxed);
        self.shipped_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        self.latency_us
            .store(latency.as_micros() as u64, Ordering::Relaxed);
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
        self.last_success_unix_ms
            .store(unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many there are now.
    pub(super) fn count_quarantined(&self) -> u64 {
        self.quarantined.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes the state of the link, and logs it when it is another than before.
    pub(super) fn enter(&self, link: &Link, server_url: &str, pending: u64) {
        let before = std::mem::replace(&mut *self.link_guard(), link.clone());
        match (&before, link) {
            (Link::Connected, Link::Connected)
            | (Link::Unreachable(_), Link::Unreachable(_))
            | (_, Link::Connecting) => {}
            (Link::Held(before), Link::Held(now)) if before == now => {}
            (_, Link::Connected) if pending > 1 => {
                tracing::info!(
                    "connected to {server_url}; {pending} batches from the spool follow"
                );
            }
            (_, Link::Connected) => tracing::info!("connected to {server_url}"),
            (Link::Connected, Link::Unreachable(reason)) => tracing::warn!(
                "lost the server {server_url}: {reason}. Everything seen is kept in the spool until it is back"
            ),
            (_, Link::Unreachable(reason)) => tracing::warn!(
                "cannot reach the server {server_url}: {reason}. Everything seen is kept in the spool until it answers"
            ),
            (_, Link::Held(reason)) => tracing::error!(
                "the server {server_url} takes nothing from this agent: {reason}. Everything seen is kept in the spool"
            ),
        }
    }

    fn link_guard(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host's clock; 1 at its zero, which no working clock shows.
pub(super) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |age| age.as_millis() as i64)
}
