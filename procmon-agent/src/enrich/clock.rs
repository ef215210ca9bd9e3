//! The kernel stamps records with the time since boot; the wire carries Unix time.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, as `bpf_ktime_get_boot_ns`.
pub fn boot_ns() -> u64 {
    nanoseconds(ClockId::Boottime) as u64
}

/// What the time since boot is ahead of `CLOCK_MONOTONIC`, which stands still while the host sleeps.
pub fn suspended_ns() -> u64 {
    boot_ns().saturating_sub(nanoseconds(ClockId::Monotonic) as u64)
}

/// Nanoseconds since the Unix epoch.
pub fn unix_ns() -> i64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Translates times since boot to Unix time. Follows steps of the wall clock when it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    offset_ns: i64,
}

impl BootClock {
    pub fn now() -> Self {
        Self {
            offset_ns: unix_ns() - boot_ns() as i64,
        }
    }

    pub fn unix_ns(self, boot_ns: u64) -> i64 {
        self.offset_ns.saturating_add(boot_ns as i64)
    }
}
