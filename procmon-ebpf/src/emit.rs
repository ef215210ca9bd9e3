//! The way into the ring: batched wake-ups, and a count for each record that is written or lost.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use procmon_common::kernel::{Counter, Kind};

use crate::maps::{COUNTERS, EVENTS};
use crate::offsets::setting;

const BPF_RB_AVAIL_DATA: u64 = 0;

#[inline(always)]
pub(crate) fn count(counter: Counter, kind: Kind) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.slot(kind)) {
        // SAFETY: the slot is this CPU's own, and a program is not preempted by itself.
        unsafe { *value += 1 }
    }
}

/// Waking the reader costs ten times what a record costs, so it is done once per `wakeup_bytes`; the reader polls too.
#[inline(always)]
pub(crate) fn wakeup_flags() -> u64 {
    // SAFETY: a frozen constant.
    let wakeup_bytes = unsafe { setting!(wakeup_bytes) };
    if EVENTS.query(BPF_RB_AVAIL_DATA) >= wakeup_bytes {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Reserves a record, lets `fill` write it in place, and submits it.
#[inline(always)]
pub(crate) fn emit<T: 'static>(kind: Kind, fill: impl FnOnce(*mut T)) {
    if let Some(mut entry) = EVENTS.reserve::<T>(0) {
        fill(entry.as_mut_ptr());
        entry.submit(wakeup_flags());
        count(Counter::Emitted, kind);
    } else {
        count(Counter::RingFull, kind);
    }
}
