//! What a capture is started with.

use std::time::Duration;

use anyhow::Result;
use procmon_common::kernel::Settings;

use super::btf::Btf;
use super::offsets::resolve;
use super::pin::PinFolder;
use super::place::RingMark;
use super::programs::Frozen;

/// A pinned ring holds what happens while no agent runs, and what was read and is not on disk yet: about 6 000 lives.
const PINNED_RING_FACTOR: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    pub io_slow_threshold: Duration,
    /// A power of two and a multiple of the page size. Pinned rings have four times as much.
    pub ring_bytes: u32,
    pub wakeup_bytes: u64,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            io_slow_threshold: Duration::from_millis(100),
            ring_bytes: 1 << 20,
            wakeup_bytes: 64 << 10,
        }
    }
}

/// What connects this run with the one before and the one after.
#[derive(Debug)]
pub struct Continuity {
    pub folder: PinFolder,
    /// Whether to pin; else what is pinned is only taken over and removed.
    pub pin: bool,
    /// How far the run before has read and spooled.
    pub marks: Vec<RingMark>,
}

impl CaptureOptions {
    /// The constants of the programs, on this kernel.
    pub(super) fn freeze(self, is_pinned: bool) -> Result<Frozen> {
        // Pinned, what is read and not given back would call for the reader all the time.
        let (wakeup_bytes, ring_bytes) = if is_pinned {
            (u64::MAX, self.ring_bytes * PINNED_RING_FACTOR)
        } else {
            (self.wakeup_bytes, self.ring_bytes)
        };
        Ok(Frozen {
            offsets: resolve(&Btf::of_this_kernel()?)?,
            settings: Settings {
                io_slow_threshold_ns: self.io_slow_threshold.as_nanos() as u64,
                wakeup_bytes,
            },
            ring_bytes,
        })
    }
}
