//! The way into the ring: batched wake-ups, and a count for each record that is written or lost.

use aya_ebpf::bindings::{BPF_NOEXIST, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_comm};
use procmon_common::kernel::{Comm, Counter, Kind, LostKey};

use crate::cgroup::cgroup_id;
use crate::maps::{COUNTERS, EVENTS, LOST_BY};
use crate::offsets::{Object, setting};
use crate::task::write_comm;

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

/// Reserves a record about the current task, lets `fill` write it in place, and submits it.
#[inline(always)]
pub(crate) fn emit<T: 'static>(kind: Kind, fill: impl FnOnce(*mut T)) {
    emit_of(kind, current, fill);
}

/// As [`emit`], about whom `whose` writes down when there is no room.
#[inline(always)]
pub(crate) fn emit_of<T: 'static>(
    kind: Kind,
    whose: impl FnOnce(*mut LostKey),
    fill: impl FnOnce(*mut T),
) {
    if let Some(mut entry) = EVENTS.reserve::<T>(0) {
        fill(entry.as_mut_ptr());
        // The exec and the exit of a life ask whether the reader is to be woken; once more for the others would tell nothing.
        entry.submit(if matches!(kind, Kind::Fork | Kind::Free) {
            u64::from(BPF_RB_NO_WAKEUP)
        } else {
            wakeup_flags()
        });
        count(Counter::Emitted, kind);
    } else {
        lose(kind, whose);
    }
}

/// Counts a record that found the ring full: by kind, and by command and cgroup as long as there is room for that.
#[inline(always)]
pub(crate) fn lose(kind: Kind, whose: impl FnOnce(*mut LostKey)) {
    // In this order: who reads the two in the other order never finds more in the parts than in the sum.
    count(Counter::RingFull, kind);
    let mut key = LostKey {
        kind: kind as u32,
        padding: 0,
        cgroup_id: 0,
        comm: [0; 16],
    };
    whose(&raw mut key);
    if LOST_BY.get_ptr_mut(&key).is_none() {
        // Fails when the map is full, and when another CPU was faster: the next look tells.
        let _ = LOST_BY.insert(&key, &0, u64::from(BPF_NOEXIST));
    }
    if let Some(value) = LOST_BY.get_ptr_mut(&key) {
        // SAFETY: the value is this CPU's own, and a program is not preempted by itself.
        unsafe { *value += 1 }
    }
}

/// The current task, by helpers that need no BTF.
#[inline(always)]
pub(crate) fn current(key: *mut LostKey) {
    // SAFETY: the helpers write at most the length of `comm`, and read what every hook has.
    unsafe {
        bpf_get_current_comm((&raw mut (*key).comm).cast(), size_of::<Comm>() as u32);
        (*key).cgroup_id = bpf_get_current_cgroup_id();
    }
}

/// A task whose type the verifier knows.
#[inline(always)]
pub(crate) fn task(task: Object) -> impl FnOnce(*mut LostKey) {
    move |key| {
        // SAFETY: the task is a pointer that the verifier follows, and `key` is on the stack.
        unsafe {
            write_comm(&raw mut (*key).comm, task);
            (*key).cgroup_id = cgroup_id(task);
        }
    }
}
